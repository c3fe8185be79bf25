"""How well an order mixes a corpus: measures of one pass, and orders to compare with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dist_epochs.corpus.streaming.order import Order, PointwiseOrder

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Quality:
    """Measures of the order of one pass.

    Attributes:
        displacement: Mean distance between a sample's place in the corpus and in the pass, of the whole pass.
        neighbours_kept: Share of the pairs of neighbouring samples of the corpus that one batch draws both of.
        batches_between: Median distance of two neighbours of the corpus in the pass, in batches.
        blocks_in_a_batch: Mean number of different blocks that a batch draws from.
    """

    displacement: float
    neighbours_kept: float
    batches_between: float
    blocks_in_a_batch: float


def quality(drawn: Integers, block_samples: Integers, batch: int) -> Quality:
    """Measure an order.

    Args:
        drawn: The number that each draw has in the corpus.
        block_samples: Samples of each block of the corpus.
        batch: Samples of a batch.
    """
    size = len(drawn)
    place = np.empty(size, np.int64)
    place[drawn] = np.arange(size)
    blocks = np.repeat(np.arange(len(block_samples)), block_samples)[drawn]
    whole = np.sort(blocks[: size - size % batch].reshape(-1, batch), axis=1)
    return Quality(
        displacement=float(np.abs(place - np.arange(size)).mean() / size),
        neighbours_kept=float((np.diff(place // batch) == 0).mean()),
        batches_between=float(np.median(np.abs(np.diff(place))) / batch),
        blocks_in_a_batch=float(1 + (np.diff(whole, axis=1) != 0).sum(axis=1).mean()),
    )


def our_order(block_samples: Integers, lanes: int, seed: int, kind: type[Order] = PointwiseOrder) -> Integers:
    """Of each draw of a pass, its number in the corpus."""
    order = kind(seed=seed, source="web", sequence_length=512, block_samples=block_samples, lanes=lanes)
    blocks, rows = order.locate(0, np.arange(order.size))
    return (np.cumsum(block_samples) - block_samples)[blocks] + rows


def full_shuffle(size: int, seed: int) -> Integers:
    """One permutation of all samples."""
    return np.random.default_rng(seed).permutation(size)


def shuffle_buffer(stream: Integers, buffer: int, seed: int) -> Integers:
    """What a buffer does that gives a sample by chance and takes the next of the stream in its place."""
    chosen = np.random.default_rng(seed).integers(0, buffer, len(stream)).tolist()
    held, incoming = stream[:buffer].tolist(), stream[buffer:].tolist()
    given = []
    for at, new in zip(chosen, incoming, strict=False):
        given.append(held[at])
        held[at] = new
    rest = np.random.default_rng(seed + 1).permutation(np.array(held, np.int64))
    return np.concatenate([np.array(given, np.int64), rest])


def permuted_blocks(block_samples: Integers, seed: int) -> Integers:
    """The corpus with its blocks in another order, as loaders shuffle shards before a buffer."""
    starts = np.cumsum(block_samples) - block_samples
    order = np.random.default_rng(seed).permutation(len(block_samples))
    return np.concatenate([np.arange(starts[block], starts[block] + block_samples[block]) for block in order])
