"""A claim in the making: the facts of a text by name, and what is stated to follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from dist_epochs.arithmetic.agreement import Agreement
from dist_epochs.audit.check import agreement_of
from dist_epochs.audit.expression import Expression, evaluate, names_in
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.sentence.reading import Found
from dist_epochs.audit.sentence.runs import Run

__all__ = ["GROWN", "WHOLE_TEXT", "Draft", "DraftCheck"]

WHOLE_TEXT = -1
"""The run of a check that is about all of them."""
GROWN = "grown_batch"
"""The result of a check of a batch that was multiplied."""


@dataclass(frozen=True, slots=True)
class DraftCheck:
    """Something that is stated, or only follows.

    Attributes:
        name: What it is called.
        formula: The formula, in the names of facts.
        stated: The stated number; None where nothing is stated.
        run: The number of its run, from 0.
        result: The role of the result.
        words: Whether it takes a word for a token.
        free: A factor that the text does not state, and that the formula takes as one.
        brings: What else it takes for granted and the text does not state.
    """

    name: str
    formula: Expression
    stated: Fact | None
    run: int
    result: str
    words: bool = False
    free: str = ""
    brings: str = ""

    def agreement(self, facts: Mapping[str, Fact], stated: Fact | None = None) -> Agreement | None:
        """How it comes out."""
        wanted = stated or self.stated
        if wanted is None:
            return None
        return agreement_of(
            evaluate(self.formula, {name: facts[name].interval for name in names_in(self.formula)}), wanted
        )

    def ratio(self, facts: Mapping[str, Fact]) -> Fraction:
        """Derived ÷ stated."""
        assert self.stated is not None
        derived = evaluate(self.formula, {name: facts[name].interval for name in names_in(self.formula)})
        return derived.point / self.stated.number.value if self.stated.number.value else Fraction(0)


@dataclass(frozen=True, slots=True)
class Draft:
    """A claim in the making.

    Attributes:
        facts: Numbers by name.
        roles: The role of each name, and the number of its run.
        found: The facts of the text, by name.
        checks: What is stated to follow, and what only follows.
        dropped: What does not agree, and rests on numbers of which the text does not tell whose they are.
        runs: The runs.
    """

    facts: Mapping[str, Fact]
    roles: Mapping[str, tuple[str, int]]
    found: Mapping[str, Found]
    checks: tuple[DraftCheck, ...]
    dropped: tuple[str, ...]
    runs: tuple[Run, ...]

    def names(self, role: str, run: int) -> str | None:
        """The name of a run's fact; None if it has none."""
        return next((name for name, its in self.roles.items() if its == (role, run)), None)

    def rests_on_guess(self, check: DraftCheck) -> bool:
        """Whether a number in a check was assumed."""
        facts = [self.facts[name] for name in names_in(check.formula)]
        return any(not fact.is_read for fact in (*facts, *((check.stated,) if check.stated is not None else ())))

    @property
    def contradictions(self) -> tuple[DraftCheck, ...]:
        """What does not agree."""
        return tuple(check for check in self.checks if check.agreement(self.facts) is Agreement.CONTRADICTS)
