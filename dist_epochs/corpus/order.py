"""The order of a pass: a function of seed, source, length and pass, and of nothing else.

Blocks are permuted, rows are permuted inside each block, and the resulting sequence is cut into as
many neighbouring lanes as the global batch has samples. Draw *d* of a pass takes the next row of
lane *d mod lanes*: a batch mixes rows of many blocks, while each lane reads its blocks one by one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dist_epochs.corpus.hashing import key, permutation

__all__ = ["Order", "Recent"]

Integers = NDArray[np.int64]
Value = TypeVar("Value")


class Recent(Generic[Value]):
    """A cache of the values that were used last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, name: Hashable, make: Callable[[], Value]) -> Value:
        """The value of that name, made if it is not in the cache."""
        if name not in self._values:
            self._values[name] = make()
            if len(self._values) > self._most:
                self._values.popitem(last=False)
        self._values.move_to_end(name)
        return self._values[name]


class Order:
    """The block and row of each draw of each pass of one (source, length).

    Args:
        seed: The recipe's seed.
        source: Name of the source.
        sequence_length: Length of the packing.
        block_samples: Rows in each block.
        lanes: Lanes that the sequence is cut into; best as many as the global batch has samples.
    """

    def __init__(self, *, seed: int, source: str, sequence_length: int, block_samples: Integers, lanes: int) -> None:
        self.block_samples = np.asarray(block_samples, dtype=np.int64)
        self.size = int(self.block_samples.sum())
        self.lanes = lanes
        self._purpose = (seed, source, sequence_length)
        self._blocks: Recent[tuple[Integers, Integers]] = Recent(2)
        self._rows: Recent[Integers] = Recent(2 * lanes + 64)

    def blocks(self, number: int) -> tuple[Integers, Integers]:
        """Blocks in the order of pass `number`, and where each begins in its sequence (with the end)."""

        def make() -> tuple[Integers, Integers]:
            order = permutation(key(*self._purpose, "blocks", number), len(self.block_samples))
            return order, np.concatenate(([0], np.cumsum(self.block_samples[order])))

        return self._blocks.get(number, make)

    def rows(self, number: int, block: int) -> Integers:
        """Rows of one block in the order of pass `number`."""
        return self._rows.get(
            (number, block),
            lambda: permutation(key(*self._purpose, "rows", number, block), int(self.block_samples[block])),
        )

    def lane_starts(self) -> Integers:
        """Where each lane begins in the sequence of a pass, with the end."""
        size, longer = divmod(self.size, self.lanes)
        lane = np.arange(self.lanes + 1)
        return lane * size + np.minimum(lane, longer)

    def locate(self, number: int, offsets: Integers) -> tuple[Integers, Integers]:
        """Block and row of each draw, by its offset in pass `number` (0 to `size` − 1)."""
        sequence = self.lane_starts()[offsets % self.lanes] + offsets // self.lanes
        order, begins = self.blocks(number)
        slots = np.searchsorted(begins, sequence, side="right") - 1
        blocks = order[slots]
        inside = sequence - begins[slots]
        rows = np.empty_like(inside)
        by_block = np.argsort(blocks, kind="stable")
        for here in np.split(by_block, np.flatnonzero(np.diff(blocks[by_block])) + 1):
            rows[here] = self.rows(number, int(blocks[here[0]]))[inside[here]]
        return blocks, rows
