"""Phases of a run, and which draws each step makes from the sequence of its length."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from dist_epochs.errors import InputError

__all__ = ["Phase", "Schedule", "Span"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """A stretch of the run with one sequence length and one global batch.

    Attributes:
        steps: Optimizer steps.
        sequence_length: Positions per sample.
        global_batch: Samples per step, over all devices.
    """

    steps: int
    sequence_length: int
    global_batch: int

    @property
    def samples(self) -> int:
        """Samples drawn, over all devices."""
        return self.steps * self.global_batch

    @property
    def positions(self) -> int:
        """Positions drawn, padding included, over all devices."""
        return self.samples * self.sequence_length


@dataclass(frozen=True, slots=True)
class Span:
    """Draws `start` to `stop` − 1 from the endless sequence of samples of one length.

    Every length has its own sequence; it goes on where it stopped when its length comes back.
    """

    phase: int
    sequence_length: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """The phases in order. Steps count from 0 over the whole run.

    Examples:
        >>> short = Phase(steps=3, sequence_length=128, global_batch=4)
        >>> long = Phase(steps=2, sequence_length=512, global_batch=2)
        >>> schedule = Schedule((short, long, short))
        >>> schedule.steps, schedule.span(5)
        (8, Span(phase=2, sequence_length=128, start=12, stop=16))
    """

    phases: Sequence[Phase]
    _ends: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _starts: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.phases:
            raise InputError("a run needs at least one phase")
        object.__setattr__(self, "_ends", tuple(accumulate(phase.steps for phase in self.phases)))
        drawn: dict[int, int] = {}
        starts = []
        for phase in self.phases:
            starts.append(drawn.get(phase.sequence_length, 0))
            drawn[phase.sequence_length] = starts[-1] + phase.samples
        object.__setattr__(self, "_starts", tuple(starts))

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self._ends[-1]

    def phase_of(self, step: int) -> int:
        """Index of the phase that step `step` belongs to."""
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of a run of {self.steps}")
        return bisect_right(self._ends, step)

    def span(self, step: int) -> Span:
        """What step `step` draws."""
        index = self.phase_of(step)
        phase = self.phases[index]
        before = step - (self._ends[index] - phase.steps)
        start = self._starts[index] + before * phase.global_batch
        return Span(index, phase.sequence_length, start, start + phase.global_batch)

    def spans(self) -> tuple[Span, ...]:
        """What each phase draws, whole."""
        return tuple(
            Span(index, phase.sequence_length, start, start + phase.samples)
            for index, (phase, start) in enumerate(zip(self.phases, self._starts, strict=True))
        )

    def largest_batch(self, sequence_length: int) -> int:
        """The largest global batch among the phases of one length."""
        return max(phase.global_batch for phase in self.phases if phase.sequence_length == sequence_length)
