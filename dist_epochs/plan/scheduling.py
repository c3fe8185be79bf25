"""The phases of a run in whole steps, from amounts in steps, samples, tokens, epochs, hours, FLOPs or money."""

from __future__ import annotations

from collections.abc import Callable, Collection
from fractions import Fraction
from typing import Literal

from dist_epochs.arithmetic.layout import Layout, Stretch, lay_out
from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.errors import InputError
from dist_epochs.plan.corpus_facts import CorpusFacts
from dist_epochs.plan.global_batch import batch_of
from dist_epochs.plan.history import History
from dist_epochs.plan.mixtures import Mixtures
from dist_epochs.recipe import PhaseRecipe, Recipe

__all__ = ["LIMITS", "PricePerPosition", "layout_of"]

PricePerPosition = Callable[[str, int], Fraction]
"""What one position of a length takes of a budget in hours, FLOPs or money."""

LIMITS = ("hours", "flops", "money")
"""Amounts that may not be exceeded."""


def layout_of(
    recipe: Recipe,
    facts: CorpusFacts | None,
    mixtures: Mixtures | None,
    price: PricePerPosition | None = None,
    history: History | None = None,
) -> Layout:
    """The phases of a recipe, each with its global batch in samples.

    Args:
        recipe: The recipe.
        facts: The counted corpus, which epochs are measured by; without it, the stated size.
        mixtures: The sources of each phase, of which its epochs are passes; those of a budget are over all sources.
        price: Prices positions; needed for a budget in hours, FLOPs or money.
        history: What was done under another recipe.

    Raises:
        InputError: If an amount cannot be turned into steps.
    """
    names = _measured_sources(recipe, mixtures)
    amounts = _amounts(recipe)
    stretches = [
        Stretch(
            measure=name if name != "epochs" or mine is None else f"epochs of {', '.join(mine)}",
            amount=amount,
            sequence_length=phase.sequence_length or 1,
            batch=batch_of(recipe.batch, phase),
            per_step=int(name == "steps"),
            per_sample=0 if name == "steps" else _per_sample(recipe, phase, name, facts, mine, price),
        )
        for phase, (name, amount), mine in zip(recipe.phases, amounts, names, strict=True)
    ]
    layout = lay_out(stretches, last_step=_last_step(recipe, amounts[-1][0], facts))
    return history.followed_by(layout) if history else layout


def _measured_sources(recipe: Recipe, mixtures: Mixtures | None) -> list[tuple[str, ...] | None]:
    """The sources that epochs of each phase are passes over; None stands for the whole corpus."""
    if mixtures is None or recipe.length_budget is not None:
        return [None] * len(recipe.phases)
    names = [mixture.names for mixture in mixtures.planned]
    return [None if set(mine) == set(mixtures.names) else mine for mine in names]


def _last_step(recipe: Recipe, measure: str, facts: CorpusFacts | None) -> Literal["whole", "partial", "within"]:
    """How the run ends where steps do not divide what was asked for."""
    if measure in LIMITS:
        return "within"
    size = recipe.corpus.size
    counted = facts is not None or (size is not None and size.unit is Unit.SAMPLE)
    return "partial" if measure == "samples" or (measure == "epochs" and counted) else "whole"


def _amounts(recipe: Recipe) -> list[tuple[str, Fraction]]:
    """Each phase's amount, its share of the budget worked out."""
    stated = [phase.amount for phase in recipe.phases]
    if recipe.length_budget is None:
        return [amount for amount in stated if amount is not None]
    unit, budget = recipe.length_budget.amount
    parts = [None if amount is None else amount[1] * budget if amount[0] == "share" else amount[1] for amount in stated]
    rest = budget - sum((part for part in parts if part is not None), Fraction(0))
    amounts = [(unit, rest if part is None else part) for part in parts]
    for index, (_, value) in enumerate(amounts):
        if unit == "steps" and value.denominator != 1:
            raise InputError(
                f"phases.{index}: its share of the {int(budget):,} steps is {float(value):.6g}, not a whole number",
                fixes=("steps of the phases", "a budget that the shares divide"),
            )
    return amounts


def _per_sample(
    recipe: Recipe,
    phase: PhaseRecipe,
    measure: str,
    facts: CorpusFacts | None,
    sources: Collection[str] | None,
    price: PricePerPosition | None,
) -> Fraction:
    """How much of a measure one sample takes."""
    length = phase.sequence_length
    if measure == "samples":
        return Fraction(1)
    if measure == "epochs":
        return 1 / _samples_per_pass(recipe, length, facts, sources)
    if length is None:
        raise InputError(
            f"{measure} of a corpus counted in samples",
            rule="how many tokens a sample has is not known",
            fixes=("samples, steps or epochs", "a sequence length"),
        )
    if measure == "tokens":
        return Fraction(length)
    if price is None:
        raise InputError(
            f"a budget in {measure} is an estimate of steps", fixes="steps, samples, tokens or epochs, to train"
        )
    return length * price(measure, length)


def _samples_per_pass(
    recipe: Recipe, length: int | None, facts: CorpusFacts | None, sources: Collection[str] | None
) -> Fraction:
    if facts is not None and length is not None:
        if facts.not_packed([length]):
            raise InputError(
                f"epochs at length {length} are passes over samples of that length, and {facts.store} is not packed at "
                "it",
                fixes=f"`dist-epochs tokenize {facts.store} --sequence-length {length}`",
            )
        chosen = facts if sources is None else facts.only(sources)
        return Fraction(sum(chosen.samples(length).values()))
    size, store = recipe.corpus.size_of(sources), recipe.corpus.store
    if size is None:
        missing = f"there is no store at {store}" if store else "none is stated"
        raise InputError(
            f"epochs need the size of the corpus, and {missing}",
            fixes=("counting it with `dist-epochs tokenize`", "--corpus '3.3B tokens', which states it"),
        )
    if size.unit is Unit.SAMPLE:
        return size.value
    assert length is not None  # the recipe checks it
    return size.value / length
