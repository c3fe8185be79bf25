"""Sensitivity: the same plan with one assumption changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import log
from typing import Any, Literal

from dist_epochs.arithmetic.quantity import Quantity, Unit, json_number
from dist_epochs.arithmetic.text import scaled
from dist_epochs.errors import InputError
from dist_epochs.plan.plan import Plan
from dist_epochs.recipe import Recipe

__all__ = ["ChangedAssumption", "sensitivity_of"]

USUAL_TOKENS_PER_WORD = Fraction(5, 4)
LOWEST_END = Fraction(96, 100)
"""A size whose lower end is less than this share of it has one digit, and is a round number."""

SMALLEST_FACTOR = 1.005
"""A change of less than half a percent is not shown."""


@dataclass(frozen=True, slots=True)
class ChangedAssumption:
    """An assumption changed, and what becomes of the answer.

    Attributes:
        change: What is assumed instead.
        value: The answer then.
        unit: Of the answer: epochs, hours or steps.
        factor: The answer then ÷ the answer now.
        rule: The page that explains it.
    """

    change: str
    value: Fraction
    unit: str
    factor: float
    rule: str

    def to_json(self) -> dict[str, Any]:
        """As the plan's JSON shows it."""
        return {
            "change": self.change,
            "value": json_number(self.value),
            "unit": self.unit,
            "factor": self.factor,
            "rule": self.rule,
        }


def sensitivity_of(plan: Plan, replan: Callable[[Recipe], Plan]) -> tuple[ChangedAssumption, ...]:
    """The assumptions of a plan, the strongest first.

    Args:
        plan: The plan.
        replan: Plans a changed recipe on the same corpus.
    """
    moves = [
        *_lengths(plan, replan),
        *_words(plan, replan),
        *_corpus_digits(plan),
        *_windows(plan, replan),
        *_mfu(plan),
    ]
    strong = [move for move in moves if max(move.factor, 1 / move.factor) > SMALLEST_FACTOR]
    return tuple(sorted(strong, key=lambda move: -abs(log(move.factor))))


def _epochs(plan: Plan) -> Fraction | None:
    return plan.epochs["samples"] if plan.epochs["samples"] is not None else plan.epochs["positions"]


def _changed(
    change: str, before: Fraction | None, after: Fraction | None, rule: str, unit: str = "epochs"
) -> Iterator[ChangedAssumption]:
    if before and after:
        yield ChangedAssumption(change, after, unit, float(after / before), rule)


def _lengths(plan: Plan, replan: Callable[[Recipe], Plan]) -> Iterator[ChangedAssumption]:
    """All steps at the longest length, as papers multiply."""
    if len(plan.lengths) < 2:
        return
    longest = plan.recipe.longest
    recipe = plan.recipe
    phases = tuple(replace(phase, sequence_length=longest) for phase in recipe.phases)
    try:
        changed = replan(replace(recipe, phases=phases))
    except InputError:  # a batch in tokens may not divide by that length
        return
    yield from _changed(f"length {longest} throughout", _epochs(plan), _epochs(changed), "sequence-phases")


def _words(plan: Plan, replan: Callable[[Recipe], Plan]) -> Iterator[ChangedAssumption]:
    ratio = plan.recipe.corpus.tokens_per_word
    if ratio is None or plan.facts is not None:
        return
    other = USUAL_TOKENS_PER_WORD if ratio.value == 1 else Fraction(1)
    corpus = replace(plan.recipe.corpus, tokens_per_word=Quantity.exact(other))
    name = "one token per word" if other == 1 else f"{float(other):g} tokens per word"
    changed = replan(replace(plan.recipe, corpus=corpus))
    if changed.steps != plan.steps:  # epochs are asked for, so steps follow the corpus
        steps = Fraction(plan.steps), Fraction(changed.steps)
        yield from _changed(name, *steps, "words-as-tokens", "steps")
    else:
        yield from _changed(name, _epochs(plan), _epochs(changed), "words-as-tokens")


def _corpus_digits(plan: Plan) -> Iterator[ChangedAssumption]:
    """A corpus is as large as its digits say, give or take half of the last one."""
    size, epochs = plan.corpus_size, _epochs(plan)
    if size is None or epochs is None or size.unit is Unit.SAMPLE or size.low < size.value * LOWEST_END:
        return  # samples are counted, and one digit is a round number
    amounts = {name for name, _ in filter(None, (phase.amount for phase in plan.recipe.phases))}
    if "epochs" in amounts or (plan.recipe.length_budget is not None and plan.recipe.length_budget.epochs is not None):
        return  # what is asked for stays
    name = f"corpus of {scaled(size.low)} {size.unit}s, as its digits allow"
    yield from _changed(name, epochs, epochs * size.value / size.low, "not-counted")


def _windows(plan: Plan, replan: Callable[[Recipe], Plan]) -> Iterator[ChangedAssumption]:
    if plan.loop is None:
        return
    others: tuple[Literal["flush", "carry", "drop"], ...] = ("flush", "carry", "drop")
    for policy in others:
        if policy == plan.loop.loader.last_window:
            continue
        try:
            changed = replan(replace(plan.recipe, batch=replace(plan.recipe.batch, last_window=policy)))
        except InputError:  # a pass may have no whole window to keep
            continue
        if changed.steps != plan.steps:
            steps = Fraction(plan.steps), Fraction(changed.steps)
            yield from _changed(f"last window: {policy}", *steps, "partial-window", "steps")
        else:
            yield from _changed(f"last window: {policy}", _epochs(plan), _epochs(changed), "partial-window")


def _mfu(plan: Plan) -> Iterator[ChangedAssumption]:
    hours, speed = plan.cost.wall_hours or plan.cost.device_hours, plan.cost.speed
    if hours is None or speed is None or not speed.is_guess:
        return
    unit = "hours" if plan.cost.wall_hours else "device-hours"
    yield from _changed(
        f"{float(speed.mfu.low):.0%} of the peak, not {float(speed.mfu.high):.0%}",
        hours.low,
        hours.high,
        "guessed-mfu",
        unit,
    )
