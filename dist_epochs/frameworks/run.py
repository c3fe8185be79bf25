"""A run as a framework reports it, as it is, and why the two differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from dist_epochs.arithmetic.loader import Loader, LoaderCounts, expected_coverage_of_passes
from dist_epochs.frameworks.setting import Setting

__all__ = ["Cause", "Reported", "Rule", "Run", "Truth"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reported:
    """What a framework reports at the end of a run; None for what it does not report.

    Attributes:
        steps: Optimizer steps, by its counter.
        epoch: The epoch that it shows.
        num_epochs: The number of epochs that it announces.
        samples: Samples that it counts, for its throughput for example.
        schedule_ends: The step after which its learning-rate schedule is over, if it was planned for `steps`.
    """

    steps: int
    epoch: Fraction | None = None
    num_epochs: int | None = None
    samples: Fraction | None = None
    schedule_ends: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """What really happens, over all devices.

    Attributes:
        steps: Optimizer steps.
        micro_steps: Micro-steps, on the busiest device.
        drawn: Samples drawn, duplicates included.
        samples: Samples trained, duplicates included.
        duplicates: Samples drawn again in the same pass.
        epochs: Samples trained ÷ samples of the corpus.
        coverage: Expected share of the samples that is trained at least once; None where the order decides.
    """

    steps: int
    micro_steps: int
    drawn: int
    samples: int
    duplicates: int
    epochs: Fraction
    coverage: Fraction | None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a reported number differs from the true one.

    Attributes:
        rule: Its name, for `dist-epochs explain`.
        message: What happens in this run, with numbers.
    """

    rule: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run in one framework.

    Attributes:
        setting: Its settings.
        counts: What its loop has done at the end.
        reported: What it reports.
        loader: How it cuts passes; None where batches run on across them.
        planned_per_pass: Steps of a pass in the framework's own plan; None where it makes none.
        reads_in_order: Whether samples come in the same order in each pass, as from a stream.
    """

    setting: Setting
    counts: LoaderCounts
    reported: Reported
    loader: Loader | None = None
    planned_per_pass: Fraction | None = None
    reads_in_order: bool = False

    @property
    def duplicates_per_pass(self) -> int:
        """Samples drawn again in the same pass."""
        return max(self.loader.drawn_per_pass - self.setting.samples, 0) if self.loader else 0

    @property
    def dropped_per_pass(self) -> int:
        """Samples that a pass does not draw."""
        return max(self.setting.samples - self.loader.drawn_per_pass, 0) if self.loader else 0

    @property
    def truth(self) -> Truth:
        """What really happens."""
        counts = self.counts
        passes = counts.micro_steps // self.loader.micro_steps_per_pass if self.loader else 0
        return Truth(
            steps=counts.steps,
            micro_steps=counts.micro_steps,
            drawn=counts.drawn,
            samples=counts.samples,
            duplicates=passes * self.duplicates_per_pass,
            epochs=counts.epochs(self.setting.samples),
            coverage=self._coverage(),
        )

    def _coverage(self) -> Fraction | None:
        if self.loader is None:
            return min(Fraction(1), self.counts.epochs(self.setting.samples))
        if self.reads_in_order and self.dropped_per_pass:
            return None
        return expected_coverage_of_passes(self.setting.samples, self.loader.trained_per_pass, self.counts.samples)


Rule = Callable[[Run], str | None]
"""A cause: its message, or None where it does not apply. Its docstring is the page that `dist-epochs explain` shows."""
