"""Lines of DeepSpeed's engine, as DeepSpeed-Chat logs them (runtime/engine.py, utils/timer.py).

`[…] [INFO] [logging.py:96:log_dist] [Rank 0] step=10, skipped=6, lr=[…], mom=[…]`: steps drawn, those that overflowed
included. `[2023-04-18 01:46:59,171] [INFO] [timer.py:199:stop] epoch=0/micro_step=10/global_step=10,
RunningAvgSamplesPerSec=…, CurrSamplesPerSec=171.97, …`: micro-steps since the epoch began; samples a second over all
devices. The batch stands nowhere: it is rate × seconds between the lines. `Beginning of Epoch 1/16, Total Micro
Batches 460` is of DeepSpeed-Chat.
"""

from __future__ import annotations

import re
from datetime import datetime
from fractions import Fraction
from math import ceil, floor
from statistics import median

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.audit.records.log_reading import LineReader
from dist_epochs.audit.records.record import FinishedRun, Number, Place
from dist_epochs.audit.records.timeline import Line

__all__ = ["DeepspeedLog"]

TOLERANCE = Fraction(1, 50)
"""Of a batch by rate and time: what a step takes beside its own clock (data, printing)."""

MOST_ESTIMATES = 10_000
FLAGS = {b"per_device_train_batch_size": "per_device", b"gradient_accumulation_steps": "gradient_accumulation"}

_STEP = re.compile(rb"\bstep=(\d{1,15}), skipped=(\d{1,15}), lr=\[")
_TIMER = re.compile(
    rb"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3})\].{0,200}?\bepoch=(\d{1,9})/micro_step=(\d{1,15})/"
    rb"global_step=(\d{1,15}), "
    rb"RunningAvgSamplesPerSec=[\d.]{1,30}, CurrSamplesPerSec=(\d{1,12}\.\d{1,20})"
)
_PASS = re.compile(rb"Beginning of Epoch (\d{1,9})/(\d{1,9}), Total Micro Batches (\d{1,12})")
_COMMAND = re.compile(rb"\bdeepspeed\b.{0,3000}")
_FLAG = re.compile(rb"--(" + b"|".join(FLAGS) + rb")[= ](\d{1,9})\b")


class DeepspeedLog(LineReader):
    """What the lines have said so far."""

    KIND = "deepspeed"
    MARKS = (b", skipped=", b"/global_step=", b"Total Micro Batches", b"--per_device_train_batch_size")

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._timer: tuple[datetime, int, int, int] | None = None
        self._batches: list[float] = []
        self._windows: set[Fraction] = set()

    def read(self, line: bytes, at: int) -> None:
        """The next line with one of the marks."""
        if match := _STEP.search(line):
            step, skipped = int(match[1]), int(match[2])
            if step:  # at its start it prints step 0
                self.track.add(Line(step=step, at=at))
                self.further["skipped"] = Number.exact(skipped, self.place(at, "skipped"))
                self.further["applied"] = Number.exact(max(step - skipped, 0), self.place(at, "step − skipped"))
        elif match := _TIMER.search(line):
            self._time(match, at)
        elif match := _PASS.search(line):
            self.numbers["planned_epochs"] = Number.exact(int(match[2]), self.place(at))
            self.further["micro_steps_per_pass"] = Number.exact(int(match[3]), self.place(at, "Total Micro Batches"))
        elif match := _COMMAND.search(line):
            for key, text in _FLAG.findall(match[0]):
                self.tell(FLAGS[key], text, at, f"--{key.decode()}")

    def _time(self, match: re.Match[bytes], at: int) -> None:
        try:
            when = datetime.strptime(match[1].decode(), "%Y-%m-%d %H:%M:%S,%f")
        except ValueError:
            return
        epoch, micro, step, rate = int(match[2]), int(match[3]), int(match[4]), float(match[5])
        if self._timer is not None and epoch == self._timer[1] and step > self._timer[3] and micro > self._timer[2]:
            steps = step - self._timer[3]
            self._windows.add(Fraction(micro - self._timer[2], steps))
            seconds = (when - self._timer[0]).total_seconds()
            if seconds > 0 and len(self._batches) < MOST_ESTIMATES:
                self._batches.append(rate * seconds / steps)
        self._timer = when, epoch, micro, step
        if self.track.last is None or self.track.last.step != step:
            self.track.add(Line(step=step, at=at))

    def finished(self) -> FinishedRun | None:
        """What was found; None if no step was logged."""
        if self.track.last is None:
            return None
        if "gradient_accumulation" not in self.numbers and len(self._windows) == 1:
            (window,) = self._windows
            if window >= 1:
                self.tell("gradient_accumulation", window, None, "micro_step ÷ global_step")
        if self._batches:
            self.numbers["global_batch"] = self.further["batch"] = self._batch
        return self.run()

    @property
    def _batch(self) -> Number:
        """A multiple of what a device takes in a step, where that is known and only one fits."""
        near = Fraction(median(self._batches)).limit_denominator(1000)
        where, text = Place(self.path, None, "samples/s × seconds of a step"), f"{float(near):.4g}"
        low, high = near * (1 - TOLERANCE), near * (1 + TOLERANCE)
        known = [self.numbers[name].value for name in FLAGS.values() if name in self.numbers]
        unit = known[0] * known[1] if len(known) == 2 else Fraction(1)
        least, most = ceil(low / unit), floor(high / unit)
        if least == most > 0:
            return Number.exact(least * unit, where, text)
        return Number(Interval(near, low, high), where, text)
