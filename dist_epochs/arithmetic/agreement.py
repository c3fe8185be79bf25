"""How a derived number stands to a stated one."""

from __future__ import annotations

from enum import StrEnum

from dist_epochs.arithmetic.interval import Interval

__all__ = ["Agreement", "agreement"]


class Agreement(StrEnum):
    """How a derived number stands to the stated one, best first."""

    EXACT = "exact"
    ROUNDS = "rounds"
    OVERLAPS = "overlaps"
    CONTRADICTS = "contradicts"


def agreement(derived: Interval, stated: Interval) -> Agreement:
    """How a derived number stands to a stated one.

    Args:
        derived: What the other numbers give.
        stated: What is printed, with everything that rounds to it.

    Returns:
        `EXACT` if both are the same number; `ROUNDS` if the derived point rounds to what is stated; `OVERLAPS` if only
        the intervals meet; else `CONTRADICTS`.
    """
    if derived.point == stated.point:
        return Agreement.EXACT
    if stated.holds(derived.point):
        return Agreement.ROUNDS
    return Agreement.OVERLAPS if derived.overlaps(stated) else Agreement.CONTRADICTS
