"""Logged lines as a run went on: segments, overlaps, gaps and sums, in one pass and constant memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import inf

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.audit.records.record import Number, Segment, Span, made_again

__all__ = ["MOST_KEPT", "Line", "Track"]

HALF = Fraction(1, 1000)
"""Twice half a unit of the last digit of a printed rate: rate and time are both rounded."""

MOST_KEPT = 10_000
"""Segments and gaps kept; a file with more is garbled, or no log of one run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What one logged line says; None is what it does not.

    Attributes:
        step: Optimizer steps so far.
        at: The line of its file, or the row.
        samples: Samples drawn so far, over all devices.
        tokens: Tokens drawn so far, over all devices.
        batch: Samples of a step, over all devices.
        seconds: Seconds of a step (mean since the line before).
        tflops: 10¹² FLOP/s of a device.
        samples_per_second: Over all devices.
    """

    step: int
    at: int
    samples: int | None = None
    tokens: int | None = None
    batch: int | None = None
    seconds: Decimal | None = None
    tflops: Decimal | None = None
    samples_per_second: float | None = None


@dataclass(slots=True)
class _Stretch:
    first: Line
    last: Line
    resumed_from: int | None
    lines: int = 1


@dataclass(slots=True)
class Track:
    """Adds up lines in the order they were written.

    A step that goes back begins a new segment, and so does a start that the log announces. The same step twice in
    a row is one line printed by two ranks.

    Attributes:
        place: The place of a line or row.
        last: The last line.
        repeated: Lines that repeat the step of the line before them.
        batches: The batches that were logged, with the number of lines (the first thousand kinds).
    """

    place: Callable[[int], str]
    last: Line | None = None
    repeated: int = 0
    batches: Counter[int] = field(default_factory=Counter)
    _stretches: list[_Stretch] = field(default_factory=list)
    _strides: Counter[int] = field(default_factory=Counter)
    _jumps: list[tuple[int, int]] = field(default_factory=list)
    _starts: bool = True
    _last_batch: int = 0
    _resumed_from: int | None = None
    _drawn: int = 0
    _least: int = 0
    _expected: int = 0
    _most: int = 0
    _timed_steps: int = 0
    _seconds: Decimal = Decimal(0)
    _timed_samples: int = 0
    _steps_without_batch: int = 0
    _seconds_without_batch: Decimal = Decimal(0)
    _tflops: Decimal = Decimal(0)
    _flops_steps: int = 0
    _rated_samples: int = 0
    _rated_seconds: float = 0.0
    _slowest: float = inf
    _lost: int = 0

    def start(self, resumed_from: int | None = None) -> None:
        """The program begins, or says after which step it goes on."""
        self._starts = True
        self._resumed_from = resumed_from if resumed_from is not None else self._resumed_from

    def add(self, line: Line) -> None:
        """The next line."""
        before = self.last
        if before is not None and not self._starts and line.step == before.step:
            self.repeated += 1
            return
        goes_on = before is not None and not self._starts and line.step > before.step
        if line.batch is not None and len(self.batches) < 1000:
            self.batches[line.batch] += 1
        self._last_batch = line.batch or self._last_batch
        if goes_on:
            assert before is not None
            self._go_on(before, line)
        elif len(self._stretches) < MOST_KEPT:
            self._stretches.append(_Stretch(line, line, self._resumed_from))
        else:
            self._lost += 1
        self._starts, self._resumed_from = False, None
        self.last = line

    def _go_on(self, before: Line, line: Line) -> None:
        stride = line.step - before.step
        stretch = self._stretches[-1]
        stretch.last, stretch.lines = line, stretch.lines + 1
        if len(self._strides) < 1000:
            self._strides[stride] += 1
        if stride > min(self._strides) and len(self._jumps) < MOST_KEPT:
            self._jumps.append((before.step, line.step))
        if line.samples is not None and before.samples is not None and line.batch is not None:
            other = before.batch or line.batch
            self._drawn += line.samples - before.samples
            self._expected += stride * line.batch
            self._least += stride * min(other, line.batch)
            self._most += stride * max(other, line.batch)
        if line.seconds and line.batch:
            self._timed_steps += stride
            self._seconds += stride * line.seconds
            self._timed_samples += stride * line.batch
        elif line.seconds:
            self._steps_without_batch += stride
            self._seconds_without_batch += stride * line.seconds
        if line.tflops:
            self._flops_steps += stride
            self._tflops += stride * line.tflops
        if line.samples_per_second and line.batch:
            self._rated_samples += stride * line.batch
            self._rated_seconds += stride * line.batch / line.samples_per_second
            self._slowest = min(self._slowest, line.samples_per_second)

    @property
    def stride(self) -> int:
        """Steps between lines, most often."""
        return self._strides.most_common(1)[0][0] if self._strides else 1

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All starts, with the steps each one made."""
        return tuple(
            Segment(Span(self._first(one), one.last.step), self.place(one.first.at)) for one in self._stretches
        )

    def _first(self, stretch: _Stretch) -> int:
        """The first step of a segment: a line tells of the steps since the line before it."""
        if stretch.resumed_from is not None and stretch.resumed_from < stretch.first.step:
            return stretch.resumed_from + 1
        return max(1, stretch.first.step - self.stride + 1) if stretch.first.step else 0

    @property
    def overlaps(self) -> tuple[Span, ...]:
        """Steps that a later segment made again."""
        return made_again(self.segments)

    @property
    def gaps(self) -> tuple[Span, ...]:
        """Steps of which no line tells, though lines before and after them do."""
        usual = self.stride
        inside = [Span(one + 1, two - usual) for one, two in self._jumps if two - one >= 2 * usual]
        between, reached = [], 0
        for segment in self.segments:
            if reached and segment.steps.first > reached + usual:
                between.append(Span(reached + 1, segment.steps.first - 1))
            reached = max(reached, segment.steps.last)
        return tuple(sorted((*inside, *between), key=lambda span: span.first))

    @property
    def is_ragged(self) -> bool:
        """Whether more segments were found than are kept."""
        return self._lost > 0

    def numbers(self, where: str) -> dict[str, Number]:
        """Where the run stands at the end, and the sums."""
        if self.last is None:
            return {}
        found = {"steps": Number.exact(self.last.step, self.place(self.last.at))}
        for name in ("samples", "tokens"):
            if (value := getattr(self.last, name)) is not None:
                found[name] = Number.exact(value, self.place(self.last.at))
        if len(self.batches) > 1:
            found["largest_batch"] = Number.exact(max(self.batches), where)
            found["last_batch"] = Number.exact(self._last_batch, where)
        if len(self.batches) == 1:
            found["global_batch"] = Number.exact(next(iter(self.batches)), self.place(self.last.at))
        if self._expected:
            found["segment_samples"] = Number.exact(max(self._drawn, 0), where)  # a counter may have gone back
            drawn = Interval(Fraction(self._expected), Fraction(self._least), Fraction(self._most))
            found["segment_batches"] = Number(drawn, where, f"{self._expected:,}")
        timed, seconds = self._timed_steps, self._seconds
        if timed:
            found["timed_samples"] = Number.exact(self._timed_samples, where)
        else:  # seconds of steps whose samples are not known tell of no samples a second
            timed, seconds = self._steps_without_batch, self._seconds_without_batch
        if timed:
            found["timed_steps"] = Number.exact(timed, where)
            found["seconds"] = Number.exact(Fraction(seconds), where, f"{float(seconds):.6g}")
        if self._flops_steps:
            mean = Fraction(self._tflops) / self._flops_steps
            found["tflops_per_device"] = Number.exact(mean, where, f"{float(mean):.6g}")
        if self._rated_samples:
            found["samples_per_second"] = self._rate(where)
        return found

    def _rate(self, where: str) -> Number:
        """The logged rates over their time, with the tolerance of the slowest: three decimals are printed."""
        rate = Fraction(self._rated_samples / self._rated_seconds).limit_denominator(10**6)
        return Number.exact(rate, where, f"{float(rate):.6g}").within(rate * HALF / Fraction(self._slowest))
