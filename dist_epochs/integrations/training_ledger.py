"""The ledger of one training by another trainer: opened when it begins, closed when it ends."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from dist_epochs.errors import InputError
from dist_epochs.integrations.loop_counter import WAIT_BRIEFLY, WAIT_FOR_RANKS, LoopCounter
from dist_epochs.integrations.open_ledgers import OpenLedgers
from dist_epochs.integrations.run_directory import open_run
from dist_epochs.integrations.start import begin_loop, say
from dist_epochs.integrations.wandb_mirror import LoopMirror
from dist_epochs.ledger.clock import PAUSES
from dist_epochs.ledger.writer import LedgerWriter, now
from dist_epochs.runtime.peers import Peers

__all__ = ["TrainingLedger"]

_open = OpenLedgers()


class TrainingLedger:
    """Records what a trainer trains, as its callback tells; every rank has one, and rank 0 writes.

    One that was interrupted in this process, as in a notebook, does not know that it ended. Another one for the same
    run closes it, and goes on from where it began unless it resumes from a checkpoint.

    Args:
        out: Run directory.
        peers: All ranks.
        loader: What the trainer iterates over.
        settings: The trainer's settings, with the attributes of Accelerate's `Accelerator` that say how it counts:
            `gradient_accumulation_steps`, and `parallelism_config`, `device` and `mixed_precision` where it has them.
        samples: Samples of one pass over the training data.
        store: A token store or its manifest.
        from_step: Steps of the checkpoint that the trainer resumes from.
        steps: Steps of the whole run, where the trainer knows them.
        is_hf_trainer: Whether the trainer is the HF Trainer.

    Raises:
        InputError: As `Ledger`.

    Attributes:
        sees: What the trainer's callbacks tell from computing.
    """

    sees: tuple[str, ...] = PAUSES

    def __init__(
        self,
        out: Path,
        peers: Peers,
        loader: Any,
        settings: Any,
        *,
        samples: int | None,
        store: str | Path | None,
        from_step: int | None,
        steps: int | None = None,
        is_hf_trainer: bool = False,
    ) -> None:
        self._run = out.absolute()
        from_step = _open.take_over(self._run, from_step)
        opened = open_run(out, peers, samples=samples, store=store, from_step=from_step)
        self.opened = replace(opened, steps=steps)
        self._writer = LedgerWriter(out, self.opened.totals, writes=peers.rank == 0)
        self.mirror = LoopMirror(out, self.counters, say, totals=lambda: self._writer.totals)
        self._peers, self._loader, self._settings, self._is_hf_trainer = peers, loader, settings, is_hf_trainer
        self._counter: LoopCounter | None = None
        self._working_since = now()
        atexit.register(self._at_exit)
        _open.add(self._run, self, self.opened.from_step)

    @property
    def counter(self) -> LoopCounter:
        """The counter, which begins with the first batch."""
        if self._counter is None:
            raise InputError(
                "a step was taken and the model was given no batch in training mode",
                rule="LedgerCallback counts what the model is given, so compute_loss must call its model",
                fixes="a loop of your own with `dist_epochs.Ledger`",
            )
        return self._counter

    def add(self, batch: object) -> None:
        """Count the batch of a micro-step."""
        if self._counter is None:
            self._counter = begin_loop(
                self.opened, self._writer, self._peers, self._loader, batch, self._settings,
                is_hf_trainer=self._is_hf_trainer, sees=self.sees,
            )  # fmt: skip
        self._counter.add(batch)

    def begin_pause(self) -> None:
        """Note that an evaluation or a checkpoint begins, where the trainer says so."""
        self._working_since = now()

    def pause(self, event: str) -> None:
        """Record that an `evaluation` or a `checkpoint` ended; the last step, pause or `begin_pause` began it."""
        seconds, self._working_since = now() - self._working_since, now()
        if self._counter is not None and self._counter.settle(WAIT_FOR_RANKS):
            self._counter.monitor.pause(event, max(seconds, 0.0))

    def step(self, *, applied: bool, scheduler: object = None) -> None:
        """Record a step."""
        self._working_since = now()
        self.counter.step(applied=applied, scheduler=scheduler)
        if self._peers.rank == 0:
            self.mirror.join()

    def settle(self) -> None:
        """Wait until every step is recorded: before a log, and before a checkpoint."""
        if self._counter is not None:
            self._counter.settle(WAIT_FOR_RANKS)
            self._writer.make_durable()

    def counters(self) -> Mapping[str, float | int]:
        """The counters so far, on rank 0."""
        return {} if self._counter is None else self._counter.monitor.counters()

    def close(self, status: str, reason: str | None = None) -> None:
        """Record how the segment ended: `finished`, `stopped` or `failed`."""
        atexit.unregister(self._at_exit)
        _open.remove(self._run, self)
        if self._counter is not None:
            self._counter.finish(WAIT_BRIEFLY if status == "failed" else WAIT_FOR_RANKS)
            with suppress(OSError):
                self._writer.close(status, reason)
            if self._peers.rank == 0:
                self.mirror.leave()
        self.opened.release()

    def _at_exit(self) -> None:
        """Close the ledger at the program's end, if training did not end normally."""
        error = getattr(sys, "last_value", None)
        self.close("failed", repr(error)[:500] if error is not None else "the program ended")
