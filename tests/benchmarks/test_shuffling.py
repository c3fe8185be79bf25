"""How well a pass is mixed: `python -m pytest -m benchmark -s tests/benchmarks/test_shuffling.py`."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from tests.benchmarks.shuffling import full_shuffle, our_order, permuted_blocks, quality, shuffle_buffer

pytestmark = pytest.mark.benchmark

BATCH, SEEDS = 256, range(5)
BLOCK = 3500
"""Samples of a block of a store at length 512, about."""


@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_orders_beside_a_full_shuffle(size):
    count = round(size / BLOCK)
    blocks = np.full(count, size // count, np.int64)
    blocks[: size - blocks.sum()] += 1
    orders = {
        "a full shuffle": lambda seed: full_shuffle(size, seed),
        **{f"ours, lanes: {n}": lambda seed, n=n: our_order(blocks, n, seed) for n in (1, 16, 64, 256, 1024)},
        **{
            f"blocks permuted, then a buffer of {held:,}": lambda seed, n=held: shuffle_buffer(
                permuted_blocks(blocks, seed), n, seed
            )
            for held in (1_000, 10_000)
        },
        "a buffer of 10,000 alone": lambda seed: shuffle_buffer(np.arange(size), 10_000, seed),
    }
    print(f"\n{size:,} samples in {count} blocks, batches of {BATCH}; means of {len(SEEDS)} seeds [least..most]")
    print("| order | displacement ÷ pass | neighbours kept, % | batches between neighbours | blocks in a batch |")
    print("|---|---|---|---|---|")
    for name, order in orders.items():
        found = np.array([astuple(quality(order(seed), blocks, BATCH)) for seed in SEEDS]) * [1, 100, 1, 1]
        cells = [
            f"{mean:.{digits}f} [{low:.{digits}f}..{high:.{digits}f}]"
            for mean, low, high, digits in zip(
                found.mean(axis=0), found.min(axis=0), found.max(axis=0), (3, 3, 1, 1), strict=True
            )
        ]
        print(f"| {name} | {' | '.join(cells)} |")
