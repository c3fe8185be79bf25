"""Axes: where the ticks stand, and where a value stands between its ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dist_epochs.arithmetic.text import SCALES

__all__ = ["Scale", "tick_texts"]

STEPS = (1, 2, 2.5, 5, 10)
"""What distances between ticks begin with."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear axis.

    Attributes:
        low: Value at its beginning.
        high: Value at its end; larger than `low`.
    """

    low: float
    high: float

    @classmethod
    def around(cls, *values: float, margin: float = 0.0, zero: bool = False) -> Scale:
        """The axis of some values, with a share of its length left free at both ends.

        Args:
            values: Finite, at least one.
            margin: Share of the span that is left free on each side.
            zero: Whether the axis begins at zero.
        """
        low, high = min(values), max(values)
        if zero:
            low, high = min(0.0, low), max(0.0, high)
        space = (high - low) * margin or (abs(high) * 0.05 or 1.0) * (low == high)
        return cls(low if zero and low == 0 else low - space, high + space)

    def place(self, value: float) -> float:
        """Where a value stands, in per cent of the axis, held within it."""
        return min(100.0, max(0.0, (value - self.low) / (self.high - self.low) * 100))

    def ticks(self, most: int = 6) -> list[float]:
        """Round values along the axis.

        Examples:
            >>> Scale(0, 41).ticks()
            [0.0, 10.0, 20.0, 30.0, 40.0]
        """
        rough = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(step * power for step in STEPS if step * power >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def tick_texts(ticks: Sequence[float]) -> list[str]:
    """Ticks as text, with one scale and the digits that tell one from the next.

    Examples:
        >>> tick_texts([3.25e9, 3.3e9]), tick_texts([0, 0.5, 1]), tick_texts([10, 20])
        (['3.25B', '3.30B'], ['0.0', '0.5', '1.0'], ['10', '20'])
    """
    largest = max(abs(tick) for tick in ticks)
    size, letter = next(((size, letter) for size, letter in SCALES if largest >= size), (1, ""))
    step = min((b - a for a, b in pairwise(ticks)), default=largest or 1.0) / size
    digits = next((digits for digits in range(12) if abs(round(step, digits) - step) < step / 100), 12)
    return [f"{tick / size:,.{digits}f}{letter}" for tick in ticks]
