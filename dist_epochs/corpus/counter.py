"""Exact counts of any part of a pass, without reading its tokens.

Whole blocks are counted by sums that are made once. Only blocks that a lane has begun and not ended are counted row
by row: at most two per lane.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dist_epochs.arithmetic.counts import Counts, Draw
from dist_epochs.corpus.hashing import Hashes, hash_each, key
from dist_epochs.corpus.objective import Objective
from dist_epochs.corpus.order import Order, Recent
from dist_epochs.corpus.store import Packing

__all__ = ["PassCounter", "StoreCounter", "digests"]

Integers = NDArray[np.int64]

SAMPLES_AT_ONCE = 2**20
"""Samples that are counted at once."""


def digests(source: str, sequence_length: int, blocks: Integers, rows: Integers) -> tuple[Hashes, Hashes]:
    """The two 64-bit hashes that each sample adds to the digest."""
    high, low = (
        hash_each(hash_each(key("digest", half, source, sequence_length), blocks), rows) for half in ("high", "low")
    )
    return high, low


class PassCounter:
    """Counts of one (source, length).

    Args:
        packing: The samples.
        order: The order in which they are drawn.
        objective: How many of their tokens the loss counts.
    """

    def __init__(self, packing: Packing, order: Order, objective: Objective) -> None:
        self.order = order
        self._packing = packing
        self._objective = objective
        self._first = packing.first_samples()
        self._block_sums = np.concatenate([np.zeros((0, 4), np.uint64), *self._sums_by_block()])
        self._sums: Recent[NDArray[np.uint64]] = Recent(2)

    def count(self, draw: Draw) -> Counts:
        """Counts of samples `start` to `stop` − 1 of the order of a pass."""
        size, lanes = self.order.size, self.order.lanes
        number = draw.key.number
        if (draw.start, draw.stop) == (0, size):
            total = self._block_sums.sum(axis=0)
        else:
            lane = np.arange(lanes)
            begin = self.order.lane_starts()[:-1]
            taken = [np.maximum(0, -(-(offset - lane) // lanes)) for offset in (draw.start, draw.stop)]
            before, after = (self._sums_of_first_rows(number, begin + count) for count in taken)
            total = (after - before).sum(axis=0)
        tokens, loss_tokens, high, low = (int(value) for value in total)
        return Counts(draw.stop - draw.start, tokens, loss_tokens, high << 64 | low)

    def documents_seen(self, drawn: Iterable[Draw], seen: NDArray[np.bool_]) -> None:
        """Mark the documents that the draws touch."""
        pieces = self._packing.pieces
        for draw in drawn:
            if (draw.start, draw.stop) == (0, self.order.size):
                seen[:] = True
                return
            for start in range(draw.start, draw.stop, SAMPLES_AT_ONCE):
                blocks, rows = self.order.locate(
                    draw.key.number, np.arange(start, min(start + SAMPLES_AT_ONCE, draw.stop))
                )
                samples = self._packing.samples[self._first[blocks] + rows]
                for extra in range(int(samples["pieces"].max())):
                    more = samples[samples["pieces"] > extra]
                    seen[pieces["document"][more["first_piece"] + extra]] = True

    def _sums_of_first_rows(self, number: int, counts: Integers) -> NDArray[np.uint64]:
        """Sums over the first `counts` rows of the sequence of a pass, one line for each count."""
        order, begins = self.order.blocks(number)
        sums = self._sums.get(
            number,
            lambda: np.concatenate([np.zeros((1, 4), np.uint64), np.cumsum(self._block_sums[order], axis=0)]),
        )
        slots = np.searchsorted(begins, counts, side="right") - 1
        result = sums[slots].copy()
        inside = counts - begins[slots]
        for slot in np.unique(slots[inside > 0]):
            block = int(order[slot])
            in_order = self._columns(np.array([block]))[self.order.rows(number, block)]
            running = np.concatenate([np.zeros((1, 4), np.uint64), np.cumsum(in_order, axis=0)])
            here = slots == slot
            result[here] += running[inside[here]]
        return result

    def _sums_by_block(self) -> Iterable[NDArray[np.uint64]]:
        sizes = self._packing.block_samples
        cuts = [0, *np.flatnonzero(np.diff(self._first[:-1] // SAMPLES_AT_ONCE)) + 1, len(sizes)]
        for start, stop in pairwise(cuts):
            if start < stop:
                starts = self._first[start:stop] - self._first[start]
                yield np.add.reduceat(self._columns(np.arange(start, stop)), starts, axis=0)

    def _columns(self, blocks: Integers) -> NDArray[np.uint64]:
        """Tokens, loss tokens and digest halves of each sample of neighbouring blocks."""
        first, last = self._first[blocks[0]], self._first[blocks[-1] + 1]
        samples = self._packing.samples[first:last]
        sizes = self._packing.block_samples[blocks]
        block_of = np.repeat(blocks, sizes)
        rows = np.arange(first, last) - np.repeat(self._first[blocks], sizes)
        tokens = samples["tokens"].astype(np.int64)
        loss = self._objective.loss_tokens(
            tokens, samples["pieces"].astype(np.int64), samples["ordinary"].astype(np.int64)
        )
        high, low = digests(self._packing.source.name, self._packing.sequence_length, block_of, rows)
        return np.stack([tokens.astype(np.uint64), loss.astype(np.uint64), high, low], axis=1)


class StoreCounter:
    """Counts over a whole store: the plan's `CorpusCounter`.

    Args:
        counters: The counter of each source and length.
        documents: Documents of each source.
    """

    def __init__(self, counters: Mapping[tuple[str, int], PassCounter], documents: Mapping[str, int]) -> None:
        self._counters = counters
        self._documents = documents

    def count(self, draw: Draw) -> Counts:
        """Exact counts of a draw, over all devices."""
        return self._counters[draw.key.source, draw.key.sequence_length].count(draw)

    def documents_seen(self, source: str, drawn: Iterable[Draw]) -> int:
        """Documents of a source that the draws touch at least once."""
        seen = np.zeros(self._documents[source], dtype=np.bool_)
        by_length: dict[int, list[Draw]] = {}
        for draw in drawn:
            by_length.setdefault(draw.key.sequence_length, []).append(draw)
        for length, mine in by_length.items():
            self._counters[source, length].documents_seen(mine, seen)
        return int(seen.sum())
