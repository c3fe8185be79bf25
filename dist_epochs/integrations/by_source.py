"""What batches hold of each source, as numbers that add over micro-steps and ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["BySource", "added"]

NUMBERS = 5
"""Samples, tokens, loss tokens, first tokens of samples among these, and the digest."""


class BySource(dict[str, tuple[int, ...]]):
    """Counts by the name of a source: samples, tokens, loss tokens, first tokens among these, digest."""

    width = 1 + NUMBERS
    """Integers of a message for each source: samples of a pass that ended, then the counts of a step."""

    def add(self, more: Mapping[str, Sequence[int]]) -> None:
        """Add counts of the same or other sources."""
        for name, numbers in more.items():
            self[name] = added(self[name], numbers) if name in self else tuple(numbers)

    def message(self, names: Sequence[str], *, of_step: bool) -> list[int]:
        """The integers of a message: `width` for each name, of a step or of a pass that ended."""
        none = (0,) * NUMBERS
        found = (self.get(name, none) for name in names)
        return [number for numbers in found for number in ((0, *numbers) if of_step else (numbers[0], *none))]


def added(totals: Sequence[int], more: Sequence[int]) -> tuple[int, ...]:
    """Sums of the numbers of two messages, as signed 64-bit integers that wrap."""
    return tuple([(a + b + 2**63) % 2**64 - 2**63 for a, b in zip(totals, more, strict=False)])
