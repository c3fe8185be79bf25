"""One run from recipe to run directory: check, plan, train, save, reconcile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from dist_epochs.corpus.planning import exact_plan
from dist_epochs.corpus.stream import Corpus
from dist_epochs.errors import InputError
from dist_epochs.integrations.ledger import Ledger
from dist_epochs.ledger.held import held
from dist_epochs.ledger.reconcile import Reconciliation, read_plan, read_run
from dist_epochs.ledger.rows import note_mirrored
from dist_epochs.plan.history import history_of, read_history
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.recipe import Recipe, read_recipe
from dist_epochs.recipe.writing import recipe_to_data
from dist_epochs.runtime.peers import RanksDiffer, on_first
from dist_epochs.train.checkpoints import Checkpoints
from dist_epochs.train.directory import make_run_directory, save_model, segment_facts
from dist_epochs.train.evaluation import Evaluation
from dist_epochs.train.loop import Run, train
from dist_epochs.train.model import build_model, settle_buckets
from dist_epochs.train.progress import ProgressBar
from dist_epochs.train.resume import (
    Start,
    begun,
    check_same_model,
    check_same_plan,
    find_start,
    is_finished,
    same_recipe,
    write_replan,
)
from dist_epochs.train.saving import NotFinite, Saver
from dist_epochs.train.setup import Setup, adamw, evaluation_of, set_up, verify_together
from dist_epochs.train.signals import StopSignals
from dist_epochs.train.tracking import Tracker
from dist_epochs.train.watchdog import Watchdog
from dist_epochs.train.world import World, join

__all__ = ["run_recipe"]


@dataclass(frozen=True, slots=True)
class _Begin:
    """What a program begins with: what is behind it, and what is to come."""

    start: Start
    corpus: Corpus
    plan: Plan


def run_recipe(
    path: Path,
    out: Path,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    replan: bool = False,
    verify: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Train a recipe; every rank calls this.

    Args:
        path: The recipe.
        out: Run directory to make, or to go on with.
        overrides: `key=value` settings over the recipe.
        resume: Go on with the run in `out` where one was begun.
        replan: Go on with it, and let the recipe decide length, batch and learning from here on.
        verify: Compare the digests of the whole store even if that was done before.
        say: Prints a line; called on rank 0 only.

    Raises:
        InputError: If recipe, store, launch or output do not fit; nothing is left behind.
        NotFinite: If the loss became NaN or infinite; the run is back at its last checkpoint.
        RankLost: If another rank is dead or frozen.
        RanksDiffer: If a checkpoint could not be written; the one before is as it was.
    """
    resumes = (resume or replan) and begun(out)
    given = read_recipe(path, overrides)
    recipe, changes = same_recipe(given, out, replans=replan) if resumes else (given, False)
    setup = set_up(recipe, path)
    world = join(recipe, say)
    verify_together(setup.store, world.ranks, again=verify)
    checkpoints = Checkpoints(out / "checkpoints", world.ranks, recipe.checkpoints.keep)
    with ExitStack() as stack:
        if resumes:
            on_first(world.ranks, lambda: stack.enter_context(held(out)))
            if not changes and is_finished(out):
                world.say(f"{out}: finished already; nothing was done")
                return
            begin = _go_on(setup, world, out, checkpoints, given if changes else None)
        else:
            begin = _Begin(Start(), *exact_plan(recipe, setup.store, setup.objective, world.size))
        model = build_model(setup.model, setup.config, recipe.seed)
        evaluation = evaluation_of(setup, world)
        if not resumes:  # what cannot be built has left nothing behind
            on_first(world.ranks, lambda: make_run_directory(out, begin.plan, setup))
            on_first(world.ranks, lambda: stack.enter_context(held(out)))
        _train(setup, world, begin, out, checkpoints, model, evaluation)


def _go_on(setup: Setup, world: World, out: Path, checkpoints: Checkpoints, changed: Recipe | None) -> _Begin:
    """Where a run that was begun before goes on; with a changed recipe, its plan is replaced first."""
    check_same_model(setup.config_data, out)
    start, before = find_start(out, checkpoints), read_plan(out / "plan.json")
    history = history_of(before, start.step) if changed else read_history(before)
    corpus, plan = exact_plan(setup.recipe, setup.store, setup.objective, world.size, history=history)
    check_same_plan(plan, out, replans=changed is not None)
    if changed is not None:
        if plan.steps == start.step:
            raise InputError(
                f"{out}: all of its {plan.steps:,} steps are taken, so a new plan has nothing left to change. "
                "Give it more steps."
            )
        on_first(world.ranks, lambda: write_replan(plan, changed, out, start.step))
    checkpoints.set_aside(start.step)
    return _Begin(start, corpus, plan)


def _train(
    setup: Setup,
    world: World,
    begin: _Begin,
    out: Path,
    checkpoints: Checkpoints,
    model: nn.Module,
    evaluation: Evaluation | None,
) -> None:
    """Everything from the first weights to the last line."""
    recipe, plan, accelerator = setup.recipe, begin.plan, world.accelerator
    parameters = sum(parameter.numel() for parameter in model.parameters())
    model, optimizer = accelerator.prepare(model, adamw(model, setup.optimizer))
    settle_buckets(model)
    tracker = _tracker(setup, world, begin, out)
    world.say(
        f"{recipe.name}: {parameters:,} parameters, {plan.steps:,} steps on {accelerator.num_processes} × "
        f"{accelerator.device.type}"
    )
    for line in begin.start.told():
        world.say(line)
    facts = segment_facts(accelerator, plan, begin.start, tracker.run_id)
    ledger = Ledger(out, world.ranks, totals=begin.start.totals, segment=facts)
    watchdog = Watchdog(out, world.ranks, recipe.timeout_seconds, lambda message: ledger.close("failed", message))
    saver = Saver(
        recipe.checkpoints, checkpoints, accelerator=accelerator, model=model, optimizer=optimizer, ledger=ledger,
        plan=plan.fingerprint, run=read_plan(out / "plan.json").get("run"),
    )  # fmt: skip
    with StopSignals(lambda reason: ledger.close("stopped", reason)) as signals:
        run = Run(
            accelerator=accelerator, model=model, optimizer=optimizer, recipe=recipe, settings=setup.optimizer,
            causal=setup.model.objective == "causal", plan=plan_json(plan), ledger=ledger, tracker=tracker,
            progress=ProgressBar(plan.steps, done=begin.start.step, shown=world.is_first), saver=saver,
            evaluation=evaluation, stop=signals.stop, alive=watchdog.mark,
        )  # fmt: skip
        with _ending(ledger, plan, signals, watchdog):
            if begin.start.found is not None:
                saver.restore(begin.start.found)
            tracker.log_again(begin.start.rows)
            try:
                losses = train(run, begin.corpus.windows(plan.batches, world.ranks.rank, begin.start.step))
            except NotFinite as error:
                back = find_start(out, checkpoints)
                if back.found is None:
                    raise
                saver.restore(back.found)
                ledger.go_back(back.totals, str(error), facts)
                save_model(accelerator, model, setup, out)
                raise NotFinite(f"{error}; the run is back at step {back.step}") from None
            save_model(accelerator, model, setup, out)
    _report(world, out, plan, tracker, losses)
    watchdog.clear()


def _report(world: World, out: Path, plan: Plan, tracker: Tracker, losses: str) -> None:
    """Plan beside ledger, for the tracker and the reader."""
    if world.is_first:
        result = read_run(out)
        tracker.summarize({"plan": plan_json(plan), "ledger": result.to_json(), "reconciliation": _verdict(result)})
        world.say(losses)
        world.say(_balance(result, out))
    world.accelerator.wait_for_everyone()
    world.accelerator.end_training()
    if world.is_first and tracker.run_id is not None:
        note_mirrored(out / "ledger.jsonl")


def _tracker(setup: Setup, world: World, begin: _Begin, out: Path) -> Tracker:
    """The mirror of the run, where the recipe asks for one."""
    recipe = setup.recipe
    return Tracker(
        world.accelerator,
        project=recipe.tracking.wandb if recipe.tracking else None,
        name=recipe.name,
        folder=out,
        config={"plan": plan_json(begin.plan), "recipe": recipe_to_data(recipe)},
        run_id=begin.start.tracked_as,
        say=world.say,
    )


@contextmanager
def _ending(ledger: Ledger, plan: Plan, signals: StopSignals, watchdog: Watchdog) -> Iterator[None]:
    """Write how the segment ended, whichever way it did."""
    try:
        with watchdog:
            try:
                yield
            except RanksDiffer:  # says for whom itself
                raise
            except RuntimeError as error:  # a collective that broke does not
                lost = watchdog.blame()
                if lost is None:
                    raise
                raise lost from error
    except BaseException as error:
        with suppress(OSError):  # a full disk takes this line too
            ledger.close("failed", f"{type(error).__name__}: {error}"[:500])
        raise
    stopped = ledger.totals.last_step < plan.steps
    ledger.close("stopped" if stopped else "finished", signals.reason if stopped else None)


def _verdict(result: Reconciliation) -> dict[str, Any]:
    return {"agrees": result.agrees, "differences": [difference.to_json() for difference in result.differences]}


def _balance(result: Reconciliation, out: Path) -> str:
    totals = result.totals
    trained = f"{totals.applied.steps:,} steps, {totals.applied.counts.tokens:,} tokens"
    if result.agrees:
        return f"the books balance: {trained}, as planned (dist-epochs ledger {out})"
    causes = ", ".join(dict.fromkeys(difference.cause for difference in result.differences))
    return f"{trained}; differs from the plan: {causes} (dist-epochs ledger {out})"
