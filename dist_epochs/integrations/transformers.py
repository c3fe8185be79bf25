"""The ledger of a run of the HF Trainer: one callback."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from dist_epochs.errors import InputError
from dist_epochs.integrations.announcement import Announced
from dist_epochs.integrations.loader_facts import loader_facts
from dist_epochs.integrations.loop_counter import WAIT_FOR_RANKS
from dist_epochs.integrations.ranks import peers_of, topology_of
from dist_epochs.integrations.run_directory import Opened
from dist_epochs.integrations.start import say
from dist_epochs.integrations.training_ledger import TrainingLedger
from dist_epochs.runtime.peers import Peers

__all__ = ["LedgerCallback"]


class LedgerCallback(TrainerCallback):  # type: ignore[misc]
    """Keeps a ledger of a `transformers.Trainer`, and reports its epoch by samples.

    A hook on the model counts the batch of each micro-step, so the counts are those of what was trained, not of what
    was loaded ahead: on any number of ranks, with map-style and streaming data, after a resume. Samples of one pass are
    those stated, or those of the training data, or what the first pass drew. The counters go to wandb under
    `ledger/`, beside the Trainer's own; `dist-epochs ledger RUN` prints them all.

    Args:
        out: Run directory of the ledger. A run that resumes from a checkpoint uses the same one.
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
        """Open the run directory, and register the hook on the model.

        Raises:
            InputError: As `Ledger`; or if one process trains on several GPUs, or a sample is split over ranks.
        """
        _check(args)
        again = self._run is not None  # the batch was too large, or the last call was interrupted in a notebook
        if self._run is not None:
            self._run.close("failed", "training began again")
        peers = peers_of(None)
        from_step = state.global_step if again or state.global_step else None
        self._run = _Training(
            args, train_dataloader, model, self._out, peers,
            samples=self._samples, store=self._store, from_step=from_step,
            steps=state.max_steps if state.max_steps > 0 else None,
        )  # fmt: skip
        if peers.rank == 0:
            self._run.mirror.planned = _announce(self._run.opened, peers, args, state, train_dataloader).planned

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Note the end of a micro-step that is not the last of its step."""
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
        """Record the step."""
        self._now.end_micro_step()
        self._now.step(applied=not getattr(optimizer, "step_was_skipped", False), scheduler=lr_scheduler)
        if control.should_log or control.should_save:
            self._now.show(state.epoch)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Record how long an evaluation during training took."""
        if self._run is not None:
            self._run.pause("evaluation")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Record how long saving a checkpoint took."""
        if self._run is not None:
            self._run.pause("checkpoint")

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Record that a pass of the loader ended, unless the Trainer left it before."""
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


class _Training(TrainingLedger):
    """One call of `train()`: a hook on the model counts its batches."""

    def __init__(
        self, args: TrainingArguments, loader: Any, model: nn.Module, out: Path, peers: Peers, **sizes: Any
    ) -> None:
        super().__init__(out, peers, loader, args, is_hf_trainer=True, **sizes)
        self._counted = False
        self._in_pass = 0
        self._reported: dict[str, float] = {}
        self._hook = model.register_forward_pre_hook(torch.compiler.disable(self._count), with_kwargs=True)

    def _count(self, model: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        """Count the batch of a micro-step: the input of its first forward pass in training mode."""
        if self._counted or not model.training or not torch.is_grad_enabled():
            return
        self.add(named or inputs)
        self._counted = True

    def end_micro_step(self) -> None:
        """Note that the next forward pass has the next batch."""
        self._counted = False
        self._in_pass += 1

    def end_pass(self, *, left: bool) -> None:
        """Record the end of a pass; one that was left is whole if the loader has a length and all of it was drawn."""
        whole = not left
        if left:
            with suppress(TypeError):  # a stream has no length
                whole = self._in_pass == len(self._loader)
        self._in_pass = 0
        if self._counter is not None:
            self._counter.end_pass(left=left, whole=whole)

    def report(self, epoch: float | None) -> None:
        """Record the Trainer's epoch, if every step before is recorded."""
        if self._counter is not None and epoch is not None and self._counter.settle(WAIT_FOR_RANKS):
            self._counter.monitor.report(float(epoch))

    def show(self, epoch: float | None) -> None:
        """Have every step in the counters that go into the row that the Trainer is about to log."""
        self.settle()
        self._reported = {} if epoch is None else {"ledger/epoch_reported": float(epoch)}

    def counters(self) -> Mapping[str, float | int]:
        """The counters so far, with the last epoch that the Trainer has logged."""
        return {**super().counters(), **self._reported}

    def close(self, status: str, reason: str | None = None) -> None:
        """Take the hook from the model, and record how the segment ended."""
        self._hook.remove()
        super().close(status, reason)


def _announce(opened: Opened, peers: Peers, args: TrainingArguments, state: TrainerState, loader: Any) -> Announced:
    """Print the steps and epochs of the run before it starts, and return them."""
    ranks = topology_of(peers, getattr(args, "parallelism_config", None)).groups
    facts = loader_facts(loader, ranks)
    run = Announced(
        steps=state.max_steps,
        per_device=facts.per_device or args.per_device_train_batch_size,
        ranks=ranks,
        accumulation=args.gradient_accumulation_steps,
        samples=opened.data.samples if opened.data else facts.samples,
        loader=facts,
    )
    line = run.line
    if opened.from_step:
        line = f"resuming after step {opened.from_step:,} of {state.max_steps:,}; from the start it would be {line}"
    say(f"dist_epochs: {line}")
    return run


def _check(args: TrainingArguments) -> None:
    """Refuse settings under which a hook on the model would count wrongly."""
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
