"""What a trainer is about to do, known before its first step: steps, samples and epochs."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from dist_epochs.arithmetic.text import scaled
from dist_epochs.errors import InputError
from dist_epochs.frameworks.framework import Version
from dist_epochs.frameworks.registry import find
from dist_epochs.frameworks.run import Run
from dist_epochs.frameworks.setting import Setting
from dist_epochs.integrations.loader_facts import LoaderFacts
from dist_epochs.ledger.counters import planned_counters
from dist_epochs.rules import rule_name

__all__ = ["Announced"]


@dataclass(frozen=True, kw_only=True)
class Announced:
    """A run of another trainer before its first step.

    Attributes:
        steps: Optimizer steps of the run.
        per_device: Samples of a micro-batch, on one rank.
        ranks: Ranks that see different data.
        accumulation: Micro-steps of a step.
        samples: Samples of one pass over the data; None if not known yet.
        loader: How the samples are shared among the ranks.
        framework: The trainer: `transformers` or `lightning`.

    Examples:
        >>> stream = LoaderFacts(is_stream=True)
        >>> run = Announced(steps=30, per_device=10, ranks=1, accumulation=4, samples=100, loader=stream)
        >>> print(run.line)
        30 steps of 40 samples (1 rank × 10 per device × 4 accumulation) over 100 samples: 14.8 epochs, and the Trainer will say 14.07 (stream-epoch, leaked-window)
        >>> run.planned
        {'ledger/planned_steps': 30, 'ledger/planned_samples': 1480, 'ledger/planned_epoch': 14.8}
    """  # noqa: E501

    steps: int
    per_device: int
    ranks: int
    accumulation: int
    samples: int | None
    loader: LoaderFacts
    framework: str = "transformers"

    @property
    def line(self) -> str:
        """Steps, samples and epochs of the run, and the epoch that the Trainer will report."""
        layout = f"{self.ranks} rank{'s' * (self.ranks > 1)} × {self.per_device} per device"
        layout += f" × {self.accumulation} accumulation"
        batch = f"{self.steps:,} steps of {self.ranks * self.per_device * self.accumulation:,} samples ({layout})"
        if self.samples is None:
            return f"{batch}; how many samples a pass has is learned in the first one"
        batch += f" over {self.samples:,} samples"
        if self.loader.is_plan:
            return f"{batch}: {scaled(self._of_plan)} epochs of a plan"
        run = self._run
        if not isinstance(run, Run):
            return batch if run is None else f"{batch}: {run}"
        said, true = run.reported.epoch, run.truth.epochs
        plan = f"{batch}: {scaled(true)} epochs"
        if said is None or said == true:
            return plan
        causes = ", ".join(rule_name(rule) for rule in self._version.causes if rule(run))
        return f"{plan}, and the Trainer will say {scaled(said)} ({causes})"

    @property
    def planned(self) -> dict[str, float | int]:
        """The counters that the run will end with, as far as they are known before it."""
        truth = self._run.truth if isinstance(self._run, Run) else None
        samples, epochs = (truth.samples, {"samples": float(truth.epochs)}) if truth else (None, {})
        if self.loader.is_plan and self.samples:
            samples, epochs = int(self._of_plan * self.samples), {"samples": float(self._of_plan)}
        return planned_counters({"steps": self.steps, "samples": samples, "epochs": epochs})

    @property
    def _of_plan(self) -> Fraction:
        """Epochs where batches run on across passes, as a plan draws them."""
        return Fraction(self.steps * self.ranks * self.per_device * self.accumulation, self.samples or 1)

    @property
    def _version(self) -> Version:
        return find(f"{self.framework}-streaming" if self.loader.is_stream else self.framework).version

    @cached_property
    def _run(self) -> Run | InputError | None:
        """The run as it will be; why it will fail or take no step; or None where it cannot be foreseen."""
        is_unknown_stream = self.loader.is_stream and self.framework != "transformers"
        if self.samples is None or self.loader.is_plan or self.loader.uneven == "keep" or is_unknown_stream:
            return None
        setting = Setting(
            samples=self.samples,
            per_device=self.per_device,
            data_parallel_size=self.ranks,
            gradient_accumulation=self.accumulation,
            steps=self.steps,
            uneven="drop" if self.loader.uneven == "drop" else None,
        )
        try:
            return self._version.run(setting)
        except InputError as error:
            return error
