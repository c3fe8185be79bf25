"""One number of an audit, derived and compared with what is stated, and the readings that such checks belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dist_epochs.arithmetic.agreement import Agreement
from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import json_number
from dist_epochs.audit.expression import Expression
from dist_epochs.audit.fact import Fact

__all__ = ["LITERAL", "Check", "Reading", "Verdict", "agreement_of", "compare_with_stated", "worst_of"]

LITERAL = "as printed"
"""Name of the reading that takes everything as it stands."""


class Verdict(StrEnum):
    """What is to be said of a claim or a run."""

    CONSISTENT = "consistent"
    WITH_ROUNDING = "consistent-with-rounding"
    ONLY_IF = "consistent-only-if"
    INCONSISTENT = "inconsistent"
    UNDERDETERMINED = "underdetermined"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One number, derived and stated.

    Attributes:
        name: What it is.
        derived: What comes out.
        how: How it is derived, with the numbers.
        stated: What the work, a flag or the run's own log says; None if nothing does.
        is_logged: Whether the run itself states it.
        agreement: How they agree; None if there is nothing to agree with.
        rule: Where no number is stated, what the derived one breaks: `a whole number`.
        uses: Names of the numbers in it.
        formula: Of a claim, the formula it is derived with.
        facts: Of a claim, the facts in the formula, as its reading has them.
    """

    name: str
    derived: Interval
    how: str
    stated: Fact | None = None
    is_logged: bool = False
    agreement: Agreement | None = None
    rule: str = ""
    uses: frozenset[str] = frozenset()
    formula: Expression | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def contradicts(self) -> bool:
        """Whether what is derived cannot be what is stated."""
        return self.agreement is Agreement.CONTRADICTS

    @property
    def is_unread(self) -> bool:
        """Whether a number in it was remembered or assumed, not read."""
        return any(not fact.is_read for fact in (*self.facts.values(), *([self.stated] if self.stated else [])))

    @property
    def ratio(self) -> float | None:
        """Derived ÷ stated."""
        if self.stated is None or not self.stated.number.value:
            return None
        return float(self.derived.point / self.stated.number.value)

    @property
    def printed(self) -> str | None:
        """What is stated, as it is spelled; or the rule that is broken."""
        return self.stated.printed if self.stated is not None else self.rule or None

    def to_json(self) -> dict[str, Any]:
        """The check as the audit's JSON shows it; of a run, also `by` whom it is stated."""
        found: dict[str, Any] = {
            "name": self.name,
            "derived": str(self.derived.point),
            "value": json_number(self.derived.point),
            "low": json_number(self.derived.low),
            "high": json_number(self.derived.high),
            "stated": self.printed,
            "agreement": str(self.agreement) if self.agreement else None,
            "ratio": self.ratio,
            "how": self.how,
        }
        if self.stated is not None:
            ends = self.stated.interval
            found |= {"stated_low": json_number(ends.low), "stated_high": json_number(ends.high)}
        if self.formula is not None:
            return found
        return found | {"by": ("log" if self.is_logged else "claim") if self.printed else None}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A way to read a claim or a run.

    Attributes:
        name: Its name; `as printed` for the literal one.
        assumes: What it takes for granted, by name.
        checks: Its checks.
        left_out: The claim's checks that it leaves out, with its own facts.
    """

    name: str
    assumes: Mapping[str, str]
    checks: tuple[Check, ...]
    left_out: tuple[Check, ...] = ()

    @property
    def literal(self) -> bool:
        """Whether it takes everything as it stands."""
        return self.name == LITERAL

    @property
    def worst(self) -> Agreement | None:
        """The worst agreement of what is stated; None if nothing is."""
        return worst_of(check.agreement for check in self.checks)

    @property
    def contradictions(self) -> tuple[Check, ...]:
        """The checks that contradict what is stated."""
        return tuple(check for check in self.checks if check.contradicts)

    @property
    def is_contradicted(self) -> bool:
        """Whether something that is stated contradicts it.

        What it leaves out of the claim counts, too: a reading cannot settle one number by not looking at another.
        """
        return any(check.contradicts for check in (*self.checks, *self.left_out))

    def to_json(self) -> dict[str, Any]:
        """The reading as the audit's JSON shows it."""
        return {
            "name": self.name,
            "literal": self.literal,
            "assumes": dict(self.assumes),
            "checks": [check.to_json() for check in self.checks],
        }


def agreement_of(derived: Interval, stated: Fact) -> Agreement:
    """How a derived number stands to a stated one.

    It rounds to the stated number if it would be printed so, with the digits that this has: `~40` may stand for 39.2,
    but 39.2 does not round to 40.
    """
    if derived.point == stated.number.value:
        return Agreement.EXACT
    if stated.is_printed_for(derived.point):
        return Agreement.ROUNDS
    return Agreement.OVERLAPS if derived.overlaps(stated.interval) else Agreement.CONTRADICTS


def worst_of(agreements: Iterable[Agreement | None]) -> Agreement | None:
    """The worst agreement of what is stated; None if nothing is."""
    return max((one for one in agreements if one is not None), key=list(Agreement).index, default=None)


def compare_with_stated(
    name: str, derived: Interval, how: str, stated: Fact | None, *, uses: frozenset[str], is_logged: bool = False
) -> Check:
    """A check of a run: against a stated number, or for information where nothing is stated."""
    return Check(
        name=name,
        derived=derived,
        how=how,
        stated=stated,
        is_logged=is_logged and stated is not None,
        agreement=agreement_of(derived, stated) if stated is not None else None,
        uses=uses,
    )
