"""True counts in the HF Trainer: one callback."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from dist_epochs.errors import InputError
from dist_epochs.integrations.announcement import announcement
from dist_epochs.integrations.loader_facts import loader_facts
from dist_epochs.integrations.loop_counter import LoopCounter
from dist_epochs.integrations.start import (
    WAIT_BRIEFLY,
    WAIT_FOR_RANKS,
    Opened,
    open_run,
    peers_of,
    say,
    topology_of,
)
from dist_epochs.integrations.wandb_mirror import Mirror
from dist_epochs.ledger.books import Books
from dist_epochs.runtime.peers import Peers

__all__ = ["LedgerCallback"]


class LedgerCallback(TrainerCallback):  # type: ignore[misc]
    """Keeps a ledger of somebody's `transformers.Trainer`, and says what its epoch really is.

    A hook on the model sees what each micro-step is given, so the counts are those of what was trained, not of what was
    loaded ahead: on any number of ranks, with map-style and streaming data, after a resume. Samples of one pass are
    those stated, or those of the training data, or what the first pass drew. The counters go to wandb under
    `ledger/`, beside the Trainer's own; `dist-epochs ledger RUN` reads the rest.

    Args:
        out: Run directory of the ledger. A run that goes on from a checkpoint goes on in it.
        samples: Samples of one pass over the training data.
        store: A token store or its manifest: its documents are the samples, and its tokens are known.

    Examples:
        >>> callback = LedgerCallback(out="runs/a")  # then: trainer.add_callback(callback)
    """

    def __init__(self, out: str | Path, *, samples: int | None = None, store: str | Path | None = None) -> None:
        self._out, self._samples, self._store = Path(out), samples, store
        self._run: _Training | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: nn.Module,
        train_dataloader: Any,
        **others: Any,
    ) -> None:
        """Open the run, and listen to the model.

        Raises:
            InputError: As `Ledger`; and where one process trains on several GPUs, or a sample is split over ranks.
        """
        _check(args)
        again = self._run is not None  # a batch size that was too large, or a notebook that interrupted the last call
        if self._run is not None:
            self._run.close("failed", "training began again")
        peers = peers_of(None)
        from_step = state.global_step if again or state.global_step else None
        opened = open_run(
            self._out, peers, samples=self._samples, store=self._store, from_step=from_step
        )  # fmt: skip
        books = Books(self._out, opened.totals, writes=peers.rank == 0)
        self._run = _Training(opened, books, peers, args, train_dataloader, model)
        if peers.rank == 0:
            _announce(opened, peers, args, state, train_dataloader)

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """A micro-step ended that was none of an update."""
        self._now.end_micro_step()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        optimizer: Any,
        lr_scheduler: Any = None,
        **others: Any,
    ) -> None:
        """Book the update."""
        self._now.end_micro_step()
        self._now.step(applied=not getattr(optimizer, "step_was_skipped", False), scheduler=lr_scheduler)
        if control.should_log or control.should_save:
            self._now.show(state.epoch)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """A round of the loader ended, unless the Trainer left it."""
        self._now.end_pass(left=control.should_training_stop or control.should_epoch_stop)
        self._now.report(state.epoch)
        if control.should_log:
            self._now.show(state.epoch)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Close the ledger."""
        run, self._run = self._now, None
        run.report(state.epoch)
        run.close("finished" if state.global_step >= state.max_steps else "stopped")

    @property
    def _now(self) -> _Training:
        assert self._run is not None, "training has begun"
        return self._run


class _Training:
    """One call of `train()`."""

    def __init__(
        self, opened: Opened, books: Books, peers: Peers, args: TrainingArguments, loader: Any, model: nn.Module
    ) -> None:
        self._opened, self._books, self._peers, self._args = opened, books, peers, args
        self._loader, self._mirror = loader, Mirror()
        self._counter: LoopCounter | None = None
        self._heard = False
        self._in_pass = 0
        atexit.register(self._at_exit)
        self._hook = model.register_forward_pre_hook(torch.compiler.disable(self._listen), with_kwargs=True)

    def _listen(self, model: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        """The first forward pass of a micro-step has the batch; others of the same (or of an evaluation) have not."""
        if self._heard or not model.training or not torch.is_grad_enabled():
            return
        batch = named or inputs
        if self._counter is None:
            self._counter = self._opened.begin_loop(
                self._books, self._peers, self._loader, batch, self._args, is_hf_trainer=True
            )  # fmt: skip
        self._counter.add(batch)
        self._heard = True

    @property
    def counter(self) -> LoopCounter:
        """Begun with the first batch."""
        if self._counter is None:
            raise InputError(
                "a step was taken and the model was given no batch in training mode",
                rule="LedgerCallback counts what the model is given, so compute_loss must call its model",
                fixes="a loop of your own with `dist_epochs.Ledger`",
            )
        return self._counter

    def end_micro_step(self) -> None:
        """The next forward pass brings the next batch."""
        self._heard = False
        self._in_pass += 1

    def step(self, *, applied: bool, scheduler: object) -> None:
        """Book an update."""
        self.counter.step(applied=applied, scheduler=scheduler)

    def end_pass(self, *, left: bool) -> None:
        """A round of the loader ended; where it was left, only a loader with a length tells whether it was done."""
        whole = not left or (hasattr(type(self._loader), "__len__") and self._in_pass == _length(self._loader))
        self._in_pass = 0
        if self._counter is not None and whole:
            self._counter.end_pass()

    def report(self, epoch: float | None) -> None:
        """The Trainer's epoch, where everything is settled."""
        if self._counter is not None and epoch is not None and self._counter.settle(WAIT_FOR_RANKS):
            self._counter.observer.report(float(epoch))

    def show(self, epoch: float | None) -> None:
        """Put the counters of now into the row that the Trainer is about to log."""
        self.counter.settle(WAIT_FOR_RANKS)
        self._books.make_durable()
        if self._peers.rank == 0:
            reported = {} if epoch is None else {"ledger/epoch_reported": float(epoch)}
            self._mirror.show(self.counter.observer.counters() | reported)

    def close(self, status: str, reason: str | None = None) -> None:
        """Write how the segment ended."""
        atexit.unregister(self._at_exit)
        self._hook.remove()
        if self._counter is not None:
            self._counter.finish(WAIT_BRIEFLY if status == "failed" else WAIT_FOR_RANKS)
            if self._peers.rank == 0:
                self._mirror.show(self._counter.observer.counters())
            with suppress(OSError):
                self._books.close(status, reason)
        self._opened.release()

    def _at_exit(self) -> None:
        """Close the ledger at the program's end, if training did not come to its own."""
        error = getattr(sys, "last_value", None)
        self.close("failed", repr(error)[:500] if error is not None else "the program ended")


def _announce(opened: Opened, peers: Peers, args: TrainingArguments, state: TrainerState, loader: Any) -> None:
    """Say what is going to happen."""
    ranks = topology_of(peers, getattr(args, "parallelism_config", None)).groups
    facts = loader_facts(loader, ranks)
    line = announcement(
        steps=state.max_steps,
        per_device=facts.per_device or args.per_device_train_batch_size,
        ranks=ranks,
        accumulation=args.gradient_accumulation_steps,
        samples=opened.data.samples if opened.data else facts.samples,
        loader=facts,
    )
    if opened.from_step:
        line = f"going on after step {opened.from_step:,} of {state.max_steps:,}; from the start it would be {line}"
    say(f"dist_epochs: {line}")


def _length(loader: Any) -> int | None:
    """Batches of a pass on this rank; None for a stream."""
    try:
        return len(loader)
    except TypeError:
        return None


def _check(args: TrainingArguments) -> None:
    """Refuse what a hook on the model would count wrongly."""
    if args.n_gpu > 1:
        raise InputError(
            f"one process trains on {args.n_gpu} GPUs",
            rule="DataParallel cuts batches before the model sees them, where LedgerCallback counts",
            fixes="one process per GPU, with `accelerate launch` or `torchrun`",
        )
    context = getattr(getattr(args, "parallelism_config", None), "cp_size", 1)
    if context > 1:
        raise InputError(
            f"context parallelism of {context} cannot be counted by LedgerCallback",
            rule="it cuts samples before the model sees them",
            fixes="a loop of your own with `dist_epochs.Ledger`",
        )
