"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from dist_epochs.corpus.streaming.hashing import key
from dist_epochs.corpus.streaming.stream import MicroBatch, Window
from dist_epochs.ledger.run_ledger import Drawn, RunLedger
from dist_epochs.train.ahead import Ahead
from dist_epochs.train.checkpoints import NotFinite
from dist_epochs.train.evaluation import Evaluation
from dist_epochs.train.learning_rate import learning_rate
from dist_epochs.train.log import Log
from dist_epochs.train.loss import DeviceBatch, loss_scale, loss_sum
from dist_epochs.train.saving import Saver
from dist_epochs.train.setup import Setup
from dist_epochs.train.sharding import whole
from dist_epochs.train.spending_watch import SpendingWatch
from dist_epochs.train.throughput import Throughput
from dist_epochs.train.times import StepTimes

__all__ = ["Training", "train"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Training:
    """What the loop works with.

    Attributes:
        accelerator: Made with one accumulation step: the windows are the loop's own.
        model: The model, prepared by the accelerator.
        optimizer: The optimizer, prepared by the accelerator.
        setup: The recipe that is trained.
        steps: Steps of the whole run.
        ahead: This rank's batches, made ahead of the steps.
        to_device: Copies a micro-batch of an evaluation, as `ahead` does those of training.
        times: Where the time of a step goes.
        throughput: Counts every step.
        ledger: Records every step.
        log: Writes losses and counters, and shows the progress bar.
        saver: Saves the state of the run.
        evaluation: Evaluation on held-out documents, if the recipe asks for it.
        spending: What the run takes, and the limit of its budget.
        stop: Called in every step: whether this rank wants to stop.
        alive: Called with the step several times in each step, so that the watchdog knows that training advances.
    """

    accelerator: Accelerator
    model: nn.Module
    optimizer: torch.optim.Optimizer
    setup: Setup
    steps: int
    ahead: Ahead
    to_device: Callable[[MicroBatch], DeviceBatch]
    times: StepTimes
    throughput: Throughput
    ledger: RunLedger
    log: Log
    saver: Saver
    evaluation: Evaluation | None
    spending: SpendingWatch
    stop: Callable[[], bool]
    alive: Callable[[int], None]


def train(run: Training) -> str:
    """Take every step of a run, or those until a rank asks to stop, and save it at the end.

    Nothing in a step waits for the device, except with fp16, whose scaler must know whether gradients overflowed,
    and with `on_nan: skip`. The values of a logged row are read one step late.

    Args:
        run: What the loop works with.

    Returns:
        The first and the last loss logged, in words.

    Raises:
        NotFinite: If a logged loss is NaN or infinite, or too many steps in a row were skipped.
    """
    recipe, settings, ledger, log, saver = run.setup.recipe, run.setup.optimizer, run.ledger, run.log, run.saver
    ahead, times = run.ahead, run.times
    run.model.train()
    skipped = 0  # steps in a row
    waited: float | None = None
    times.begin()
    for drawn in ledger.watch(ahead.windows(), stop=run.stop, checkpoint=saver.due):
        times.lap("logging")
        step = drawn.step
        run.alive(step)
        waited = ahead.waited if waited is None else waited  # waits before the first step are of the start

        # The rate follows the updates that were applied: a skipped step does not move it.
        rate = learning_rate(settings, ledger.totals.applied.steps, run.steps)
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        loss, norm, applied = take_step(run, drawn)
        times.lap("optimizer")
        ledger.book(drawn, applied=applied, data_wait=ahead.waited - waited)
        waited = ahead.waited
        run.throughput.count(drawn.passes, applied=applied)
        run.spending.look()

        log.settle()  # the row of the step before
        skipped = 0 if applied else skipped + 1
        if skipped > recipe.max_skipped:
            raise NotFinite(
                f"{skipped} steps in a row were skipped, up to step {step}; max_skipped is {recipe.max_skipped}"
            )
        if step % recipe.log_every == 0 or step == run.steps:
            times.lap("logging")
            mean = run.accelerator.reduce(loss, "sum") / max(1, drawn.counts.loss_tokens)
            times.lap("communication")
            log.row(step, loss=mean, norm=norm, rate=rate, applied=applied, spent=run.spending.take())

        evaluates, saves = run.evaluation and run.evaluation.due(step, run.steps), drawn.checkpoint_votes > 0
        if evaluates or saves:
            log.settle()  # both wait for the device anyway, and a run whose loss is not finite must not be saved
            times.lap("logging")
        if run.evaluation and evaluates:
            began = time.perf_counter()
            alive = partial(run.alive, step)
            held_out = run.evaluation.loss(run.accelerator, run.model, to_device=run.to_device, alive=alive)
            ledger.evaluation(step, time.perf_counter() - began)
            log.evaluated(step, held_out)
            times.lap("evaluation")
        if saves:
            saver.save()
            times.lap("checkpoint")
        log.advance()
    losses = log.close()
    saver.save()
    return losses


def take_step(run: Training, drawn: Drawn[Window]) -> tuple[Tensor, Tensor | None, bool]:
    """Take one step: forward and backward of every micro-batch, then the update.

    The losses are scaled so that the gradient is that of the mean over the whole step (`loss_scale`). Dropout follows
    from seed, step and rank, so a resumed run draws the same.

    Args:
        run: What the loop works with.
        drawn: The step.

    Returns:
        The loss summed over this rank's window, the norm of the gradient where it was asked for, and whether the update
        was applied.
    """
    accelerator, model, recipe, window = run.accelerator, run.model, run.setup.recipe, drawn.window
    torch.manual_seed(key(recipe.seed, "dropout", window.step, accelerator.process_index) >> 1)
    scale = loss_scale(drawn.counts.loss_tokens, accelerator.num_processes)
    total = torch.zeros((), device=accelerator.device)
    for index, batch in enumerate(run.ahead.batches(window), 1):
        run.alive(drawn.step)  # forward and backward may wait for other ranks
        with nullcontext() if index == drawn.micro_steps else accelerator.no_sync(model):
            loss = loss_sum(model, batch)
            run.alive(drawn.step)
            accelerator.backward(loss * scale)
        total += loss.detach()
    run.times.lap("compute")
    norm, skips_nan = None, recipe.on_nan == "skip"
    if run.setup.optimizer.max_grad_norm is not None or skips_nan:
        norm = whole(accelerator.clip_grad_norm_(model.parameters(), run.setup.optimizer.max_grad_norm or math.inf))
    # fp16's scaler finds overflows itself; the norm covers the gradients of all ranks, so all ranks decide the same
    skips = skips_nan and accelerator.scaler is None and norm is not None and not math.isfinite(float(norm))
    if not skips:
        run.optimizer.step()
    run.optimizer.zero_grad()
    return total, norm, not (skips or accelerator.optimizer_step_was_skipped)
