"""Numbers as they were printed: a point, and the interval that rounds to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from dist_epochs.errors import InputError

__all__ = ["LARGEST_POWER", "Interval", "power_of_ten"]

LARGEST_POWER = 200
"""Exponents beyond this are typing errors."""


def power_of_ten(most: Fraction) -> Fraction:
    """The largest power of ten that is no larger than a number above zero.

    Examples:
        >>> power_of_ten(Fraction(512)), power_of_ten(Fraction(1, 20))
        (Fraction(100, 1), Fraction(1, 100))
    """
    guess = Fraction(10) ** (len(str(most.numerator)) - len(str(most.denominator)))
    return guess if guess <= most else guess / 10


@dataclass(frozen=True, slots=True)
class Interval:
    """A number between two ends, with the point that was written.

    Attributes:
        point: The number as written, or derived from such.
        low: Lower end of what it may be.
        high: Upper end.

    Examples:
        >>> Interval.exact(256) * Interval.exact(512)
        Interval(point=Fraction(131072, 1), low=Fraction(131072, 1), high=Fraction(131072, 1))
    """

    point: Fraction
    low: Fraction
    high: Fraction

    @classmethod
    def exact(cls, number: Fraction | int) -> Interval:
        """A number that is exact."""
        return cls(Fraction(number), Fraction(number), Fraction(number))

    @classmethod
    def between(cls, low: Fraction, high: Fraction) -> Interval:
        """A number of which only the ends are known; its point is the middle."""
        return cls((low + high) / 2, low, high)

    @property
    def is_exact(self) -> bool:
        """Whether both ends are the point."""
        return self.low == self.high

    def exactly(self) -> Interval:
        """Its point alone."""
        return Interval.exact(self.point)

    def overlaps(self, other: Interval) -> bool:
        """Whether some number lies in both."""
        return self.low <= other.high and other.low <= self.high

    def holds(self, number: Fraction) -> bool:
        """Whether a number lies in it."""
        return self.low <= number <= self.high

    def cut(self, parts: int) -> Iterator[Interval]:
        """Equal pieces of it, end to end."""
        width = (self.high - self.low) / parts
        for number in range(parts):
            low, high = self.low + number * width, self.low + (number + 1) * width
            yield Interval.between(low, high)

    def __floor__(self) -> Interval:
        return Interval(*(Fraction(floor(end)) for end in (self.point, self.low, self.high)))

    def __ceil__(self) -> Interval:
        return Interval(*(Fraction(ceil(end)) for end in (self.point, self.low, self.high)))

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.point + other.point, self.low + other.low, self.high + other.high)

    def __sub__(self, other: Interval) -> Interval:
        return Interval(self.point - other.point, self.low - other.high, self.high - other.low)

    def __mul__(self, other: Interval) -> Interval:
        if self.low >= 0 <= other.low:
            return Interval(self.point * other.point, self.low * other.low, self.high * other.high)
        ends = [one * two for one in (self.low, self.high) for two in (other.low, other.high)]
        return Interval(self.point * other.point, min(ends), max(ends))

    def __truediv__(self, other: Interval) -> Interval:
        if other.low <= 0 <= other.high:
            raise InputError("a number cannot be divided by one that may be zero")
        return self * Interval(1 / other.point, 1 / other.high, 1 / other.low)

    def __pow__(self, exponent: int) -> Interval:
        if not 0 <= exponent <= LARGEST_POWER:
            raise InputError(f"a power of {exponent}", rule=f"whole exponents from 0 to {LARGEST_POWER} are read")
        result = Interval.exact(1)
        for _ in range(exponent):
            result = result * self
        return result
