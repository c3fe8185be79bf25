"""What is known of a run while it is audited: logged first, then claimed, then derived."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.arithmetic.text import number, rounded
from dist_epochs.audit.check import Check, compare_with_stated
from dist_epochs.audit.expression import evaluate, names_in, written
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.grammar import parse_expression
from dist_epochs.audit.records.record import FinishedRun, Number
from dist_epochs.audit.runs.claims import Claims
from dist_epochs.audit.runs.trainer_passes import Ending
from dist_epochs.errors import InputError

__all__ = ["KnownNumber", "RunEvidence"]

TOTALS = ("samples", "tokens", "tokens_per_second")
"""What is claimed of these is compared, and never calculated with where it can be derived."""

GROWING = ("steps", "samples", "tokens", "epochs")
"""What grows with every step, also after the last one that was logged."""


@dataclass(frozen=True, slots=True)
class KnownNumber:
    """A number in use, and who says it: the run's files, a flag, or arithmetic."""

    interval: Interval
    origin: Literal["logged", "claimed", "derived"]

    @property
    def count(self) -> int | None:
        """It as a whole number, if it is an exact one."""
        point = self.interval.point
        return int(point) if self.interval.is_exact and point.denominator == 1 else None


@dataclass(slots=True)
class RunEvidence:
    """What a run logged and what is claimed of it, and what follows from both while it is audited.

    Attributes:
        run: What its files say.
        claims: What is claimed.
        ending: What happens at the end of a pass.
        values: Numbers in use, by name. What the run logged goes before what is claimed.
        checks: What was found so far.
        notes: What else is worth saying.
        undecided: Claims that cannot be decided, and what would be needed.
    """

    run: FinishedRun
    claims: Claims
    ending: Ending = "flush"
    values: dict[str, KnownNumber] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    undecided: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        claimed = {name: KnownNumber(fact.interval, "claimed") for name, fact in self.claims.numbers.items()}
        logged = {name: KnownNumber(number.interval, "logged") for name, number in self.run.numbers.items()}
        if self.corpus is self.claims.numbers.get("corpus"):
            logged.pop("corpus", None)
        self.values = claimed | logged

    @property
    def corpus(self) -> Fact | None:
        """Size of the corpus: as it was logged, unless it is claimed in tokens."""
        claimed, logged = self.claims.numbers.get("corpus"), self.run.numbers.get("corpus")
        if logged is None or (claimed is not None and claimed.number.unit is not Unit.SAMPLE):
            return claimed
        return Fact(number=Quantity(logged.interval, (Unit.SAMPLE,), text=logged.text), exact=True)

    def has(self, *names: str) -> bool:
        """Whether all of these are known and above zero."""
        return all(name in self.values and self.values[name].interval.low > 0 for name in names)

    def compare(
        self, name: str, derived: Interval, how: str, *, uses: frozenset[str], logged: str | None = None
    ) -> None:
        """Compare a derived number with the claim, else the log; remember it where it is not logged.

        Args:
            name: What it is.
            derived: What comes out.
            how: How, with the numbers.
            uses: Names of the numbers in it.
            logged: The name under which the run logged it, if it is another one.
        """
        fact, number = self.claims.numbers.get(name), self.run.numbers.get(logged or name)
        is_logged = fact is None
        if fact is None:
            fact = _fact(number) if number is not None else None
        elif name in GROWING:
            reached, derived = derived, self._to_the_end(derived)
            if fact.interval.low > derived.high and (rest := self._rest_of_the_run(name, reached, fact)):
                self.undecided[name] = f"the rest of the run: {rest}"
                fact = None
        self.checks.append(compare_with_stated(name, derived, how, fact, uses=uses | {name}, is_logged=is_logged))
        known = self.values.get(name)
        if known is None or (known.origin == "claimed" and name in TOTALS):
            self.values[name] = KnownNumber(derived, "derived")

    def compare_with_log(self, name: str, derived: Interval, how: str, *, uses: frozenset[str]) -> None:
        """Compare a derived number with what the run logged, whatever is claimed."""
        number = self.run.numbers.get(name)
        logged = _fact(number) if number is not None else None
        self.checks.append(compare_with_stated(name, derived, how, logged, uses=uses | {name}, is_logged=True))

    def compare_two(self, name: str, mine: Number, theirs: Number) -> None:
        """Compare what two files of the run say."""
        self.checks.append(
            compare_with_stated(
                name, theirs.interval, theirs.where, _fact(mine), uses=frozenset({name}), is_logged=True
            )
        )

    def _to_the_end(self, derived: Interval) -> Interval:
        """What it may have grown to in the steps after the last logged line."""
        steps, largest = self.run.numbers.get("steps"), self.run.numbers.get("largest_batch")
        if not self.run.unlogged or steps is None or not steps.value:
            return derived
        growth = Fraction(self.run.unlogged, steps.value)
        drawn = self.run.numbers.get("samples")
        if largest is not None and drawn is not None and drawn.value:
            growth = self.run.unlogged * largest.value / drawn.value
        return Interval(derived.point, derived.low, derived.high * (1 + growth))

    def _rest_of_the_run(self, name: str, reached: Interval, claimed: Fact) -> str:
        """Why more may have been made than the files tell; nothing where they tell all.

        A Trainer's state is written at each checkpoint, the best one as well as the last.
        """
        if self.run.is_cut:
            return "its file ends before it does"
        steps, planned = self.run.numbers.get("steps"), self.run.numbers.get("planned_steps")
        if self.run.kind != "hf-trainer" or steps is None or planned is None or not 0 < steps.value < planned.value:
            return ""
        plan = self.run.numbers.get(f"planned_{name}")
        growth = Interval.exact(planned.value / steps.value)
        if not claimed.interval.overlaps(reached * growth) and not (plan and claimed.interval.overlaps(plan.interval)):
            return ""
        return (
            f"{claimed.printed} is what it planned ({rounded(planned.value)} steps), and what is here ends at step "
            f"{rounded(steps.value)}: it stopped there, or went on after this was written"
        )

    def inform(self, name: str, derived: Interval, how: str, *, uses: frozenset[str]) -> None:
        """A number that nobody states."""
        self.checks.append(Check(name=name, derived=derived, how=how, uses=uses))

    def work_out(self, formula: str) -> tuple[Interval, str, frozenset[str]]:
        """A formula over what is known: its value, itself with the numbers, and the names in it.

        Raises:
            InputError: If it divides by what may be zero.
        """
        expression = parse_expression(formula)
        names = frozenset(names_in(expression))
        derived = evaluate(expression, {name: self.values[name].interval for name in names})
        how = written(expression, lambda name: number(self.values[name.name].interval.point))
        return derived, how, names

    def compare_formula(self, name: str, formula: str) -> None:
        """Compare the value of a formula, if everything in it is known."""
        if not self.has(*names_in(parse_expression(formula))):
            return
        try:
            derived, how, names = self.work_out(formula)
        except InputError:  # a divisor that rounds to zero
            return
        self.compare(name, derived, how, uses=names)

    @property
    def first_step(self) -> int:
        """The first step that the record tells of."""
        return self.run.segments[0].steps.first if self.run.segments else 1

    @property
    def used(self) -> frozenset[str]:
        """Names of all numbers that some check uses."""
        return frozenset().union(*(check.uses for check in self.checks))


def _fact(number: Number) -> Fact:
    interval = number.interval
    quantity = Quantity(interval, text=number.text)
    return Fact(number=quantity, exact=True if interval.is_exact else None)
