import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.corpus.streaming.hashing import hash_each, key, permutation, place_in_permutation
from dist_epochs.corpus.streaming.order import Order, PointwiseOrder

BLOCKS = st.lists(st.integers(1, 9), min_size=1, max_size=12)


ORDERS = pytest.mark.parametrize("kind", [Order, PointwiseOrder])


def make(blocks, lanes, seed=0, kind=Order):
    return kind(seed=seed, source="web", sequence_length=16, block_samples=np.array(blocks), lanes=lanes)


@ORDERS
@given(BLOCKS, st.integers(1, 20), st.integers(0, 3))
def test_a_pass_draws_every_row_once(kind, blocks, lanes, number):
    order = make(blocks, lanes, kind=kind)
    found = list(zip(*order.locate(number, np.arange(order.size)), strict=True))
    assert sorted(found) == [(block, row) for block, rows in enumerate(blocks) for row in range(rows)]


@ORDERS
@given(BLOCKS, st.integers(1, 20), st.data())
def test_any_part_is_found_without_the_rest(kind, blocks, lanes, data):
    order = make(blocks, lanes, kind=kind)
    whole = np.stack(order.locate(1, np.arange(order.size)))
    some = np.array(data.draw(st.lists(st.integers(0, order.size - 1), min_size=1)))
    assert (np.stack(make(blocks, lanes, kind=kind).locate(1, some)) == whole[:, some]).all()


@ORDERS
def test_a_lane_reads_its_blocks_one_by_one(kind):
    order = make([50] * 20, lanes=10, kind=kind)
    blocks, _ = order.locate(0, np.arange(order.size))
    for lane in range(10):
        of_lane = blocks[lane::10]
        changes = 1 + int((np.diff(of_lane) != 0).sum())
        assert changes == len(set(of_lane.tolist()))
    assert len(set(blocks[:10].tolist())) == 10  # the first batch comes from ten blocks


@ORDERS
def test_passes_seeds_and_blocks_differ(kind):
    order, other = make([40] * 5, 4, kind=kind), make([40] * 5, 4, seed=1, kind=kind)
    first, second, elsewhere = (
        order.locate(0, np.arange(200)),
        order.locate(1, np.arange(200)),
        other.locate(0, np.arange(200)),
    )
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, elsewhere)
    places = np.arange(40)
    rows = [order.rows_at(0, np.full(40, block), places).tolist() for block in (0, 1)]
    assert rows[0] != rows[1]
    assert sorted(rows[0]) == sorted(rows[1]) == places.tolist()


def test_the_order_is_part_of_the_format():
    """Runs recorded by one version must resume under the next: these numbers never change."""
    assert key(3, "web", 16) == 9718904876320704355
    assert hash_each(7, np.arange(3)).tolist() == [7191089600892374487, 309689372594955804, 16616101746815609346]
    assert permutation(7, 6).tolist() == [1, 5, 0, 4, 3, 2]
    blocks, rows = make([3, 2, 4], 2).locate(0, np.arange(9))
    assert (blocks.tolist(), rows.tolist()) == ([2, 0, 2, 0, 2, 1, 2, 1, 0], [0, 2, 1, 1, 2, 0, 3, 1, 0])
    assert place_in_permutation(7, 6, np.arange(6)).tolist() == [1, 5, 4, 3, 2, 0]
    blocks, rows = make([3, 2, 4], 2, kind=PointwiseOrder).locate(0, np.arange(9))
    assert (blocks.tolist(), rows.tolist()) == ([1, 2, 1, 0, 2, 0, 2, 0, 2], [0, 2, 1, 0, 0, 1, 3, 2, 1])


@given(st.integers(1, 5000), st.integers(0, 2**64 - 1))
def test_a_permutation_of_any_size(size, purpose):
    whole = place_in_permutation(purpose, size, np.arange(size))
    assert sorted(whole.tolist()) == list(range(size))
    some = np.array([size // 2, 0, size - 1])
    assert (place_in_permutation(np.full(3, purpose, np.uint64), np.full(3, size), some) == whole[some]).all()


@pytest.mark.parametrize("size", [2, 3, 5, 12, 100])
def test_every_place_is_as_likely(size):
    """Over many keys, each number comes to each place about equally often: a χ² of few standard deviations."""
    keys = hash_each(1, np.arange(4000))
    for index in (0, size // 2, size - 1):
        found = np.bincount(place_in_permutation(keys, size, np.full(4000, index)), minlength=size)
        chi = float(((found - 4000 / size) ** 2 / (4000 / size)).sum())
        assert chi < size - 1 + 5 * (2 * (size - 1)) ** 0.5


def test_every_order_is_as_likely():
    keys = hash_each(2, np.arange(12_000))
    columns = [place_in_permutation(keys, 4, np.full(12_000, index)) for index in range(4)]
    counts = np.unique(np.stack(columns, axis=1), axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert 380 < counts.min() <= counts.max() < 640


@pytest.mark.parametrize("value", [0, 1, 2**63, 2**64 - 1])
def test_the_hash_is_splitmix64(value):
    """Against the definition in Python integers."""
    mask = 2**64 - 1
    z = (value + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    assert int(hash_each(value, np.array([0]))[0]) == z ^ (z >> 31)
