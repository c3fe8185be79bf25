import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.corpus.hashing import hash_each, key, permutation
from dist_epochs.corpus.order import Order

BLOCKS = st.lists(st.integers(1, 9), min_size=1, max_size=12)


def make(blocks, lanes, seed=0):
    return Order(seed=seed, source="web", sequence_length=16, block_samples=np.array(blocks), lanes=lanes)


@given(BLOCKS, st.integers(1, 20), st.integers(0, 3))
def test_a_pass_draws_every_row_once(blocks, lanes, number):
    order = make(blocks, lanes)
    found = list(zip(*order.locate(number, np.arange(order.size)), strict=True))
    assert sorted(found) == [(block, row) for block, rows in enumerate(blocks) for row in range(rows)]


@given(BLOCKS, st.integers(1, 20), st.data())
def test_any_part_is_found_without_the_rest(blocks, lanes, data):
    order = make(blocks, lanes)
    whole = np.stack(order.locate(1, np.arange(order.size)))
    some = np.array(data.draw(st.lists(st.integers(0, order.size - 1), min_size=1)))
    assert (np.stack(make(blocks, lanes).locate(1, some)) == whole[:, some]).all()


def test_a_lane_reads_its_blocks_one_by_one():
    order = make([50] * 20, lanes=10)
    blocks, _ = order.locate(0, np.arange(order.size))
    for lane in range(10):
        of_lane = blocks[lane::10]
        changes = 1 + int((np.diff(of_lane) != 0).sum())
        assert changes == len(set(of_lane.tolist()))
    assert len(set(blocks[:10].tolist())) == 10  # the first batch comes from ten blocks


def test_passes_seeds_and_blocks_differ():
    order, other = make([40] * 5, 4), make([40] * 5, 4, seed=1)
    first, second, elsewhere = (
        order.locate(0, np.arange(200)),
        order.locate(1, np.arange(200)),
        other.locate(0, np.arange(200)),
    )
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, elsewhere)
    assert not np.array_equal(order.rows(0, 0), order.rows(0, 1))


def test_the_order_is_part_of_the_format():
    """Runs recorded by one version must resume under the next: these numbers never change."""
    assert key(3, "web", 16) == 9718904876320704355
    assert hash_each(7, np.arange(3)).tolist() == [7191089600892374487, 309689372594955804, 16616101746815609346]
    assert permutation(7, 6).tolist() == [1, 5, 0, 4, 3, 2]
    blocks, rows = make([3, 2, 4], 2).locate(0, np.arange(9))
    assert (blocks.tolist(), rows.tolist()) == ([2, 0, 2, 0, 2, 1, 2, 1, 0], [0, 2, 1, 1, 2, 0, 3, 1, 0])


@pytest.mark.parametrize("value", [0, 1, 2**63, 2**64 - 1])
def test_the_hash_is_splitmix64(value):
    """Against the definition in Python integers."""
    mask = 2**64 - 1
    z = (value + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    assert int(hash_each(value, np.array([0]))[0]) == z ^ (z >> 31)
