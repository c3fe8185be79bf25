"""Logs a run: rows of values for the ledger and wandb, and the progress bar."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dist_epochs.ledger.counters import counters
from dist_epochs.ledger.epochs import epochs_of
from dist_epochs.ledger.reconcile import read_run
from dist_epochs.ledger.run_ledger import RunLedger
from dist_epochs.runtime.host_copy import HostCopy
from dist_epochs.train.checkpoints import NotFinite
from dist_epochs.train.progress import ProgressBar
from dist_epochs.train.throughput import Throughput
from dist_epochs.train.tracking import Tracker

__all__ = ["Log"]

LOSS_NAMES = {"train/loss": "loss", "evaluation/loss": "held-out loss"}
"""Values whose first and last are printed at the end, and their names there."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A row some of whose values are still being copied from the device.

    Attributes:
        step: The step.
        values: The values that the host has.
        arriving: Names and values of those that are being copied.
        speed: Gives throughput and times since the row before, once the values have arrived.
        applied: Whether the step was applied.
    """

    step: int
    values: Mapping[str, float | int]
    arriving: tuple[tuple[str, ...], HostCopy]
    speed: Callable[[], dict[str, float | int]]
    applied: bool


class Log:
    """Writes each row one step late, so that nothing waits for the device.

    Its counters are those of the row's own step. The loss and the gradient norm are copied to the host while the next
    step runs, and read when it has been taken.

    Args:
        ledger: Records the rows; its totals are the counters.
        tracker: Copies the rows to wandb.
        plan: The content of `plan.json`: the size of the corpus, and the steps of the run.
        throughput: Has counted every step that was taken.
        shown: Whether this rank shows the bar.
    """

    def __init__(
        self, ledger: RunLedger, tracker: Tracker, plan: Mapping[str, Any], throughput: Throughput, *, shown: bool
    ) -> None:
        self._ledger, self._tracker, self._plan, self._throughput = ledger, tracker, plan, throughput
        self._bar = ProgressBar(plan["steps"], done=ledger.totals.last_step, shown=shown)
        self._waiting: _Row | None = None
        self._losses: dict[str, tuple[float, float]] = {}

    def row(
        self,
        step: int,
        *,
        loss: Tensor,
        norm: Tensor | None,
        rate: float,
        applied: bool,
        spent: Mapping[str, float | int] | None = None,
    ) -> None:
        """Begin the row of a step.

        Args:
            step: The step, from 1, which is recorded already.
            loss: Mean over the loss tokens of all ranks, on the device.
            norm: Norm of the gradient, on the device.
            rate: The learning rate.
            applied: Whether the step was applied.
            spent: Hours, price and energy, where they were estimated anew.
        """
        speed = self._throughput.take()  # before the copy, so that its events have passed once the copy has arrived
        tensors = {"train/loss": loss} | ({} if norm is None else {"train/gradient_norm": norm})
        arriving = (tuple(tensors), HostCopy(torch.stack([each.float() for each in tensors.values()])))
        values = {"train/learning_rate": rate, **self._counters(), **(spent or {})}
        self._waiting = _Row(step, values, arriving, speed, applied)

    def settle(self) -> None:
        """Write the row that waits, if there is one: after the next step, and before anything that relies on its loss.

        Raises:
            NotFinite: If its loss is NaN or infinite, and the step was applied.
        """
        row, self._waiting = self._waiting, None
        if row is None:
            return
        names, copy = row.arriving
        values = {**row.values, **dict(zip(names, copy.read(), strict=True)), **row.speed()}
        self._write(row.step, values)
        if row.applied and not math.isfinite(values["train/loss"]):
            raise NotFinite(f"the loss is {values['train/loss']} at step {row.step}")

    def evaluated(self, step: int, loss: float) -> None:
        """Write a row with the loss on held-out documents after a step."""
        self._write(step, {"evaluation/loss": loss, **self._counters()})

    def advance(self) -> None:
        """Advance the bar by one step, and draw it if that is due."""
        self._bar.step()
        if self._bar.due:
            self._show()

    def close(self) -> str:
        """Write the row that waits, and end the bar.

        Returns:
            The first and the last value of each loss, in words.
        """
        self.settle()
        self._show()
        self.end_bar()
        return ", ".join(f"{name} {first:.3f} → {last:.3f}" for name, (first, last) in self._losses.items())

    def end_bar(self) -> None:
        """End the bar, also where training failed: what is said next stands on a line of its own."""
        self._bar.close()

    def balance(self, out: Path) -> str:
        """Compare the ledger with the plan after a segment, in words and in wandb's summary; on rank 0.

        Args:
            out: The run directory.
        """
        result = read_run(out)
        self._tracker.summarize(result, self._counters())
        applied = result.totals.applied
        trained = f"{applied.steps:,} steps, {applied.counts.tokens:,} tokens"
        if result.agrees:
            return f"the ledger equals the plan: {trained}"
        causes = ", ".join(dict.fromkeys(difference.cause for difference in result.differences))
        return f"{trained}; differs from the plan: {causes}"

    def _write(self, step: int, values: dict[str, float | int]) -> None:
        for label, name in LOSS_NAMES.items():
            if label in values:
                first, _ = self._losses.get(name, (values[label], None))
                self._losses[name] = (first, values[label])
        self._ledger.metrics(step, values)
        self._tracker.log(values)

    def _show(self) -> None:
        epoch, losses = self._epoch(), self._losses.get("loss")
        self._bar.show(epoch=None if epoch is None else float(epoch), loss=losses and losses[1])

    def _counters(self) -> dict[str, float | int]:
        return counters(self._ledger.totals, self._epoch())

    def _epoch(self) -> Fraction | None:
        return epochs_of(self._ledger.totals.applied, self._plan)["samples"]
