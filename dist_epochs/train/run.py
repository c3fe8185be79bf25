"""One run from recipe to run directory: check, plan, train, save, reconcile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from torch import nn

from dist_epochs.corpus.planning import exact_plan
from dist_epochs.corpus.stream import Corpus
from dist_epochs.ledger.reconcile import read_plan, read_run
from dist_epochs.ledger.rows import note_mirrored
from dist_epochs.ledger.run_ledger import RunLedger
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.recipe import read_recipe
from dist_epochs.runtime.files import run_lock
from dist_epochs.runtime.peers import on_first
from dist_epochs.train.checkpoints import Checkpoints
from dist_epochs.train.command import SAME_COMMAND
from dist_epochs.train.directory import make_run_directory, save_model, segment_facts
from dist_epochs.train.evaluation import Evaluation
from dist_epochs.train.log import Log
from dist_epochs.train.loop import Training, train
from dist_epochs.train.model import build_model, settle_buckets
from dist_epochs.train.resume import Start, begun, find_start, go_on, is_finished
from dist_epochs.train.same_run import same_recipe
from dist_epochs.train.saving import NotFinite, Saver
from dist_epochs.train.setup import Setup, adamw, evaluation_of, set_up, verify_together
from dist_epochs.train.signals import StopSignals
from dist_epochs.train.tracking import Tracker
from dist_epochs.train.watchdog import Watchdog
from dist_epochs.train.world import World, join

__all__ = ["run_recipe"]

PHASES_TOLD = 4
"""Phases whose batch is told when a run begins; of more, the first and the last."""


def run_recipe(
    path: Path,
    out: Path,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    replan: bool = False,
    verify: bool = False,
    again: str = SAME_COMMAND,
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
        again: The command that goes on with this run, to be told where it stops.
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
            on_first(world.ranks, lambda: stack.enter_context(run_lock(out)))
            if not changes and is_finished(out):
                world.say(f"{out}: finished already; nothing was done")
                return
            start, corpus, plan = go_on(setup, world, out, checkpoints, given if changes else None)
        else:
            start, (corpus, plan) = Start(), exact_plan(recipe, setup.store, setup.objective, world.size)
        model, evaluation = build_model(setup.model, setup.config, recipe.seed), evaluation_of(setup, world)
        if not resumes:  # what cannot be built has left nothing behind
            on_first(world.ranks, lambda: make_run_directory(out, plan, setup))
            on_first(world.ranks, lambda: stack.enter_context(run_lock(out)))
        _train(setup, world, out, start, corpus, plan, checkpoints, model, evaluation, again)


def _train(
    setup: Setup,
    world: World,
    out: Path,
    start: Start,
    corpus: Corpus,
    plan: Plan,
    checkpoints: Checkpoints,
    model: nn.Module,
    evaluation: Evaluation | None,
    again: str,
) -> None:
    """Everything from the first weights to the last line."""
    recipe, accelerator = setup.recipe, world.accelerator
    parameters = sum(parameter.numel() for parameter in model.parameters())
    model, optimizer = accelerator.prepare(model, adamw(model, setup.optimizer))
    settle_buckets(model)
    tracker = Tracker(accelerator, recipe, plan, folder=out, run_id=start.tracked_as, say=world.say)
    world.say(
        f"{recipe.name}: {parameters:,} parameters, {plan.steps:,} steps on {accelerator.num_processes} × "
        f"{accelerator.device.type}"
    )
    phases = list(zip(plan.phases, plan.batches, strict=True))
    for phase, batch in phases if len(phases) <= PHASES_TOLD else (phases[0], phases[-1]):
        world.say(
            f"  {phase.steps:,} steps of {batch.samples:,} samples, on {batch.data_parallel_size} ranks in "
            f"{batch.gradient_accumulation} micro-steps of at most {batch.largest_micro_batch}"
        )
    for line in start.told():
        world.say(line)

    facts = segment_facts(accelerator, plan, start, tracker.run_id)
    ledger = RunLedger(out, world.ranks, totals=start.totals, segment=facts)
    saver = Saver(
        recipe.checkpoints, checkpoints, accelerator=accelerator, model=model, optimizer=optimizer, ledger=ledger,
        plan=plan.fingerprint, run=read_plan(out / "plan.json").get("run"),
    )  # fmt: skip
    watchdog = Watchdog(out, world.ranks, recipe.timeout_seconds, lambda message: ledger.close("failed", message))

    def leave(reason: str) -> None:
        ledger.close("stopped", reason)
        world.say(f"{reason}. {_where(saver, again)}")

    with StopSignals(leave) as signals, _closing(ledger, plan, signals), watchdog:
        run = Training(
            accelerator=accelerator, model=model, optimizer=optimizer, setup=setup, steps=plan.steps, ledger=ledger,
            log=Log(ledger, tracker, plan_json(plan), shown=world.is_first), saver=saver, evaluation=evaluation,
            stop=signals.stop, alive=watchdog.mark,
        )  # fmt: skip
        if start.found is not None:
            saver.restore(start.found)
        tracker.log_again(start.rows)
        try:
            losses = train(run, corpus.windows(plan.batches, world.ranks.rank, start.step))
        except NotFinite as error:
            back = find_start(out, checkpoints)
            if back.found is None:
                raise
            saver.restore(back.found)
            ledger.go_back(back.totals, str(error), facts)
            save_model(accelerator, model, setup, out)
            raise NotFinite(f"{error}; the run is back at step {back.step}") from None
        save_model(accelerator, model, setup, out)
    if world.is_first:
        _report(out, plan, tracker, world.say, losses)
        if ledger.totals.last_step < plan.steps:
            world.say(f"stopped after step {ledger.totals.last_step:,} ({signals.reason}). {_where(saver, again)}")
    accelerator.wait_for_everyone()
    accelerator.end_training()
    if world.is_first and tracker.run_id is not None:
        note_mirrored(out / "ledger.jsonl")
    watchdog.clear()


@contextmanager
def _closing(ledger: RunLedger, plan: Plan, signals: StopSignals) -> Iterator[None]:
    """Write how the segment ended, whichever way it did."""
    try:
        yield
    except BaseException as error:
        with suppress(OSError):  # a full disk takes this line too
            ledger.close("failed", f"{type(error).__name__}: {error}"[:500])
        raise
    stopped = ledger.totals.last_step < plan.steps
    ledger.close("stopped" if stopped else "finished", signals.reason if stopped else None)


def _where(saver: Saver, again: str) -> str:
    """Where a run that stops can go on, and how."""
    if saver.newest is None:
        return f"No checkpoint was saved yet; begin again with: {again}"
    return f"The checkpoint after step {saver.saved:,} is in {saver.newest}; go on with: {again}"


def _report(out: Path, plan: Plan, tracker: Tracker, say: Callable[[str], None], losses: str) -> None:
    """The plan beside the ledger, for the tracker and the reader."""
    result = read_run(out)
    differences = [difference.to_json() for difference in result.differences]
    verdict = {"agrees": result.agrees, "differences": differences}
    tracker.summarize({"plan": plan_json(plan), "ledger": result.to_json(), "reconciliation": verdict})
    applied = result.totals.applied
    trained = f"{applied.steps:,} steps, {applied.counts.tokens:,} tokens"
    say(losses)
    if result.agrees:
        say(f"the books balance: {trained}, as planned (dist-epochs ledger {out})")
    else:
        causes = ", ".join(dict.fromkeys(difference.cause for difference in result.differences))
        say(f"{trained}; differs from the plan: {causes} (dist-epochs ledger {out})")
