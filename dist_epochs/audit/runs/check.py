"""One number of a run, derived from others and held against what is claimed or was logged."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import json_number
from dist_epochs.audit.agreement import Agreement, agreement_of
from dist_epochs.audit.fact import Fact

__all__ = ["RunCheck", "held"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCheck:
    """One number, derived and stated.

    Attributes:
        name: What it is.
        derived: What comes out.
        how: The formula with its numbers.
        stated: What is claimed or logged, as spelled.
        is_logged: Whether the run itself states it, and no flag.
        against: The stated number; None if nothing is stated.
        agreement: How they agree; None if nothing is stated.
        uses: Names of the numbers in it.
    """

    name: str
    derived: Interval
    how: str
    stated: str | None = None
    is_logged: bool = False
    against: Fraction | None = None
    agreement: Agreement | None = None
    uses: frozenset[str] = frozenset()

    @property
    def ratio(self) -> float | None:
        """Derived ÷ stated."""
        return float(self.derived.point / self.against) if self.against else None

    def to_json(self) -> dict[str, Any]:
        """With the keys of a claim's check, `how` it follows, and `by` whom it is stated."""
        derived = self.derived.point
        return {
            "name": self.name,
            "derived": str(derived),
            "value": json_number(derived),
            "low": json_number(self.derived.low),
            "high": json_number(self.derived.high),
            "stated": self.stated,
            "by": ("log" if self.is_logged else "claim") if self.stated else None,
            "agreement": str(self.agreement) if self.agreement else None,
            "ratio": self.ratio,
            "how": self.how,
        }


def held(
    name: str,
    derived: Interval,
    how: str,
    stated: Fact | None,
    *,
    uses: frozenset[str] = frozenset(),
    logged: bool = False,
) -> RunCheck:
    """A check against a stated number, or for information where nothing is stated."""
    if stated is None:
        return RunCheck(name=name, derived=derived, how=how, uses=uses)
    return RunCheck(
        name=name,
        derived=derived,
        how=how,
        stated=stated.printed,
        is_logged=logged,
        against=stated.number.value,
        agreement=agreement_of(derived, stated),
        uses=uses,
    )
