"""Numbers that are a multiple of one of two."""

from __future__ import annotations

from math import lcm

__all__ = ["nth_multiple"]


def nth_multiple(count: int, one: int, other: int) -> int:
    """The `count`-th positive number that is a multiple of `one` or of `other`; common multiples count once.

    Up to j there are j ÷ one + j ÷ other − j ÷ lcm of them (each rounded down), so j is found by halving.

    Args:
        count: Which of them, from 1 on.
        one: A positive number.
        other: Another.

    Examples:
        >>> [nth_multiple(count, 3, 4) for count in range(1, 8)]
        [3, 4, 6, 8, 9, 12, 15]
    """
    both = lcm(one, other)
    low, high = 0, count * min(one, other)
    while high - low > 1:
        middle = (low + high) // 2
        reached = middle // one + middle // other - middle // both >= count
        low, high = (low, middle) if reached else (middle, high)
    return high
