"""Loss on the held-out documents, with counters of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import nn

from dist_epochs.corpus.streaming.objective import IGNORED
from dist_epochs.corpus.streaming.stream import MicroBatch
from dist_epochs.train.loss import DeviceBatch, loss_sum
from dist_epochs.train.sharding import drop_gathered

__all__ = ["Evaluation"]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The held-out samples of this rank, the same at every evaluation.

    Attributes:
        batches: The micro-batches of this rank, read anew each time; every rank has the same number.
        every: Steps between evaluations.
    """

    batches: Iterable[MicroBatch]
    every: int

    def due(self, step: int, steps: int) -> bool:
        """Whether to evaluate after step `step` of `steps`."""
        return step % self.every == 0 or step == steps

    def loss(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        *,
        to_device: Callable[[MicroBatch], DeviceBatch],
        alive: Callable[[], None],
    ) -> float:
        """Mean loss over the loss tokens of the held-out documents of all ranks.

        Args:
            accelerator: Adds over the ranks.
            model: The model, prepared.
            to_device: Copies a micro-batch.
            alive: Called before each batch.
        """
        model.eval()
        total = torch.zeros(2, dtype=torch.float64 if accelerator.device.type != "mps" else torch.float32)
        total = total.to(accelerator.device)
        with torch.no_grad():
            for batch in self.batches:
                alive()
                total[0] += loss_sum(model, to_device(batch))
                total[1] += int((batch.labels != IGNORED).sum())
        model.train()
        drop_gathered(model)
        loss, tokens = (float(value) for value in accelerator.reduce(total, "sum").tolist())
        return loss / tokens
