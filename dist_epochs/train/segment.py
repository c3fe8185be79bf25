"""One segment of a run: from the initial weights, or a checkpoint, to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from transformers import PreTrainedModel

from dist_epochs.corpus.streaming.stream import Window, largest_micro_batches
from dist_epochs.ledger.plan_file import read_plan
from dist_epochs.ledger.run_ledger import RunLedger
from dist_epochs.plan.models import architecture_of
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.train.ahead import Ahead
from dist_epochs.train.checkpoints import Checkpoints, NotFinite
from dist_epochs.train.directory import save_model, segment_facts
from dist_epochs.train.energy import energy_meter
from dist_epochs.train.evaluation import Evaluation
from dist_epochs.train.log import Log
from dist_epochs.train.loop import Training, train
from dist_epochs.train.peak import device_name, peak_of, watts_of
from dist_epochs.train.preparation import prepare
from dist_epochs.train.restarts import slow_checkpoint, this_attempt
from dist_epochs.train.resume import Start, find_start
from dist_epochs.train.saving import Saver
from dist_epochs.train.setup import Setup
from dist_epochs.train.signals import StopSignals
from dist_epochs.train.spending_watch import SpendingWatch
from dist_epochs.train.throughput import Throughput
from dist_epochs.train.times import StepTimes
from dist_epochs.train.tracking import Tracker
from dist_epochs.train.watchdog import Watchdog
from dist_epochs.train.world import World

__all__ = ["train_segment"]

PHASES_SHOWN = 4
"""Phases whose batch is printed when a segment begins; of more, only the first and the last."""


def train_segment(
    setup: Setup,
    world: World,
    out: Path,
    *,
    start: Start,
    plan: Plan,
    windows: Iterable[Window],
    checkpoints: Checkpoints,
    model: PreTrainedModel,
    evaluation: Evaluation | None,
    again: str,
    ready: Callable[[], None],
    began: float,
) -> None:
    """Train a run from its start to its end, or to a stop signal; every rank calls this.

    Args:
        setup: The recipe.
        world: All ranks.
        out: The run directory, locked.
        start: Where this segment begins.
        plan: The plan of the whole run.
        windows: This rank's samples of each step that is left.
        checkpoints: The checkpoints of the run directory.
        model: The model with its initial weights.
        evaluation: Evaluation on held-out documents, if the recipe asks for it.
        again: The command that resumes this run, printed where it stops.
        ready: Called once the watchdog watches the ranks.
        began: When the program began, in seconds since 1970.

    Raises:
        NotFinite: If the loss became NaN or infinite; the run is set back to its last checkpoint.
        RankLost: If another rank is dead or frozen.
        RanksDiffer: If a checkpoint could not be written; the one before it is unchanged.
    """
    recipe, accelerator = setup.recipe, world.accelerator
    parameters = sum(parameter.numel() for parameter in model.parameters())
    prepared = prepare(model, setup, accelerator)
    if recipe.compile:  # one shape, and so one graph, for each length
        samples = largest_micro_batches(plan.phases, plan.batches)
        windows = (window.filled(samples) for window in windows)
    tracker = Tracker(accelerator, recipe, plan, folder=out, run_id=start.tracked_as, say=world.say)
    device, devices = accelerator.device, accelerator.num_processes
    on = f"{devices} × {device.type}; {prepared.how}"
    world.say(f"{recipe.name}: {parameters:,} parameters, {plan.steps:,} steps on {on}")
    for line in (*_phase_lines(plan), *start.lines()):
        world.say(line)

    peak = peak_of(device_name(device), recipe.hardware, precision=recipe.arithmetic, devices=devices)
    facts = segment_facts(accelerator, plan, start, tracker.run_id, peak)
    watts = watts_of(device_name(device), recipe.hardware)
    facts |= {"started": round(began, 6)} | ({} if watts is None else {"watts": watts})
    ledger = RunLedger(out, world.ranks, totals=start.totals, segment=facts, energy=energy_meter(device))
    saver = Saver(
        recipe.checkpoints, checkpoints, accelerator=accelerator, model=model, optimizer=prepared.optimizer,
        ledger=ledger, plan=plan.fingerprint, run=read_plan(out / "plan.json").get("run"),
        timed=partial(_say_if_slow, world.say, []),
    )  # fmt: skip
    watchdog = Watchdog(out, world.ranks, recipe.timeout_seconds, lambda message: ledger.close("failed", message))

    planned = plan_json(plan)
    spending = SpendingWatch(ledger, planned, facts, recipe.budget, world.say)

    def leave(reason: str) -> None:
        ledger.close("stopped", reason)
        world.say(f"{reason}. {_where(saver, again)}")

    ahead = Ahead(windows, prepared.to_device, device)
    times = StepTimes(device, {"data": lambda: ahead.waited, "communication": lambda: ledger.waited})
    throughput = Throughput(times, plan, architecture=architecture_of(setup.model), peak=peak, device=device)
    signals = StopSignals(leave)

    def why() -> str:
        return spending.stops or signals.reason

    with signals, _closing(ledger, plan, why), watchdog, ahead:
        ready()
        log = Log(ledger, tracker, planned, throughput, shown=world.is_first)
        run = Training(
            accelerator=accelerator, model=prepared.model, optimizer=prepared.optimizer, setup=setup, steps=plan.steps,
            ahead=ahead, to_device=prepared.to_device, times=times, throughput=throughput, ledger=ledger, log=log,
            saver=saver, evaluation=evaluation, spending=spending,
            stop=lambda: signals.stop() or spending.stops is not None, alive=watchdog.mark,
        )  # fmt: skip
        if start.found is not None:
            saver.restore(start.found)
        tracker.log_again(start.rows)
        try:
            losses = train(run)
        except NotFinite as error:
            back = find_start(out, checkpoints)
            if back.found is None:
                raise
            saver.restore(back.found)
            ledger.go_back(back.totals, str(error), {name: fact for name, fact in facts.items() if name != "started"})
            save_model(accelerator, model, setup, out)
            raise NotFinite(f"{error}; the run is back at step {back.step}") from None
        finally:
            log.end_bar()
        save_model(accelerator, model, setup, out)
    if world.is_first:
        last = ledger.totals.last_step
        if last < plan.steps:
            end = f"stopped after step {last:,} ({why()}). {_where(saver, again)}"
        else:
            end = f"model: {out / 'model'}; checkpoints: {out / 'checkpoints'}; next: dist-epochs ledger {out}"
        for line in (losses, *throughput.lines(), log.balance(out), end):
            world.say(line)
    tracker.close()
    watchdog.clear()


def _phase_lines(plan: Plan) -> Iterator[str]:
    """The steps of each phase, and how its batch is laid over the ranks."""
    phases = list(zip(plan.phases, plan.batches, strict=True))
    for phase, batch in phases if len(phases) <= PHASES_SHOWN else (phases[0], phases[-1]):
        ranks, parts = batch.data_parallel_size, batch.gradient_accumulation
        yield (
            f"  {phase.steps:,} steps of {batch.samples:,} samples, on {ranks} rank{'s' * (ranks > 1)} in "
            f"{parts} micro-step{'s' * (parts > 1)} of at most {batch.largest_micro_batch}"
        )


def _say_if_slow(say: Callable[[str], None], before: list[float], seconds: float) -> None:
    """After the first checkpoint, say so if a stop would leave too little time for another one."""
    if not before and (message := slow_checkpoint(seconds, this_attempt(), time.time())):
        say(message)
    before.append(seconds)


@contextmanager
def _closing(ledger: RunLedger, plan: Plan, reason: Callable[[], str]) -> Iterator[None]:
    """Record how the segment ended, also after an error."""
    try:
        yield
    except BaseException as error:
        with suppress(OSError):  # the disk may be full
            ledger.close("failed", f"{type(error).__name__}: {error}"[:500])
        raise
    stopped = ledger.totals.last_step < plan.steps
    ledger.close("stopped" if stopped else "finished", reason() if stopped else None)


def _where(saver: Saver, again: str) -> str:
    """The checkpoint of a run that stops, and the command that resumes it."""
    if saver.newest is None:
        return f"No checkpoint was saved yet; begin again with: {again}"
    return f"The checkpoint after step {saver.saved:,} is in {saver.newest}; resume with: {again}"
