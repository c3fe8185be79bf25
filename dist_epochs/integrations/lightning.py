"""The ledger of a run of Lightning's Trainer: one callback."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from dist_epochs.errors import InputError
from dist_epochs.integrations.announcement import Announced
from dist_epochs.integrations.loader_facts import loader_facts
from dist_epochs.integrations.ranks import peers_of, topology_of
from dist_epochs.integrations.start import say
from dist_epochs.integrations.training_ledger import TrainingLedger
from dist_epochs.ledger.counters import planned_counters

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["LedgerCallback"]

PACKAGES = ("pytorch_lightning", "lightning.pytorch")
"""The same library under its two names; the one that the program has imported is meant."""


def _callback_class() -> Any:
    """Lightning's `Callback`, of the package that the program uses; `object` where there is none."""
    found = [name for name in PACKAGES if find_spec(name.partition(".")[0]) is not None]
    used = [name for name in found if name in sys.modules] or found[-1:]
    return import_module(used[0]).Callback if used else object


class LedgerCallback(_callback_class()):  # type: ignore[misc]
    """Keeps a ledger of a run of Lightning's `Trainer`.

    What is counted is what was trained: a batch when its `training_step` is over, a step when the optimizer was
    stepped. So sanity checks, validation and batches that `on_train_batch_start` refuses are in no count, and the last
    window of a pass is as long as it was. Checkpoints hold the number of steps, and `fit(ckpt_path=…)` goes on from
    there in the same directory. Samples of one pass are those stated, or those of the training data, or what the first
    pass drew.

    With several optimizers, or several steps of one within a `training_step` (manual optimization), the batches between
    two calls of `training_step` in which one was stepped are one step here; Lightning's `global_step` counts each.

    Args:
        out: Run directory of the ledger. A run that resumes from a checkpoint uses the same one.
        samples: Samples of one pass over the training data.
        store: A token store or its manifest: its documents are the samples, and its tokens are known.

    Raises:
        InputError: If Lightning is not installed.

    Examples:
        Trainer(callbacks=[LedgerCallback("runs/a")])
    """

    def __init__(self, out: str | Path, *, samples: int | None = None, store: str | Path | None = None) -> None:
        if _callback_class() is object:
            raise InputError("Lightning is not installed", fixes="pip install lightning")
        super().__init__()
        self._out, self._samples, self._store = Path(out), samples, store
        self._run: _Fit | None = None
        self._steps = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the run directory.

        Raises:
            InputError: As `Ledger`.
        """
        resumes = trainer.global_step > 0
        # Of a checkpoint without this callback, Lightning's steps are all that is known.
        self._steps = (self._steps or trainer.global_step) if resumes else 0
        self._run = _Fit(trainer, self._out, self._samples, self._store, self._steps if resumes else None)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Keep the batch as it is: `training_step` may take parts out of it."""
        if self._run is not None:
            self._run.begin_batch(batch, trainer.global_step)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Note the scale of fp16, which falls where the step is skipped."""
        if self._run is not None:
            self._run.scale_before = _scale(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch, and the step if it was the last of its window."""
        if self._run is not None:
            trained = not pl_module.automatic_optimization or bool(outputs)  # without a loss there is no backward
            self._steps += self._run.end_batch(trainer, trained=trained)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record that a pass of the loader ended, unless it was left before."""
        if self._run is not None:
            self._run.end_pass(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Wait until every step of the checkpoint is recorded."""
        if self._run is not None:
            self._run.settle()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when a validation begins."""
        if self._run is not None:
            self._run.begin_pause()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record how long a validation during training took."""
        if self._run is not None and not trainer.sanity_checking:
            self._run.pause("evaluation")

    def state_dict(self) -> dict[str, Any]:
        """The steps of a checkpoint, as the ledger counts them."""
        return {"steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The steps of the checkpoint that the run resumes from."""
        self._steps = state_dict["steps"]

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the ledger."""
        if self._run is not None:
            self._run.close("stopped" if trainer.should_stop or trainer.interrupted else "finished")
            self._run = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the ledger after an error, or after Ctrl-C."""
        if self._run is not None:
            status = "stopped" if isinstance(exception, KeyboardInterrupt) else "failed"
            self._run.close(status, repr(exception)[:500])
            self._run = None


class _Fit(TrainingLedger):
    """One call of `fit()`."""

    sees = ("evaluation",)

    def __init__(
        self, trainer: Trainer, out: Path, samples: int | None, store: str | Path | None, from_step: int | None
    ) -> None:
        peers, loader, settings = peers_of(None), trainer.train_dataloader, _settings(trainer)
        super().__init__(
            out, peers, loader, settings, samples=samples, store=store, from_step=from_step,
            steps=_planned_steps(trainer),
        )  # fmt: skip
        self.scale_before: float | None = None
        self._batch: Any = None
        self._is_open, self._global_step, self._in_window = False, trainer.global_step, 0
        self._lossless: list[Any] = []
        if peers.rank == 0:
            self._announce(trainer, topology_of(peers, settings.parallelism_config).groups)

    def begin_batch(self, batch: Any, global_step: int) -> None:
        """Note a batch that is about to be trained on."""
        self._batch, self._is_open, self._global_step = _copied(batch), True, global_step

    def end_batch(self, trainer: Trainer, *, trained: bool) -> bool:
        """Count a batch whose `training_step` is over, and the step that ended with it; whether there was one.

        A batch without a loss is in the window and not trained; a window of such batches alone is a step that was
        skipped.
        """
        batch, self._batch, self._is_open = self._batch, None, False
        if trained:
            self.add(batch)
            self._in_window += 1
        else:
            self._lossless.append(batch)
        if trainer.global_step == self._global_step:
            return False
        lossless, self._lossless = self._lossless, []
        is_empty, self._in_window = not self._in_window, 0
        for each in lossless if is_empty else ():
            self.add(each)
        scale, self.scale_before = self.scale_before, None
        overflowed = scale is not None and (_scale(trainer) or 0) < scale
        configs = trainer.lr_scheduler_configs
        self.step(applied=not (is_empty or overflowed), scheduler=configs[0].scheduler if configs else None)
        return True

    def end_pass(self, trainer: Trainer) -> None:
        """Record the end of a pass; it is whole if all that the loader has was drawn."""
        whole = bool(trainer.fit_loop.epoch_loop.batch_progress.is_last_batch) and not self._is_open
        whole = whole and not _is_limited(trainer)
        self._is_open = False
        if self._counter is not None:
            self._counter.end_pass(left=not whole, whole=whole)

    def _announce(self, trainer: Trainer, ranks: int) -> None:
        """Print the steps and epochs of the run before it starts, as far as they are known."""
        steps, facts = _planned_steps(trainer), loader_facts(self._loader, ranks)
        if steps is None:
            return
        self.mirror.planned = planned_counters({"steps": steps})
        if facts.per_device is None or _is_limited(trainer):
            return
        run = Announced(
            steps=steps,
            per_device=facts.per_device,
            ranks=ranks,
            accumulation=trainer.accumulate_grad_batches,
            samples=self.opened.data.samples if self.opened.data else facts.samples,
            loader=facts,
            framework="lightning",
        )
        self.mirror.planned = run.planned
        where = f"resuming after step {self.opened.from_step:,}; from the start it would be "
        say(f"dist_epochs: {where if self.opened.from_step else ''}{run.line}")


def _planned_steps(trainer: Trainer) -> int | None:
    """Steps of the whole run; None where Lightning does not know them, or the module steps by itself."""
    if not trainer.lightning_module.automatic_optimization:
        return None
    try:
        steps = trainer.estimated_stepping_batches
    except Exception:  # the accumulation changes during the run
        return None
    return int(steps) if 0 < steps < float("inf") else None


def _settings(trainer: Trainer) -> SimpleNamespace:
    """The settings that decide how the run is counted, under Accelerate's names."""
    schedules = any(type(each).__name__ == "GradientAccumulationScheduler" for each in trainer.callbacks)
    tensor = getattr(trainer.strategy, "_tensor_parallel_size", 1)
    return SimpleNamespace(
        gradient_accumulation_steps=None if schedules else trainer.accumulate_grad_batches,
        mixed_precision=str(trainer.precision),
        device=trainer.strategy.root_device,
        parallelism_config=SimpleNamespace(tp_size=tensor, cp_size=1, sp_size=1),
    )


def _is_limited(trainer: Trainer) -> bool:
    """Whether passes end before the loader does (`limit_train_batches`, `overfit_batches`, `fast_dev_run`)."""
    try:
        return bool(trainer.num_training_batches < len(trainer.train_dataloader))
    except TypeError:  # a stream has no length, and Lightning none of it
        return bool(trainer.num_training_batches != float("inf"))


def _scale(trainer: Trainer) -> float | None:
    """The loss scale of fp16; None with any other precision."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return None if scaler is None else float(scaler.get_scale())


def _copied(batch: Any, depth: int = 2) -> Any:
    """The containers of a batch copied, what is in them not."""
    if isinstance(batch, Mapping) and depth:
        return {name: _copied(value, depth - 1) for name, value in batch.items()}
    if isinstance(batch, list | tuple) and depth:
        return [_copied(value, depth - 1) for value in batch]
    return batch
