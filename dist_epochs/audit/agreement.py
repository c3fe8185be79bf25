"""How a derived number stands to the stated one."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.audit.fact import Fact

__all__ = ["Agreement", "agreement_of", "worst_of"]


class Agreement(StrEnum):
    """How a derived number stands to the stated one, best first."""

    EXACT = "exact"
    ROUNDS = "rounds"
    OVERLAPS = "overlaps"
    CONTRADICTS = "contradicts"


def agreement_of(derived: Interval, stated: Fact) -> Agreement:
    """Exact, rounds to it, overlaps with it, or contradicts it.

    Args:
        derived: What the facts give, with their play.
        stated: What is printed.
    """
    if derived.point == stated.number.value:
        return Agreement.EXACT
    if stated.is_printed_for(derived.point):
        return Agreement.ROUNDS
    return Agreement.OVERLAPS if derived.overlaps(stated.interval) else Agreement.CONTRADICTS


def worst_of(agreements: Iterable[Agreement | None]) -> Agreement | None:
    """The worst agreement of what is stated; None if nothing is."""
    return max((one for one in agreements if one is not None), key=list(Agreement).index, default=None)
