"""The other ranks, as far as counting needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

__all__ = ["Alone", "Peers"]


class Peers(Protocol):
    """Ranks that add up their counts.

    Attributes:
        rank: Index of this process.
        size: Processes in all.
    """

    rank: int
    size: int

    def sum(self, values: Sequence[int]) -> Callable[[], list[int]]:
        """Begin to add 64-bit integers over all ranks, wrapping; call the result to wait for the sums."""


class Alone:
    """One process: nothing to add."""

    rank = 0
    size = 1

    def sum(self, values: Sequence[int]) -> Callable[[], list[int]]:
        """The values themselves."""
        return lambda: list(values)
