"""Another way to read a text: what it takes instead, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from dist_epochs.arithmetic.agreement import Agreement
from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import Quantity
from dist_epochs.arithmetic.text import number
from dist_epochs.audit.expression import Expression
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.sentence.draft import Draft, DraftCheck

__all__ = ["Change", "quantity_like"]


@dataclass(frozen=True, slots=True)
class Change:
    """Another way to read a text.

    Attributes:
        key: What it is about: two changes of one key exclude each other.
        literal: What is taken for granted as printed.
        assumes: What is taken instead.
        facts: Numbers in place of those printed.
        stated: Stated numbers in place of those printed, by the name of the check.
        formulas: Formulas in place of the usual ones, by the name of the check.
        is_small: Whether it moves numbers by less than a tenth.
    """

    key: str
    literal: str
    assumes: str
    facts: Mapping[str, Fact] = field(default_factory=dict)
    stated: Mapping[str, Fact] = field(default_factory=dict)
    formulas: Mapping[str, Expression] = field(default_factory=dict)
    is_small: bool = False

    def __add__(self, other: Change) -> Change:
        return Change(
            f"{self.key} and {other.key}",
            f"{self.literal}, and {other.literal}",
            f"{self.assumes} and {other.assumes}",
            {**self.facts, **other.facts},
            {**self.stated, **other.stated},
            {**self.formulas, **other.formulas},
            self.is_small and other.is_small,
        )

    def contradicts(self, draft: Draft) -> bool:
        """Whether something that is stated contradicts the text, read so."""
        return any(self.outcome(draft, check) is Agreement.CONTRADICTS for check in draft.checks)

    def outcome(self, draft: Draft, check: DraftCheck) -> Agreement | None:
        """How a check comes out, read so."""
        taken = replace(check, formula=self.formulas.get(check.name, check.formula))
        return taken.agreement({**draft.facts, **self.facts}, self.stated.get(check.name))


def quantity_like(like: Quantity, value: Fraction) -> Quantity:
    """A number of the same unit with another value, exact."""
    return replace(like, number=Interval.exact(value), factors=(value,), half=None, text=number(value))
