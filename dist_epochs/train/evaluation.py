"""Loss on the held-out documents, with counters of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import nn

from dist_epochs.corpus.objective import IGNORED, Objective
from dist_epochs.corpus.stream import MicroBatch
from dist_epochs.train.loss import loss_sum, to_device

__all__ = ["Evaluation"]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The held-out samples of this rank, the same at every evaluation.

    Attributes:
        batches: The micro-batches of this rank; every rank has the same number.
        every: Steps between evaluations.
        objective: Which tokens the loss counts.
    """

    batches: Sequence[MicroBatch]
    every: int
    objective: Objective

    def due(self, step: int, steps: int) -> bool:
        """Whether to evaluate after step `step` of `steps`."""
        return step % self.every == 0 or step == steps

    def loss(self, accelerator: Accelerator, model: nn.Module, alive: Callable[[], None]) -> float:
        """Mean loss over the loss tokens of the held-out documents of all ranks; calls `alive` before each batch."""
        model.eval()
        total = torch.zeros(2, dtype=torch.float64 if accelerator.device.type != "mps" else torch.float32)
        total = total.to(accelerator.device)
        with torch.no_grad():
            for batch in self.batches:
                alive()
                inputs = to_device(batch, accelerator.device, self.objective)
                total[0] += loss_sum(model, inputs)
                total[1] += int((batch.labels != IGNORED).sum())
        model.train()
        loss, tokens = (float(value) for value in accelerator.reduce(total, "sum").tolist())
        return loss / tokens
