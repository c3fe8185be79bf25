"""The console of the Hugging Face Trainer: the head of each training, its rows, its bar and the summary at its end.

As Transformers 4.30 to 5.24 write it (`trainer.py`, `trainer_callback.py`): a line that ends in `***** Running training
*****`, `  Num examples = 37` and its like, a bar of optimizer steps (` 33%|███▎      | 2/6 [00:00<00:00, 84.50it/s]`),
rows without their step (`{'loss': 4.1769, …, 'epoch': 0.6}`), and one with `train_runtime` at the end. Version 5 writes
the numbers of rows in quotes, with four significant digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.audit.records.passes import UNSIZED, last_call, logged_epoch, steps_per_epoch
from dist_epochs.audit.records.record import FinishedRun, Number, Place, Segment, Span, as_stream

__all__ = ["Console"]

HEAD = {
    b"Num examples": "corpus",
    b"Num Epochs": "planned_epochs",
    b"Num update steps per epoch": "whole_steps_per_epoch",
    b"Instantaneous batch size per device": "per_device",
    b"Training with DataParallel so batch size has been adjusted to": "per_device",
    b"Total train batch size (w. parallel, distributed & accumulation)": "global_batch",
    b"Gradient Accumulation steps": "gradient_accumulation",
    b"Total optimization steps": "planned_steps",
}
"""What stands under the first line. The examples of a stream are its planned steps × batch, and no corpus."""

DIGITS = 4
"""Significant digits of version 5."""

_TRAINING, _OTHER_LOOP = b"***** Running training *****", re.compile(rb"\*\*\*\*\* Running (?:Evaluation|Prediction)")
_HEAD = re.compile(rb"(" + b"|".join(re.escape(key) for key in HEAD) + rb")(?: =|:) ([\d,]{1,40})\s*$")
_RESUMED = re.compile(rb"(?:Continuing|Resuming) training from\b.{0,4000}?\bglobal step ([\d,]{1,20})")
_BAR = re.compile(rb"(?:^|[|\s])(\d{1,12})/(\d{1,12}) \[\d")
_ROW = re.compile(rb"\{('[^{}]{1,4000})\}")
_VALUE = re.compile(rb"'(\w{1,60})': ('?)(\d[\d.eE+-]{0,40})\2(?=[,\s]|$)")


@dataclass(slots=True)
class Console:
    """What the lines have said of the last training that began at step 0.

    Attributes:
        path: The file, for places.
        numbers: What its head says.
        trainings: Trainings that began at step 0.
        rows: Step and epoch of each row with the same bar before and after it.
        summary: The row at the end, and where.
        calls: Of each call, the step it goes on from, the last one of its bar, and where it begins.
    """

    path: str
    numbers: dict[str, Number] = field(default_factory=dict)
    trainings: int = 0
    rows: list[tuple[int, object]] = field(default_factory=list)
    summary: tuple[dict[str, object], str] | None = None
    calls: list[tuple[int, int, str]] = field(default_factory=list)
    _is_in_other_loop: bool = False
    _has_moved: bool = False
    _epoch: object = None

    def read(self, line: bytes, at: int) -> None:
        """The next line."""
        if _TRAINING in line:
            if self.calls and not self._has_moved:
                self.calls.pop()  # several ranks print the same head, or nothing came of it
            self.calls.append((0, 0, Place(self.path, at)))
            self._is_in_other_loop, self._has_moved, self._epoch, self.summary = False, False, None, None
        elif not self.calls:
            return
        elif b"'" in line and (match := _ROW.search(line)):
            self._bars(line[: match.start()])
            self._row(match[1], at)
        elif self._bars(line):
            return
        elif _OTHER_LOOP.search(line):
            self._is_in_other_loop = True
        elif not self._is_in_other_loop and (match := _HEAD.search(line)):
            self._head(match[1], int(match[2].replace(b",", b"") or b"0"), at)
        elif match := _RESUMED.search(line):
            step = int(match[1].replace(b",", b"") or b"0")
            self.calls[-1] = (step, step, self.calls[-1][2])

    def _head(self, key: bytes, value: int, at: int) -> None:
        if value:
            self.numbers[HEAD[key]] = Number.exact(value, Place(self.path, at, key.decode()))

    def _bars(self, line: bytes) -> bool:
        """Bars of steps; those of evaluations have other totals, or come behind their own first line."""
        found = [(int(done), int(total)) for done, total in _BAR.findall(line)] if b"/" in line else []
        planned = self.numbers.get("planned_steps")
        if self._is_in_other_loop or planned is None:
            return bool(found)
        for done, total in found:
            if total != planned.value or done > total:
                continue
            begun, before, where = self.calls[-1]
            if self._epoch is not None and done == before:  # the same bar before and after a row: it is of that step
                self.rows.append((done, self._epoch))
            self._epoch = None
            self.calls[-1] = (begun, max(before, done), where)
            self._has_moved |= done > begun
        return bool(found)

    def _row(self, text: bytes, at: int) -> None:
        where = Place(self.path, at) if b"train_runtime" in text else ""  # there may be millions of rows
        values = {
            key.decode(): _four_digits(value.decode(), where) if quote else value.decode()
            for key, quote, value in _VALUE.findall(text)
        }
        if any(key.startswith("eval_") for key in values):
            self._is_in_other_loop = False
        elif "train_runtime" in values and "loss" not in values:
            self.summary, self._has_moved = (values, where), True
        elif "loss" in values:
            self._is_in_other_loop, self._has_moved, self._epoch = False, True, values.get("epoch")

    def finished(self) -> FinishedRun | None:
        """What was found; None if no training began."""
        if not self.calls or "planned_steps" not in self.numbers:
            return None
        notes: list[str] = []
        self._forget_earlier_trainings(notes)
        numbers = dict(self.numbers)
        summary = self._own_summary(notes)
        begun, done, _ = self.calls[-1]
        planned = numbers["planned_steps"].value
        where = Place(self.path, None, "its bar")
        if summary is not None and not done:  # without a bar: a call that ends has made its steps
            done, where = int(planned), Place(self.path, None, "planned, and ended by its summary")
        if done:
            numbers["steps"] = Number.exact(done, where)
            numbers |= self._epochs(summary, done)
            if summary is not None and len(self.calls) == 1 and not begun:
                numbers |= dict(last_call(summary, numbers, Place(self.path)))
            if "whole_steps_per_epoch" not in numbers:
                numbers |= steps_per_epoch(self.rows, numbers["steps"], numbers.get("epochs"), Place(self.path))
        is_stream = numbers["planned_epochs"].value >= UNSIZED if "planned_epochs" in numbers else False
        if is_stream:
            numbers.pop("corpus", None)
        run = FinishedRun(
            kind="hf-console",
            path=self.path,
            numbers=numbers,
            counts_passes=True,
            is_cut=summary is None and done < planned,
            segments=tuple(self._segments(done)),
            overlaps=tuple(self._overlaps()),
            further=self._last_call(summary, done, where),
            notes=tuple(notes),
        )
        return as_stream(run) if is_stream else run

    def _forget_earlier_trainings(self, notes: list[str]) -> None:
        """Calls before the last one that begins at step 0 are of other trainings."""
        first = max((at for at, call in enumerate(self.calls) if not call[0]), default=0)
        fresh = sum(not begun for begun, _, _ in self.calls)
        if fresh > 1:
            notes.append(f"{fresh} trainings begin at step 0: the last one is read, from {self.calls[first][2]}.")
            self.calls, self.rows = self.calls[first:], []

    def _own_summary(self, notes: list[str]) -> Mapping[str, object] | None:
        """The row at the end, if it can be that of this plan.

        Its steps a second are of all planned steps, and since 5.19 of those of its call.
        """
        if self.summary is None:
            return None
        values, where = self.summary
        seconds, pace = (_number(values.get(key)) for key in ("train_runtime", "train_steps_per_second"))
        planned, begun = self.numbers["planned_steps"].value, self.calls[-1][0]
        loss = _number(values.get("train_loss"))
        if seconds is None or pace is None or (loss is not None and not loss.value):
            return values
        steps = pace.interval * seconds.interval
        if steps.holds(planned) or steps.holds(planned - begun) or steps.low < planned:
            return values
        notes.append(
            f"The summary at {where} is of {int(steps.point):,} steps ({pace.text} a second × {seconds.text} s), and "
            f"{int(planned):,} are planned: it is that of another call, and not used."
        )
        return None

    def _epochs(self, summary: Mapping[str, object] | None, done: int) -> dict[str, Number]:
        """The epoch at the end, of the summary or of a row at the last step."""
        value = summary.get("epoch") if summary is not None else None
        if value is None and self.rows and self.rows[-1][0] == done:
            value = self.rows[-1][1]
        epoch = logged_epoch(value, Place(self.path, None, "epoch"))
        if epoch is None:
            return {}
        return {"epochs": epoch if epoch.where else replace(epoch, where=Place(self.path, None, "epoch"))}

    def _last_call(self, summary: Mapping[str, object] | None, done: int, where: str) -> dict[str, Number | bool]:
        """What the last start made, and whether its rates are those of steps."""
        begun = self.calls[-1][0]
        found: dict[str, Number | bool] = {}
        if done:
            found["begun_at_step"] = Number.exact(begun, self.calls[-1][2])
            found["steps_made_here"] = Number.exact(max(done - begun, 0), where)
        if summary is not None:
            loss = _number(summary.get("train_loss"))
            found["rate_usable"] = done > begun and (loss is None or bool(loss.value))
        return found

    def _segments(self, done: int) -> Iterator[Segment]:
        for begun, last, where in self.calls:
            end = last or done
            if end > begun:
                yield Segment(Span(begun + 1, end), where)

    def _overlaps(self) -> Iterator[Span]:
        reached = 0
        for begun, last, _ in self.calls:
            if min(reached, last) > begun:
                yield Span(begun + 1, min(reached, last))
            reached = max(reached, last)


def _number(value: object) -> Number | None:
    return value if isinstance(value, Number) else Number.read(value, "")


def _four_digits(text: str, where: str) -> Number | str:
    """A number of four significant digits, whose last zeros are not written: `0.6` is 0.6000."""
    read = Number.read(text, where)
    if read is None or not read.value:
        return text
    half = Fraction(Decimal(1).scaleb(Decimal(text).adjusted() - DIGITS + 1)) / 2
    return Number(Interval(read.value, read.value - half, read.value + half), where, text)
