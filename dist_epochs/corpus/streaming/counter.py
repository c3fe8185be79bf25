"""Exact counts of any part of a pass, without reading its tokens.

Whole blocks are counted by sums that the packing has. Only blocks that a lane has begun and not ended are counted row
by row: at most two per lane.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dist_epochs.arithmetic.counts import Counts, Draw
from dist_epochs.corpus.packing.packed import Packing, Sums
from dist_epochs.corpus.streaming.objective import Objective
from dist_epochs.corpus.streaming.order import SLOTS_AT_ONCE, Order
from dist_epochs.runtime.recent import Recent

__all__ = ["PassCounter", "StoreCounter"]

Integers = NDArray[np.int64]
Touched = tuple[NDArray[np.bool_], list[tuple[int, int, int]]]
"""Which blocks a draw takes whole; of the others block and span of the positions in its order."""

ROWS_AT_ONCE = 2**18
"""Rows of partly drawn blocks that are counted at once."""


class PassCounter:
    """Counts of one (source, length).

    Args:
        packing: The samples.
        order: The order in which they are drawn.
        objective: How many of their tokens the loss counts.
    """

    def __init__(self, packing: Packing, order: Order, objective: Objective) -> None:
        self.order = order
        self.packing = packing
        self._objective = objective
        self._touched: Recent[Touched] = Recent(2)

    def count(self, draw: Draw) -> Counts:
        """Counts of samples `start` to `stop` − 1 of the order of a pass."""
        if self.is_whole(draw):
            total = self._whole
        else:
            whole, parts = self.touched(draw)
            total = np.zeros(4, np.uint64)
            for first, sums in self._sums():
                total += sums[whole[first : first + len(sums)]].sum(axis=0)
            for blocks, inside in _together(parts):
                rows = self.order.rows_at(draw.key.number, blocks, inside)
                total += self.packing.columns(self._objective, blocks, rows).sum(axis=0)
        tokens, loss_tokens, high, low = (int(value) for value in total)
        return Counts(draw.stop - draw.start, tokens, loss_tokens, high << 64 | low)

    def is_whole(self, draw: Draw) -> bool:
        """Whether a draw is a whole pass."""
        return (draw.start, draw.stop) == (0, self.order.size)

    def touched(self, draw: Draw) -> Touched:
        """The blocks that are drawn whole, and parts of the others."""
        return self._touched.get(draw, lambda: self._find_touched(draw))

    def _find_touched(self, draw: Draw) -> Touched:
        order, number = self.order, draw.key.number
        lane = np.arange(order.lanes)
        starts = order.lane_starts()
        begin, end = (starts + np.maximum(0, -(-(at - lane) // order.lanes)) for at in (draw.start, draw.stop))
        begin, end = begin[end > begin], end[end > begin]
        first, first_block, into = order.find(number, begin)
        last, last_block, up_to = order.find(number, end - 1)
        up_to += 1
        first_size, last_size = (order.block_samples[blocks].astype(np.int64) for blocks in (first_block, last_block))
        in_one = first == last
        heads = (into > 0) | (in_one & (up_to < last_size))
        tails = ~in_one & (up_to < last_size)
        parts = [
            *zip(first_block[heads], into[heads], np.where(in_one, up_to, first_size)[heads], strict=True),
            *zip(last_block[tails], np.zeros(int(tails.sum()), np.int64), up_to[tails], strict=True),
        ]
        change = np.zeros(order.blocks + 1, np.int32)
        np.add.at(change, first + heads, 1)
        np.add.at(change, last + 1 - tails, -1)
        in_whole = np.cumsum(change[:-1]) > 0
        whole = np.zeros(order.blocks, np.bool_)
        for start in range(0, order.blocks, SLOTS_AT_ONCE):
            slots = start + np.flatnonzero(in_whole[start : start + SLOTS_AT_ONCE])
            whole[order.blocks_at(number, slots)] = True
        return whole, [(int(block), int(low), int(high)) for block, low, high in parts]

    @cached_property
    def _whole(self) -> Sums:
        total = np.zeros(4, np.uint64)
        for _, sums in self._sums():
            total += sums.sum(axis=0)
        return total

    def _sums(self) -> Iterable[tuple[int, Sums]]:
        """Sums of each block; kept, where every sample is read for them."""
        return self.packing.sums(self._objective) if self.packing.has_sums(self._objective) else self._computed_sums

    @cached_property
    def _computed_sums(self) -> list[tuple[int, Sums]]:
        return list(self.packing.sums(self._objective))


def _together(parts: Iterable[tuple[int, int, int]]) -> Iterator[tuple[Integers, Integers]]:
    """Blocks and positions of the rows of parts of blocks, many at a time."""
    blocks, inside, rows = [], [], 0
    for block, low, high in parts:
        blocks.append(np.full(high - low, block))
        inside.append(np.arange(low, high))
        rows += high - low
        if rows >= ROWS_AT_ONCE:
            yield np.concatenate(blocks), np.concatenate(inside)
            blocks, inside, rows = [], [], 0
    if rows:
        yield np.concatenate(blocks), np.concatenate(inside)


class StoreCounter:
    """Counts over a whole store: the plan's `CorpusCounter`.

    Args:
        counters: The counter of each source and length.
    """

    def __init__(self, counters: Mapping[tuple[str, int], PassCounter]) -> None:
        self._counters = counters

    def count(self, draw: Draw) -> Counts:
        """Exact counts of a draw, over all devices."""
        return self._counters[draw.key.source, draw.key.sequence_length].count(draw)

    def documents_seen(self, source: str, drawn: Iterable[Draw]) -> int:
        """Documents of a source that the draws touch at least once."""
        spans: list[Integers] = []
        for draw in drawn:
            counter = self._counters[source, draw.key.sequence_length]
            packing = counter.packing
            if counter.is_whole(draw):
                if packing.documents == packing.source.entry["documents"]:
                    return packing.documents
                spans.append(packing.documents_in(np.ones(counter.order.blocks, np.bool_)))
                continue
            blocks, partly = counter.touched(draw)
            spans.append(packing.documents_in(blocks))
            if packing.source.remote is not None and partly:
                shards = packing.shards_of_documents(np.array([block for block, _, _ in partly]))
                packing.source.remote.bring_lengths(source, shards.tolist())
            for block, low, high in partly:
                inside = np.arange(low, high)
                rows = counter.order.rows_at(draw.key.number, np.full(high - low, block), inside)
                single = packing.documents_of(block, rows)
                spans.append(np.stack([single, single + 1], axis=1))
        return _in_any(np.concatenate(spans)) if spans else 0


def _in_any(spans: Integers) -> int:
    """How many numbers are in at least one of some spans (first and end)."""
    first, end = spans[np.argsort(spans[:, 0], kind="stable")].T
    reached = np.concatenate([[0], np.maximum.accumulate(end)[:-1]]) if len(end) else end
    return int(np.maximum(0, end - np.maximum(first, reached)).sum())
