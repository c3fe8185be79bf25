"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from dist_epochs.corpus.hashing import key
from dist_epochs.corpus.stream import Window
from dist_epochs.integrations.ledger import Ledger
from dist_epochs.ledger.counters import counters
from dist_epochs.ledger.reconcile import epochs_of
from dist_epochs.recipe import OptimizerRecipe, Recipe
from dist_epochs.runtime.host_copy import HostCopy
from dist_epochs.train.evaluation import Evaluation
from dist_epochs.train.learning_rate import learning_rate
from dist_epochs.train.loss import loss_sum, to_device
from dist_epochs.train.progress import ProgressBar
from dist_epochs.train.saving import NotFinite, Saver
from dist_epochs.train.tracking import Tracker

__all__ = ["Run", "train"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Run:
    """Everything the loop works with.

    Attributes:
        accelerator: Made with one accumulation step: the windows are the loop's own.
        model: Prepared.
        optimizer: Prepared.
        recipe: What to do about NaN, how often to log, and the seed of dropout.
        settings: Learning rate and clipping.
        causal: Whether the objective is causal.
        plan: The plan as it is laid over these ranks, in the form of `plan.json`.
        ledger: Counts every step.
        tracker: Mirrors the logged rows.
        progress: The bar.
        saver: Saves the state of the run.
        evaluation: Held-out loss, if asked for.
        stop: Asked every step whether this rank wants to stop.
        alive: Told the step again and again, as long as training moves.
    """

    accelerator: Accelerator
    model: nn.Module
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    settings: OptimizerRecipe
    causal: bool
    plan: Mapping[str, Any]
    ledger: Ledger
    tracker: Tracker
    progress: ProgressBar
    saver: Saver
    evaluation: Evaluation | None
    stop: Callable[[], bool]
    alive: Callable[[int], None]


def train(run: Run, windows: Iterable[Window]) -> str:
    """Take every step of a run, or those until a rank asks to stop, and save it at the end.

    Nothing in a step waits for the device, but for fp16, whose scaler must know whether it overflowed,
    and for `on_nan: skip`: a logged row is read one step after its step.

    Args:
        run: The parts.
        windows: This rank's samples of each step.

    Returns:
        The first and the last loss logged, in words.

    Raises:
        NotFinite: If a logged loss is NaN or infinite, or too many steps in a row were skipped.
    """
    run.model.train()
    steps = run.plan["steps"]
    rows, skipped = _Rows(run), 0
    for window in run.ledger.watch(windows, stop=run.stop, checkpoint=run.saver.due):
        step, drawn = window.step + 1, run.ledger.drawn
        run.alive(step)
        rate = learning_rate(run.settings, run.ledger.totals.applied.steps, steps)
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        loss, norm, applied = _step(run, window)
        run.ledger.step(applied=applied)
        rows.write()
        skipped = 0 if applied else skipped + 1
        if skipped > run.recipe.max_skipped:
            raise NotFinite(
                f"{skipped} steps in a row were skipped, up to step {step}; max_skipped is {run.recipe.max_skipped}"
            )
        if step % run.recipe.log_every == 0 or step == steps:
            loss = run.accelerator.reduce(loss, "sum") / max(1, drawn.counts.loss_tokens)
            rows.take(step, loss, norm, rate, applied=applied)
        if run.evaluation and run.evaluation.due(step, steps):
            rows.write()
            held_out = run.evaluation.loss(run.accelerator, run.model, alive=partial(run.alive, step))
            rows.add(step, {"evaluation/loss": held_out})
        if drawn.checkpoint_votes:
            rows.write()
            run.saver.save()
        run.progress.step()
        rows.show()
    rows.write()
    rows.show(last=True)
    run.progress.close()
    run.saver.save()
    return rows.summary()


def _step(run: Run, window: Window) -> tuple[Tensor, Tensor | None, bool]:
    """One update: loss summed over this rank's window, gradient norm, and whether it was applied.

    The loss of every micro-batch is divided by the loss tokens of the whole window over all ranks, so
    the gradient is that of the true mean, whatever the padding and the world. DDP averages over the
    ranks; the factor takes that back. Dropout follows from seed, step and rank, so that a run that
    was interrupted draws the same.
    """
    accelerator, model = run.accelerator, run.model
    torch.manual_seed(key(run.recipe.seed, "dropout", window.step, accelerator.process_index) >> 1)
    scale = run.plan["global_batch"]["data_parallel_size"] / max(1, run.ledger.drawn.counts.loss_tokens)
    total = torch.zeros((), device=accelerator.device)
    last = len(window.micro_batches) - 1
    for index, micro_batch in enumerate(window.micro_batches):
        batch = to_device(micro_batch, accelerator.device, causal=run.causal)
        run.alive(window.step + 1)  # forward and backward may wait for other ranks
        with nullcontext() if index == last else accelerator.no_sync(model):
            loss = loss_sum(model, batch)
            run.alive(window.step + 1)
            accelerator.backward(loss * scale)
        total += loss.detach()
    norm, skips_nan = None, run.recipe.on_nan == "skip"
    if run.settings.max_grad_norm is not None or skips_nan:
        norm = accelerator.clip_grad_norm_(model.parameters(), run.settings.max_grad_norm or math.inf)
    # fp16's scaler finds overflows itself; the norm is over all ranks' gradients, so all decide alike
    skips = skips_nan and accelerator.scaler is None and norm is not None and not math.isfinite(float(norm))
    if not skips:
        run.optimizer.step()
    run.optimizer.zero_grad()
    return total, norm, not (skips or accelerator.optimizer_step_was_skipped)


class _Rows:
    """Logged rows: the counters are taken at once, the device's numbers are read a step later."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._waiting: tuple[int, dict[str, float | int], _DeviceValues, bool] | None = None
        self._counted = (time.perf_counter(), self._counters())
        self._loss: float | None = None
        self._losses: dict[str, tuple[float, float]] = {}

    def take(self, step: int, loss: Tensor, norm: Tensor | None, rate: float, *, applied: bool) -> None:
        """Begin a row."""
        tensors = {"train/loss": loss} | ({} if norm is None else {"train/gradient_norm": norm})
        self._waiting = (step, {"train/learning_rate": rate, **self._counters()}, _DeviceValues(tensors), applied)

    def write(self) -> None:
        """End the row that waits, if any."""
        if self._waiting is not None:
            step, values, device_values, applied = self._waiting
            self._waiting = None
            values |= device_values.read()
            self._loss = float(values["train/loss"])
            self._record(step, values | self._rates(values))
            if applied and not math.isfinite(self._loss):
                raise NotFinite(f"the loss is {self._loss} at step {step}")

    def show(self, *, last: bool = False) -> None:
        """Draw the bar where that is due."""
        if self._run.progress.due or last:
            epoch = self._epoch()
            self._run.progress.show(epoch=None if epoch is None else float(epoch), loss=self._loss)

    def summary(self) -> str:
        """The first and the last value of each loss."""
        return ", ".join(f"{name} {first:.3f} → {last:.3f}" for name, (first, last) in self._losses.items())

    def add(self, step: int, values: dict[str, float | int]) -> None:
        """A row that is ready."""
        self._record(step, values | self._counters())

    def _record(self, step: int, values: dict[str, float | int]) -> None:
        for label, name in (("train/loss", "loss"), ("evaluation/loss", "held-out loss")):
            if label in values:
                self._losses[name] = (self._losses.get(name, (values[label],))[0], values[label])
        self._run.ledger.metrics(step, values)
        self._run.tracker.log(values)

    def _counters(self) -> dict[str, float | int]:
        return counters(self._run.ledger.totals, self._epoch())

    def _epoch(self) -> Fraction | None:
        return epochs_of(self._run.ledger.totals.applied, self._run.plan)["samples"]

    def _rates(self, values: Mapping[str, float | int]) -> dict[str, float]:
        """Units a second since the last row of this kind."""
        now = time.perf_counter()
        seconds, before = now - self._counted[0], self._counted[1]
        self._counted = (now, dict(values))
        return {
            f"rate/{unit}_per_second": (values[f"ledger/{unit}"] - before[f"ledger/{unit}"]) / seconds
            for unit in ("steps", "samples", "tokens")
        }


class _DeviceValues:
    """Named numbers on their way from the device."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        whole = [tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor for tensor in tensors.values()]
        self._names = tuple(tensors)
        self._copy = HostCopy(torch.stack([tensor.float() for tensor in whole]))

    def read(self) -> dict[str, float]:
        return dict(zip(self._names, self._copy.read(), strict=True))
