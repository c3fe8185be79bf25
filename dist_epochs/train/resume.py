"""Going on with a run: is it the same one, and where does it begin?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.errors import InputError
from dist_epochs.ledger.file import read_lines
from dist_epochs.ledger.reading import read_totals
from dist_epochs.ledger.reconcile import UNITS, read_plan
from dist_epochs.ledger.rows import Row, unmirrored_rows
from dist_epochs.ledger.totals import Totals
from dist_epochs.plan.global_batch import product_of
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.recipe import BatchRecipe, Recipe, read_recipe
from dist_epochs.recipe.writing import recipe_to_data, recipe_to_yaml
from dist_epochs.runtime.files import make_durable, write_json
from dist_epochs.train.checkpoints import Checkpoints, Found, Manifest

MODEL = "model.json"
"""The model's configuration, in a run directory."""

__all__ = [
    "MODEL",
    "Start",
    "begun",
    "check_same_model",
    "check_same_plan",
    "find_start",
    "is_finished",
    "same_recipe",
    "write_replan",
]

FREE = (
    "name", "batch.devices", "batch.per_device", "batch.gradient_accumulation", "batch.uneven", "corpus.store",
    "precision", "hardware", "evaluation", "tracking", "checkpoints", "on_nan", "max_skipped", "timeout", "log_every",
)  # fmt: skip
"""Settings that may differ from segment to segment: they change neither what is drawn nor what is learned from it."""

REPLANNED = ("phases", "budget", "batch", "optimizer")
"""Sections that a new plan may change: what is drawn, and from which order, stays."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Where a program begins.

    Attributes:
        totals: What is behind it.
        found: The checkpoint it goes on from; None begins at step 0.
        refused: Newer checkpoints that cannot be used, each with the reason.
        lost: Steps recorded after the checkpoint, which are drawn again.
        rows: Logged rows that the tracker may not have.
    """

    totals: Totals = field(default_factory=Totals)
    found: Found | None = None
    refused: tuple[str, ...] = ()
    lost: int = 0
    rows: Sequence[Row] = ()

    @property
    def step(self) -> int:
        """Steps behind it."""
        return self.totals.last_step

    @property
    def tracked_as(self) -> str | None:
        """The tracker's name for the run, if an earlier segment had one."""
        return next((name for s in reversed(self.totals.segments) if (name := s.facts.get("wandb"))), None)

    def told(self) -> Iterator[str]:
        """What a person wants to know of it."""
        for reason in self.refused:
            yield f"not used: {reason}"
        if self.totals.segments or self.lost:
            where = f"goes on after step {self.step:,} ({self.found.folder.name})" if self.found else "begins at step 0"
            again = f"; {self.lost:,} steps since are drawn again" if self.lost else ""
            yield f"{where}{again}"


def begun(out: Path) -> bool:
    """Whether a run was begun in a directory; its plan is there from the first instant."""
    return (out / "plan.json").is_file()


def is_finished(out: Path) -> bool:
    """Whether a run ended well after all its steps, and its model is there."""
    totals, steps = _totals(out / "ledger.jsonl", None), read_plan(out / "plan.json")["steps"]
    ended = bool(totals.segments) and totals.segments[-1].status == "finished"
    return ended and totals.last_step == steps and (out / "model").is_dir()


def same_recipe(recipe: Recipe, out: Path, *, replans: bool = False) -> tuple[Recipe, bool]:
    """The recipe to go on with: the batch is the one that was planned, whatever the devices now.

    Args:
        recipe: As it is now.
        out: The run directory.
        replans: Whether length, batch and learning may change from here on.

    Returns:
        The recipe, and whether it changes what is left of the run.

    Raises:
        InputError: If a setting differs that may not, with all of them.
    """
    before = read_recipe(out / "recipe.yaml")
    differences = _differences(_decisive(before), _decisive(recipe))
    derived = [product_of(each.batch) if _is_derived(each.batch) else None for each in (before, recipe)]
    if replans and derived[0] != derived[1]:
        differences["batch"] = f"batch: {derived[0] or 'stated'} → {derived[1] or 'stated'}"
    fixed = {name: text for name, text in differences.items() if not name.startswith(REPLANNED)}
    refused = fixed if replans else differences
    if refused:
        raise InputError(
            f"{out}: this run was begun with another recipe:\n"
            + "".join(f"  {text}\n" for text in refused.values())
            + "Nothing was changed. Go on with the recipe it was begun with, or begin a new run in another --out"
            + (", or let the recipe decide from here on: --replan." if not fixed else ".")
        )
    batch = replace(recipe.batch, devices=None, gradient_accumulation=None)
    samples = derived[1] if replans else derived[0]
    if samples is not None:
        batch = replace(batch, global_batch=Quantity.exact(samples, Unit.SAMPLE))
    return replace(recipe, batch=batch), bool(differences)


def _is_derived(batch: BatchRecipe) -> bool:
    """Whether a batch follows from devices, samples per device and accumulation."""
    return batch.global_batch is None and (batch.ramp is None or batch.ramp.stages is None)


def check_same_model(config: Mapping[str, Any], out: Path) -> None:
    """Is the model the one that the run was begun with? Its configuration may stand in a file of its own.

    Args:
        config: Of the model, as transformers would save it.
        out: The run directory.

    Raises:
        InputError: With every setting that differs.
    """
    before = json.loads((out / MODEL).read_text(encoding="utf-8"))
    pairs = [{name: json.dumps(value) for name, value in _flat(each, "model.config")} for each in (before, config)]
    differences = _differences(*pairs)
    if differences:
        raise InputError(
            f"{out}: this run was begun with another model:\n"
            + "".join(f"  {text}\n" for text in differences.values())
            + "Nothing was changed. Go on with the model it was begun with, or begin a new run in another --out."
        )


def check_same_plan(plan: Plan, out: Path, *, replans: bool) -> None:
    """Is the corpus, too, the one that was planned, and does the recipe plan the same?

    Args:
        plan: As the recipe plans the run now.
        out: The run directory.
        replans: Whether what is left may differ.

    Raises:
        InputError: If the same recipe now plans other samples.
    """
    before = read_plan(out / "plan.json")
    found = plan.facts and plan.facts.fingerprint
    if found != before["corpus"]["fingerprint"] or (plan.fingerprint != before["fingerprint"] and not replans):
        raise InputError(
            f"{out}: the recipe is the one this run was begun with, and its plan is another: the store at "
            f"{before['corpus']['store']} has changed, or this version of the program draws in another order. Going on "
            "would repeat some samples and miss others. Put the store back, or begin a new run in another --out."
        )


def write_replan(plan: Plan, recipe: Recipe, out: Path, step: int) -> None:
    """Make a plan and a recipe those of the run; the ones before are kept beside them.

    The plan comes before the recipe: a kill between them leaves a recipe that differs, and the same
    command then writes what is missing.

    Args:
        plan: The new one.
        recipe: As it was given.
        out: The run directory.
        step: Steps taken under the plan before.
    """
    before = read_plan(out / "plan.json")
    if before["fingerprint"] != plan.fingerprint:
        write_json(_free_name(out, f"plan-until-step-{step:09d}", ".json"), before)
        planned = {unit: before[unit] for unit in UNITS}
        change = {"step": step, "fingerprint": before["fingerprint"], "planned": planned}
        kept = {"run": before.get("run"), "replanned": [*before.get("replanned", ()), change]}
        write_json(out / "plan.json", plan_json(plan) | kept)
    kept_recipe = _free_name(out, f"recipe-until-step-{step:09d}", ".yaml")
    kept_recipe.write_bytes((out / "recipe.yaml").read_bytes())
    beside = out / "recipe.yaml.new"
    beside.write_text(recipe_to_yaml(recipe), encoding="utf-8")
    make_durable(beside)
    beside.replace(out / "recipe.yaml")


def _free_name(folder: Path, name: str, suffix: str) -> Path:
    """A name that nothing has yet: a plan may be changed twice at the same step."""
    names = (folder / f"{name}{f'-{number}' if number else ''}{suffix}" for number in count())
    return next(path for path in names if not path.exists())


def find_start(out: Path, checkpoints: Checkpoints) -> Start:
    """The newest checkpoint of a run that is whole and fits its plan and its ledger; every rank calls this.

    Raises:
        InputError: If there are checkpoints and none can be used, or the ledger is damaged.
    """
    ledger = out / "ledger.jsonl"
    checkpoints.ranks.share("")  # what rank 0 has written so far is there
    last = _totals(ledger, None).last_step
    plan = read_plan(out / "plan.json")
    plans = {each["fingerprint"]: each["step"] for each in plan.get("replanned", ())} | {plan["fingerprint"]: last}

    def usable(manifest: Manifest) -> str | None:
        if manifest.run != plan.get("run"):
            return "it is of another run"
        if manifest.plan not in plans:
            return "it is of another plan"
        if manifest.step > last:
            return f"it was made after step {manifest.step}, and the ledger ends at step {last}"
        if manifest.step > plans[manifest.plan]:
            return f"it was made after step {manifest.step}, under a plan that was given up at {plans[manifest.plan]}"
        applied = _totals(ledger, manifest.step).applied.steps
        if applied != manifest.applied:
            return f"it has {manifest.applied} applied steps, and the ledger has {applied} there"
        return None

    found, refused = checkpoints.newest(usable)
    if found is None and refused:
        raise InputError(
            f"{checkpoints.folder}: no checkpoint can be used, so nothing was started:\n"
            + "".join(f"  {reason}\n" for reason in refused)
            + "Put one back from a copy, or move this folder away to begin again at step 0."
        )
    step = found.manifest.step if found else 0
    rows = unmirrored_rows(ledger, up_to=step) if ledger.is_file() else []
    return Start(totals=_totals(ledger, step), found=found, refused=tuple(refused), lost=last - step, rows=rows)


def _totals(ledger: Path, up_to: int | None) -> Totals:
    """What a ledger adds up to; nothing, if a run ended before its first line."""
    if not ledger.is_file() or not read_lines(ledger):
        return Totals()
    return read_totals(ledger, up_to=up_to)


def _decisive(recipe: Recipe) -> dict[str, str]:
    """Settings that decide what is trained, by their dotted names."""
    return {
        name: json.dumps(value)
        for name, value in _flat(recipe_to_data(recipe))
        if not name.startswith("model.config")  # compared as transformers reads it
        and not any(name == free or name.startswith(free + ".") for free in FREE)
    }


def _flat(data: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    pairs = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list) else None
    if pairs is None:
        yield place, data
        return
    for name, value in pairs:
        yield from _flat(value, f"{place}.{name}" if place else str(name))


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Each setting that differs, with both values."""
    return {
        name: f"{name}: {before.get(name, 'not set')} → {now.get(name, 'not set')}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    }
