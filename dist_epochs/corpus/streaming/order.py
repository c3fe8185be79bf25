"""The order of a pass: a function of seed, source, length and pass, and of nothing else.

Blocks are permuted, rows are permuted inside each block, and the resulting sequence is cut into as
many neighbouring lanes as the global batch has samples. The lanes take turns, each giving its next
row: a batch mixes rows of many blocks, while each lane reads its blocks one by one.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dist_epochs.corpus.streaming.hashing import hash_each, key, permutation, place_in_permutation
from dist_epochs.runtime.recent import Recent

__all__ = ["SLOTS_AT_ONCE", "Order", "PointwiseOrder"]

SLOTS_APART = 8
"""Places of the sequence of a pass of which one's beginning is kept."""

SLOTS_AT_ONCE = 2**16
"""Places of which the blocks are looked at at once; a multiple of `SLOTS_APART`."""

GOLDEN_SECTION = np.uint64(0x9E3779B97F4A7C15)
"""2⁶⁴ × (√5 − 1) / 2, to an odd number: its multiples leave gaps of nearly one size, however many there are."""

Integers = NDArray[np.int64]
Counts = NDArray[np.integer]


class Order:
    """The block and row of each draw of each pass of one (source, length): of stores of format 1.

    Args:
        seed: The recipe's seed.
        source: Name of the source.
        sequence_length: Length of the packing.
        block_samples: Rows in each block.
        lanes: Lanes that the sequence is cut into; best as many as the global batch has samples.
    """

    def __init__(self, *, seed: int, source: str, sequence_length: int, block_samples: Counts, lanes: int) -> None:
        self.block_samples = np.asarray(block_samples)
        self.size = int(self.block_samples.sum(dtype=np.int64))
        self.lanes = lanes
        self._purpose = (seed, source, sequence_length)
        self._sorted: Recent[tuple[Integers, Integers]] = Recent(2)
        self._rows: Recent[Integers] = Recent(2 * lanes + 64)

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return len(self.block_samples)

    def lane_starts(self) -> Integers:
        """Where the lanes begin in the sequence of a pass, in the order in which they take turns."""
        size, longer = divmod(self.size, self.lanes)
        lane = np.arange(self.lanes)
        return lane * size + np.minimum(lane, longer)

    def locate(self, number: int, offsets: Integers) -> tuple[Integers, Integers]:
        """Block and row of each draw, by its offset in pass `number` (0 to `size` − 1)."""
        sequence = self.lane_starts()[offsets % self.lanes] + offsets // self.lanes
        _, blocks, inside = self.find(number, sequence)
        return blocks, self.rows_at(number, blocks, inside)

    def blocks_at(self, number: int, slots: Integers) -> Integers:
        """The blocks that stand at some places of the sequence of pass `number`."""
        return self._in_order(number)[0][slots]

    def find(self, number: int, sequence: Integers) -> tuple[Integers, Integers, Integers]:
        """Of positions in the sequence of a pass: the place of the block, the block, and the position in the block."""
        order, begins = self._in_order(number)
        slots = np.searchsorted(begins, sequence, side="right") - 1
        return slots, order[slots], sequence - begins[slots]

    def rows_at(self, number: int, blocks: Integers, inside: Integers) -> Integers:
        """The rows that stand at some positions of some blocks in pass `number`."""
        rows = np.empty_like(inside)
        by_block = np.argsort(blocks, kind="stable")
        for here in np.split(by_block, np.flatnonzero(np.diff(blocks[by_block])) + 1):
            if len(here):
                rows[here] = self.rows(number, int(blocks[here[0]]))[inside[here]]
        return rows

    def rows(self, number: int, block: int) -> Integers:
        """Rows of one block in the order of pass `number`."""
        return self._rows.get(
            (number, block),
            lambda: permutation(key(*self._purpose, "rows", number, block), int(self.block_samples[block])),
        )

    def _in_order(self, number: int) -> tuple[Integers, Integers]:
        """Blocks in the order of a pass, and where each begins in its sequence (with the end)."""

        def make() -> tuple[Integers, Integers]:
            order = permutation(key(*self._purpose, "blocks", number), self.blocks)
            return order, np.concatenate(([0], np.cumsum(self.block_samples[order])))

        return self._sorted.get(number, make)


class PointwiseOrder(Order):
    """The same without a list of all blocks, or of all rows of a block: what is asked for is computed.

    Of each pass it keeps where every eighth block begins. Lanes that take turns one after the other lie far apart, so
    that a batch of fewer samples than there are lanes is of many blocks, too.
    """

    def __init__(self, *, seed: int, source: str, sequence_length: int, block_samples: Counts, lanes: int) -> None:
        super().__init__(
            seed=seed, source=source, sequence_length=sequence_length, block_samples=block_samples, lanes=lanes
        )
        self._begins: Recent[Integers] = Recent(2)

    def lane_starts(self) -> Integers:
        """Where the lanes begin in the sequence of a pass, in the order in which they take turns."""
        return self._lane_starts

    @cached_property
    def _lane_starts(self) -> Integers:
        size, longer = divmod(self.size, self.lanes)
        turns = np.argsort(np.arange(self.lanes, dtype=np.uint64) * GOLDEN_SECTION)  # those of each lane
        sizes = size + (turns < longer)
        starts = np.empty(self.lanes, np.int64)
        starts[turns] = np.cumsum(sizes) - sizes
        return starts

    def blocks_at(self, number: int, slots: Integers) -> Integers:
        """The blocks that stand at some places of the sequence of pass `number`."""
        return place_in_permutation(key(*self._purpose, "blocks", number), self.blocks, slots)

    def find(self, number: int, sequence: Integers) -> tuple[Integers, Integers, Integers]:
        """Of positions in the sequence of a pass: the place of the block, the block, and the position in the block."""
        begins = self._begins.get(number, lambda: self._known_begins(number))
        known, at = np.unique(np.searchsorted(begins, sequence, side="right") - 1, return_inverse=True)
        slots = known[:, None] * SLOTS_APART + np.arange(SLOTS_APART)
        blocks = self.blocks_at(number, np.minimum(slots, self.blocks - 1))
        sizes = np.where(slots < self.blocks, self.block_samples[blocks], 0).astype(np.int64)
        ends = begins[known][:, None] + np.cumsum(sizes, axis=1)
        which = (ends[at] <= sequence[:, None]).sum(axis=1)
        return slots[at, which], blocks[at, which], sequence - ends[at, which] + sizes[at, which]

    def rows_at(self, number: int, blocks: Integers, inside: Integers) -> Integers:
        """The rows that stand at some positions of some blocks in pass `number`."""
        keys = hash_each(key(*self._purpose, "rows", number), blocks)
        return place_in_permutation(keys, self.block_samples[blocks], inside)

    def _known_begins(self, number: int) -> Integers:
        begins, before = [], 0
        for first in range(0, self.blocks, SLOTS_AT_ONCE):
            slots = np.arange(first, min(first + SLOTS_AT_ONCE, self.blocks))
            ends = before + np.cumsum(self.block_samples[self.blocks_at(number, slots)], dtype=np.int64)
            begins.append(np.concatenate(([before], ends[SLOTS_APART - 1 : -1 : SLOTS_APART])))
            before = int(ends[-1])
        return np.concatenate(begins)
