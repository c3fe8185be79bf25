"""Saves the state of a run as checkpoints, and restores it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from dist_epochs.ledger.run_ledger import RunLedger
from dist_epochs.recipe.training import CheckpointRecipe
from dist_epochs.train.checkpoints import Checkpoints, Found, Manifest, restore, tensors_of

__all__ = ["Saver"]


class Saver:
    """Saves a run between two steps, and restores it.

    Args:
        recipe: When checkpoints are saved, and how many are kept.
        checkpoints: The checkpoints of the run directory.
        accelerator: Has fp16's loss scale.
        model: The model whose weights are saved, without a wrapper.
        optimizer: The optimizer, prepared by the accelerator.
        ledger: Made durable before each checkpoint, so that it has every step of the checkpoint.
        plan: Fingerprint of the plan.
        run: Unique id of the run.
        timed: Called after each checkpoint with the seconds it took.
        clock: Monotonic time in seconds.

    Attributes:
        newest: The newest checkpoint; None before the first.
        saved: Steps taken before it.
    """

    def __init__(
        self,
        recipe: CheckpointRecipe,
        checkpoints: Checkpoints,
        *,
        accelerator: Accelerator,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        ledger: RunLedger,
        plan: str,
        run: str | None,
        timed: Callable[[float], None] = lambda seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recipe = recipe
        self._checkpoints = checkpoints
        self._ranks = checkpoints.ranks
        self._accelerator = accelerator
        self._model = model
        self._optimizer = optimizer
        self._ledger = ledger
        self._plan, self._run = plan, run
        self._timed, self._clock = timed, clock
        self._asked = clock()
        self.newest: Path | None = None
        self.saved = ledger.totals.last_step

    def due(self, step: int) -> bool:
        """Whether this rank asks for a checkpoint after a step (from 1); only rank 0 asks, by its clock."""
        if self._ranks.rank:
            return False
        between, seconds = self._recipe.steps, self._recipe.seconds
        if between is not None and step % between == 0:
            return True
        if seconds is None or self._clock() - self._asked < seconds:
            return False
        self._asked = self._clock()
        return True

    def save(self) -> None:
        """Save the run after its last step, unless that is done already; every rank calls this.

        Raises:
            NotFinite: If weights are not finite; the checkpoint before stays the newest.
            RanksDiffer: If it could not be written.
        """
        totals = self._ledger.totals
        if totals.last_step == self.saved:
            return
        began = self._clock()
        self._ledger.make_durable()
        scaler = self._accelerator.scaler
        manifest = Manifest(
            step=totals.last_step,
            applied=totals.applied.steps,
            plan=self._plan,
            run=self._run,
            world_size=self._ranks.size,
            scaler=None if scaler is None else dict(scaler.state_dict()),
        )
        self.newest = self._checkpoints.save(manifest, tensors_of(self._model, self._optimizer))
        self.saved = totals.last_step
        self._asked = self._clock()
        self._ledger.checkpoint(totals.last_step, self.newest.name, self._asked - began)
        self._timed(self._asked - began)

    def restore(self, found: Found) -> None:
        """Restore weights, optimizer and loss scale from a checkpoint, and close it; every rank calls this."""
        restore(self._model, self._optimizer, found.files)
        found.close()
        if found.manifest.scaler is not None and self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(dict(found.manifest.scaler))
        self.newest, self.saved = found.folder, found.manifest.step
