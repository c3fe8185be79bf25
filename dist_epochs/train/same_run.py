"""Checks that a resumed run is the one that was begun: its recipe, its model and its plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.errors import InputError, Origin
from dist_epochs.ledger.plan_file import read_plan
from dist_epochs.plan.global_batch import product_of
from dist_epochs.plan.plan import Plan
from dist_epochs.recipe import BatchRecipe, Recipe, read_recipe
from dist_epochs.recipe.writing import flat, recipe_to_data

__all__ = ["MODEL", "check_same_model", "check_same_plan", "same_recipe"]

MODEL = "model.json"
"""File of a run directory with the model's configuration."""

MAY_DIFFER = (
    "name", "batch.devices", "batch.per_device", "batch.gradient_accumulation", "batch.uneven", "corpus.store",
    "corpus.cache", "precision", "hardware", "evaluation", "tracking", "checkpoints", "on_nan", "max_skipped",
    "timeout", "log_every", "budget.limit", "budget.on_limit",
)  # fmt: skip
"""Settings that may differ from segment to segment: they change neither the samples nor what is learned from them."""

REPLAN_MAY_CHANGE = ("phases", "budget", "batch", "optimizer")
"""Sections that a new plan may change: the corpus and its order stay the same."""


def same_recipe(recipe: Recipe, out: Path, *, replans: bool = False) -> tuple[Recipe, bool]:
    """The recipe to resume with: its batch is the planned one, however many devices there are now.

    Args:
        recipe: The recipe as it is now.
        out: The run directory.
        replans: Whether length, batch and learning may change from here on.

    Returns:
        The recipe, and whether it changes what is left of the run.

    Raises:
        InputError: With every setting that differs and may not.
    """
    before = read_recipe(out / "recipe.yaml")
    differences = _differences(_decisive(before), _decisive(recipe))
    derived = [_derived(each.batch) for each in (before, recipe)]
    if replans and derived[0] != derived[1]:
        differences["batch"] = f"batch: {derived[0] or 'stated'} → {derived[1] or 'stated'}"
    fixed = {name: text for name, text in differences.items() if not name.startswith(REPLAN_MAY_CHANGE)}
    refused = fixed if replans else differences
    if refused:
        raise InputError(
            "this run was begun with another recipe",
            rule="\n".join(refused.values()),
            fixes=(
                "the recipe it was begun with",
                "a new run in another --out",
                *(() if fixed else ("--replan, so that the recipe decides from here on",)),
            ),
            origin=Origin(str(out)),
        )
    batch = replace(recipe.batch, devices=None, gradient_accumulation=None)
    samples = derived[1] if replans else derived[0]
    if samples is not None:
        batch = replace(batch, global_batch=Quantity.exact(samples, Unit.SAMPLE))
    return replace(recipe, batch=batch), bool(differences)


def check_same_model(config: Mapping[str, Any], out: Path) -> None:
    """Is the model the one that the run was begun with? The recipe may name a file, whose content may have changed.

    Args:
        config: The configuration of the model, as transformers would save it.
        out: The run directory.

    Raises:
        InputError: With every setting that differs.
    """
    before = json.loads((out / MODEL).read_text(encoding="utf-8"))
    pairs = [{name: json.dumps(value) for name, value in flat(each, "model.config")} for each in (before, config)]
    differences = _differences(*pairs)
    if differences:
        raise InputError(
            "this run was begun with another model",
            rule="\n".join(differences.values()),
            fixes=("the model it was begun with", "a new run in another --out"),
            origin=Origin(str(out)),
        )


def check_same_plan(plan: Plan, out: Path, *, replans: bool) -> None:
    """Is the corpus the one that was planned, and is the plan the same?

    Args:
        plan: The plan that the recipe gives now.
        out: The run directory.
        replans: Whether the rest of the run may differ.

    Raises:
        InputError: If the same recipe now plans other samples.
    """
    before = read_plan(out / "plan.json")
    found = plan.facts and plan.facts.fingerprint
    if found != before["corpus"]["fingerprint"] or (plan.fingerprint != before["fingerprint"] and not replans):
        raise InputError(
            "the recipe is the one this run was begun with, but its plan is another one",
            rule=f"the store at {before['corpus']['store']} has changed, or this version of the program draws in "
            "another order",
            consequence="to resume would repeat some samples and miss others",
            fixes=("to put the store back", "a new run in another --out"),
            origin=Origin(str(out)),
        )


def _derived(batch: BatchRecipe) -> int | None:
    """Samples of a batch that follows from devices, samples per device and accumulation; None where it is stated."""
    stated = batch.global_batch is not None or (batch.ramp is not None and batch.ramp.stages is not None)
    return None if stated else product_of(batch)


def _decisive(recipe: Recipe) -> dict[str, str]:
    """Settings that decide what is trained, by their dotted names."""
    return {
        name: json.dumps(value)
        for name, value in flat(recipe_to_data(recipe))
        if not name.startswith("model.config")  # compared as transformers reads it
        and not any(name == free or name.startswith(free + ".") for free in MAY_DIFFER)
    }


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Each setting that differs, with both values."""
    return {
        name: f"{name}: {before.get(name, 'not set')} → {now.get(name, 'not set')}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    }
