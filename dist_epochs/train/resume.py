"""Resumes a run: from which checkpoint, and with which plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from dist_epochs.corpus.streaming.planning import exact_plan
from dist_epochs.corpus.streaming.stream import Corpus
from dist_epochs.errors import InputError, Origin
from dist_epochs.ledger.index import LedgerLines
from dist_epochs.ledger.plan_file import UNITS, read_plan
from dist_epochs.ledger.reading import totals_of
from dist_epochs.ledger.rows import Row, unmirrored_rows
from dist_epochs.ledger.totals import Totals
from dist_epochs.ledger.writer import LEDGER_FILE
from dist_epochs.plan.history import history_of, read_history
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.recipe import Recipe
from dist_epochs.recipe.writing import recipe_to_yaml
from dist_epochs.runtime.files import write_json, write_text
from dist_epochs.runtime.peers import on_first
from dist_epochs.train.checkpoints import Checkpoints, Found, Manifest
from dist_epochs.train.same_run import check_same_model, check_same_plan
from dist_epochs.train.setup import Setup
from dist_epochs.train.world import World

__all__ = ["Start", "begun", "find_start", "go_on", "is_finished"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Where a segment of a run begins.

    Attributes:
        totals: What earlier segments recorded.
        found: The checkpoint that it resumes from; None begins at step 0.
        refused: Newer checkpoints that cannot be used, each with the reason.
        lost: Steps recorded after the checkpoint, which are drawn again.
        rows: Logged rows that wandb may not have.
    """

    totals: Totals = field(default_factory=Totals)
    found: Found | None = None
    refused: tuple[str, ...] = ()
    lost: int = 0
    rows: Sequence[Row] = ()

    @property
    def step(self) -> int:
        """Steps taken before."""
        return self.totals.last_step

    @property
    def tracked_as(self) -> str | None:
        """Wandb's id of the run, if an earlier segment had one."""
        return next((name for s in reversed(self.totals.segments) if (name := s.facts.get("wandb"))), None)

    def lines(self) -> Iterator[str]:
        """What is printed about it."""
        for reason in self.refused:
            yield f"checkpoint not used: {reason}"
        if self.totals.segments or self.lost:
            where = f"resumes after step {self.step:,} ({self.found.folder.name})" if self.found else "begins at step 0"
            again = f"; {self.lost:,} recorded steps are drawn again" if self.lost else ""
            yield f"{where}{again}"


def begun(out: Path) -> bool:
    """Whether a run was begun in a directory: its plan is written first."""
    return (out / "plan.json").is_file()


def is_finished(out: Path) -> bool:
    """Whether a run ended normally after all its steps, and its model was saved."""
    totals, steps = _totals(out / LEDGER_FILE, None), read_plan(out / "plan.json")["steps"]
    ended = bool(totals.segments) and totals.segments[-1].status == "finished"
    return ended and totals.last_step == steps and (out / "model").is_dir()


def go_on(
    setup: Setup, world: World, out: Path, checkpoints: Checkpoints, changed: Recipe | None
) -> tuple[Start, Corpus, Plan]:
    """Where a run resumes, and with which corpus and plan; every rank calls this.

    Args:
        setup: The recipe as it is now.
        world: All ranks.
        out: The run directory.
        checkpoints: Its checkpoints; those after the start are set aside.
        changed: The recipe as it was given, if it changes the rest of the run; the plan is then replaced.

    Raises:
        InputError: If the recipe, the model or the corpus is another one, or no checkpoint can be used.
    """
    check_same_model(setup.config_data, out)
    start, before = find_start(out, checkpoints), read_plan(out / "plan.json")
    history = history_of(before, start.step) if changed else read_history(before)
    corpus, plan = exact_plan(setup.recipe, setup.store, setup.objective, world.size, history=history)
    check_same_plan(plan, out, replans=changed is not None)
    if changed is not None:
        if plan.steps == start.step:
            raise InputError(
                f"all of its {plan.steps:,} steps are taken, so there is nothing left for a new plan",
                fixes="more steps",
                origin=Origin(str(out)),
            )
        on_first(world.ranks, lambda: _write_replan(plan, changed, out, start.step))
    checkpoints.set_aside(start.step)
    return start, corpus, plan


def _write_replan(plan: Plan, recipe: Recipe, out: Path, step: int) -> None:
    """Replace the plan and the recipe of a run, and keep the earlier ones under other names.

    The plan is written before the recipe: after a kill between the two, the recipe still differs, and the same
    command writes it.

    Args:
        plan: The new plan.
        recipe: The recipe as it was given.
        out: The run directory.
        step: Steps taken under the earlier plan.
    """
    before = read_plan(out / "plan.json")
    if before["fingerprint"] != plan.fingerprint:
        write_json(_free_name(out, f"plan-until-step-{step:09d}", ".json"), before)
        planned = {unit: before[unit] for unit in UNITS}
        change = {"step": step, "fingerprint": before["fingerprint"], "planned": planned}
        kept = {"run": before.get("run"), "replanned": [*before.get("replanned", ()), change]}
        write_json(out / "plan.json", plan_json(plan) | kept)
    recipe_before = (out / "recipe.yaml").read_text(encoding="utf-8")
    write_text(_free_name(out, f"recipe-until-step-{step:09d}", ".yaml"), recipe_before)
    write_text(out / "recipe.yaml", recipe_to_yaml(recipe))


def _free_name(folder: Path, name: str, suffix: str) -> Path:
    """A name that is not used yet: a plan may be changed twice at the same step."""
    names = (folder / f"{name}{f'-{number}' if number else ''}{suffix}" for number in count())
    return next(path for path in names if not path.exists())


def find_start(out: Path, checkpoints: Checkpoints) -> Start:
    """The newest undamaged checkpoint of a run that fits its plan and its ledger; every rank calls this.

    Raises:
        InputError: If there are checkpoints and none can be used, or the ledger is damaged.
    """
    ledger = out / LEDGER_FILE
    checkpoints.ranks.share("")  # wait until rank 0 has written its lines
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
            return f"it was made after step {manifest.step}, and its plan was replaced at step {plans[manifest.plan]}"
        applied = _totals(ledger, manifest.step).applied.steps
        if applied != manifest.applied:
            return f"it has {manifest.applied} applied steps, and the ledger has {applied} there"
        return None

    found, refused = checkpoints.newest(usable)
    if found is None and refused:
        raise InputError(
            "no checkpoint can be used, so nothing was started",
            rule="\n".join(refused),
            fixes=("to put one back from a copy", "to move this folder away, to begin again at step 0"),
            origin=Origin(str(checkpoints.folder)),
        )
    step = found.manifest.step if found else 0
    rows = unmirrored_rows(ledger, up_to=step) if ledger.is_file() else []
    return Start(totals=_totals(ledger, step), found=found, refused=tuple(refused), lost=last - step, rows=rows)


def _totals(ledger: Path, up_to: int | None) -> Totals:
    """The totals of a ledger; zero, if a run ended before its first line."""
    if not ledger.is_file():
        return Totals()
    lines = LedgerLines(ledger)
    return totals_of(lines, up_to=up_to) if lines.size else Totals()
