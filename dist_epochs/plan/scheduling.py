"""The phases of a run in whole steps, from amounts in steps, samples, tokens, epochs, hours, FLOPs or money."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from dist_epochs.arithmetic.layout import Layout, Stretch, lay_out
from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.arithmetic.schedule import Schedule
from dist_epochs.errors import InputError
from dist_epochs.plan.corpus_facts import CorpusFacts
from dist_epochs.plan.global_batch import batch_of
from dist_epochs.plan.recipe import PhaseRecipe, Recipe

__all__ = ["PositionsFor", "layout_of", "schedule_of"]

PositionsFor = Callable[[str, Fraction, int], Fraction]
"""How many positions of a length an amount of hours, FLOPs or money pays for."""

LIMITS = ("hours", "flops", "money")
"""Amounts that may not be exceeded."""


@dataclass(frozen=True, slots=True)
class _Amount:
    unit: Unit
    value: Fraction
    last_step: Literal["whole", "partial", "within"]


def layout_of(recipe: Recipe, facts: CorpusFacts | None, positions_for: PositionsFor | None = None) -> Layout:
    """The phases of a recipe, each with its global batch in samples.

    Args:
        recipe: The recipe.
        facts: The counted corpus, which epochs are measured by; without it, the stated size.
        positions_for: Prices positions; needed for a budget in hours, FLOPs or money.

    Raises:
        InputError: If an amount cannot be turned into steps.
    """
    stretches, last = [], _Amount(Unit.STEP, Fraction(1), "whole")
    for phase, (name, value) in zip(recipe.phases, _amounts(recipe), strict=True):
        last = _measured(recipe, phase, name, value, facts, positions_for)
        stretches.append(
            Stretch(
                unit=last.unit,
                amount=last.value,
                sequence_length=phase.sequence_length or 1,
                batch=batch_of(recipe.batch, phase),
            )
        )
    return lay_out(stretches, last_step=last.last_step)


def schedule_of(recipe: Recipe, facts: CorpusFacts | None) -> Schedule:
    """The phases of a recipe that is trained here."""
    return Schedule(layout_of(recipe, facts).phases)


def _amounts(recipe: Recipe) -> list[tuple[str, Fraction]]:
    """Each phase's amount, its share of the budget worked out."""
    stated = [phase.amount for phase in recipe.phases]
    if recipe.budget is None:
        return [amount for amount in stated if amount is not None]
    unit, budget = recipe.budget.amount
    parts = [None if amount is None else amount[1] * budget if amount[0] == "share" else amount[1] for amount in stated]
    rest = budget - sum((part for part in parts if part is not None), Fraction(0))
    return [(unit, rest if part is None else part) for part in parts]


def _measured(
    recipe: Recipe,
    phase: PhaseRecipe,
    name: str,
    value: Fraction,
    facts: CorpusFacts | None,
    positions_for: PositionsFor | None,
) -> _Amount:
    """An amount in steps, samples or positions."""
    length = phase.sequence_length
    if name == "steps":
        if value.denominator != 1:
            raise InputError(f"a phase's share of the budget is {float(value):.6g} steps, not a whole number of them")
        return _Amount(Unit.STEP, value, "whole")
    if name == "samples":
        return _Amount(Unit.SAMPLE, value, "partial")
    if name == "epochs":
        return _epochs(recipe, value, length, facts)
    if length is None:
        raise InputError(
            f"{name} of a corpus counted in samples: how many tokens a sample has is not known. Give samples"
        )
    if name == "tokens":
        return _Amount(Unit.POSITION, value, "whole")
    assert name in LIMITS
    if positions_for is None:
        raise InputError(
            f"a budget in {name} is an estimate of steps; to train, state steps, samples, tokens or epochs"
        )
    return _Amount(Unit.POSITION, positions_for(name, value, length), "within")


def _epochs(recipe: Recipe, epochs: Fraction, length: int | None, facts: CorpusFacts | None) -> _Amount:
    if facts is not None and length is not None:
        if any(length not in source.samples for source in facts.sources):
            raise InputError(
                f"epochs at length {length} are passes over samples of that length, and {facts.store} is not packed at "
                f"it: run `dist-epochs tokenize {facts.store} --sequence-length {length}`"
            )
        return _Amount(Unit.SAMPLE, epochs * sum(facts.samples(length).values()), "partial")
    size = recipe.corpus.size
    if size is None:
        raise InputError(
            f"epochs need the size of the corpus, and there is no store at {recipe.corpus.store}: count it with "
            "`dist-epochs tokenize`, or state corpus.tokens"
        )
    if size.unit is Unit.SAMPLE:
        return _Amount(Unit.SAMPLE, epochs * size.value, "partial")
    return _Amount(Unit.POSITION, epochs * size.value, "whole")
