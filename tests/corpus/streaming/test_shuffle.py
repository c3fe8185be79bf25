"""A pass is mixed as well as a full shuffle mixes it, with as many lanes as a batch has samples."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.corpus.streaming.order import Order, PointwiseOrder
from tests.benchmarks.shuffling import Quality, full_shuffle, our_order, permuted_blocks, quality, shuffle_buffer

BATCH = 16
MEDIAN_DISTANCE = 1 - 2**-0.5
"""Of two places by chance, as a share of the whole."""
SHAPES = {
    "few blocks, each longer than many lanes": [700, 500, 800],
    "blocks about as long as a lane": [125] * 17,
    "many short blocks of any length": [5 + at * 7 % 29 for at in range(110)],
}


def mean(orders, blocks):
    """Each measure, averaged over orders."""
    return Quality(*np.mean([astuple(quality(order, np.array(blocks), BATCH)) for order in orders], axis=0))


def is_mixed(found, blocks):
    """Within a tenth of a third of the pass, and no more neighbours in a batch than a full shuffle leaves by chance."""
    by_chance = (BATCH - 1) / (sum(blocks) - 1)
    return abs(found.displacement - 1 / 3) < 1 / 30 and found.neighbours_kept < 1.3 * by_chance


@pytest.mark.parametrize("kind", [Order, PointwiseOrder])
@pytest.mark.parametrize("blocks", SHAPES.values(), ids=SHAPES.keys())
def test_a_pass_is_mixed_as_by_a_full_shuffle(blocks, kind):
    ours = mean([our_order(np.array(blocks), BATCH, seed, kind) for seed in range(30)], blocks)
    full = mean([full_shuffle(sum(blocks), seed) for seed in range(30)], blocks)
    assert is_mixed(full, blocks)
    assert is_mixed(ours, blocks)
    apart = MEDIAN_DISTANCE * np.average(blocks, weights=blocks)  # a lane draws one sample of its block in each batch
    assert ours.batches_between > 0.8 * min(full.batches_between, apart)
    assert ours.blocks_in_a_batch > 0.95 * full.blocks_in_a_batch


@pytest.mark.parametrize("blocks", list(SHAPES.values())[1:], ids=list(SHAPES)[1:])
def test_the_bounds_tell_other_orders_apart(blocks):
    """One lane, and a buffer of a tenth of the corpus, with and without permuted blocks, leave more neighbours."""
    sizes, whole = np.array(blocks), np.arange(sum(blocks))
    others = {
        "one lane": lambda seed: our_order(sizes, 1, seed),
        "a buffer": lambda seed: shuffle_buffer(whole, len(whole) // 10, seed),
        "a buffer after blocks": lambda seed: shuffle_buffer(permuted_blocks(sizes, seed), len(whole) // 10, seed),
    }
    for name, order in others.items():
        assert not is_mixed(mean([order(seed) for seed in range(5)], blocks), blocks), name


@given(st.lists(st.integers(1, 30), min_size=3, max_size=40), st.integers(0, 99), st.data())
def test_a_batch_never_holds_two_samples_of_a_block_that_is_shorter_than_a_lane(blocks, seed, data):
    """A full shuffle does: that is more even than chance. Batches may begin anywhere in the pass."""
    lanes = data.draw(st.integers(1, sum(blocks) // (max(blocks) + 1)))
    drawn = our_order(np.array(blocks), lanes, seed)
    assert sorted(drawn.tolist()) == list(range(sum(blocks)))
    of_block = np.repeat(np.arange(len(blocks)), blocks)[drawn]
    start = data.draw(st.integers(0, len(drawn) - lanes))
    assert len(set(of_block[start : start + lanes].tolist())) == lanes


def test_a_batch_of_fewer_samples_than_lanes_is_of_many_blocks():
    """As on a ramp, or of one source of a mixture; the lanes of format 1 take turns as neighbours, of few blocks."""
    blocks = SHAPES["blocks about as long as a lane"]
    full = mean([full_shuffle(sum(blocks), seed) for seed in range(10)], blocks)
    ours, old = (
        mean([our_order(np.array(blocks), 4 * BATCH, seed, kind) for seed in range(10)], blocks)
        for kind in (PointwiseOrder, Order)
    )
    assert ours.blocks_in_a_batch > 0.95 * full.blocks_in_a_batch > 2 * old.blocks_in_a_batch
    assert is_mixed(ours, blocks)
    assert not is_mixed(old, blocks)
