"""The console of the Hugging Face Trainer: the head of each training, its rows, its bar and the summary at its end.

As Transformers 4.30 to 5.24 write it (`trainer.py`, `trainer_callback.py`): a line that ends in `***** Running training
*****`, `  Num examples = 37` and its like, a bar of optimizer steps (` 33%|███▎      | 2/6 [00:00<00:00, 84.50it/s]`),
rows without their step (`{'loss': 4.1769, …, 'epoch': 0.6}`), and one with `train_runtime` at the end. Version 5 writes
the numbers of rows in quotes, with four significant digits.

The head is of the level INFO, and most scripts log from WARNING on. Without it a training begins with its first row
that has a loss, a learning rate and an epoch; its planned steps are those of the bar that stands before and after such
a row, or follow from the summary.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from math import ceil, floor

from dist_epochs.audit.records.log_reading import LineReader, whole_of
from dist_epochs.audit.records.passes import FirstPass, is_unsized, logged_epoch
from dist_epochs.audit.records.record import FinishedRun, Number, Place, Segment, Span, as_stream, made_again
from dist_epochs.audit.records.trainer_clock import four_digits, last_call, number_of, other_steps

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

_TRAINING, _OTHER_LOOP = b"***** Running training *****", re.compile(rb"\*\*\*\*\* Running (?:Evaluation|Prediction)")
_HEAD = re.compile(rb"(" + b"|".join(re.escape(key) for key in HEAD) + rb")(?: =|:) ([\d,]{1,40})\s*$")
_RESUMED = re.compile(rb"(?:Continuing|Resuming) training from\b.{0,4000}?\bglobal step ([\d,]{1,20})")
_BAR, _DONE = re.compile(rb"/\d{1,12} \[\d"), re.compile(rb"(?:^|[|\s])(\d{1,12})$")
_ANY_BAR = re.compile(rb"(?:^|[|\s])(\d{1,12})/(\d{1,12}) \[\d")
_ROW_OF_TRAINING = (b"loss", b"learning_rate", b"epoch")
_ROW = re.compile(rb"\{('[^{}]{1,4000})\}")
_VALUE = re.compile(rb"'(\w{1,60})': ('?)(\d[\d.eE+-]{0,40})\2(?=[,\s]|$)")


NO_HEAD = (
    "The lines under `***** Running training *****` are not in it (scripts show them from the log level INFO on): "
    "corpus, batch and devices are known as far as its rates tell, or from flags."
)


class Console(LineReader):
    """What the lines have said of the last training that began at step 0.

    Attributes:
        calls: Of each call, the step it goes on from, the last one of its bar, and where it begins.
        first_pass: What rows with the same bar before and after them say of it.
        last_row: Step and epoch of the last of these rows.
        summary: The row at the end, and where.
        has_head: Whether a training began with its head, and not with a row.
    """

    KIND, MARKS = "hf-console", ()

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.calls: list[tuple[int, int, str]] = []
        self.first_pass = FirstPass()
        self.last_row: tuple[int, object] | None = None
        self.summary: tuple[dict[str, object], str] | None = None
        self._total = 0
        self._end_of_bar = b""  # behind the steps that are done
        self._is_in_other_loop = self._has_moved = False
        self._epoch: object = None
        self.has_head = False
        self._bar_before: tuple[int, int] | None = None  # steps done, and of how many
        self._is_behind_row = False

    def read(self, line: bytes, at: int) -> None:
        """The next line."""
        if _TRAINING in line:
            if self.calls and not self._has_moved:
                self.calls.pop()  # several ranks print the same head, or nothing came of it
            self._begin(at)
            self.has_head = True
        elif (not self.has_head and self._without_head(line, at)) or not self.calls:
            return
        elif b"'" in line and (match := _ROW.search(line)):
            self._bars(line[: match.start()])
            self._row(match[1], at)
        elif self._bars(line) or _BAR.search(line):
            return
        elif _OTHER_LOOP.search(line):
            self._is_in_other_loop = True
        elif not self._is_in_other_loop and (match := _HEAD.search(line)):
            self.tell(HEAD[match[1]], match[2], at, match[1].decode())
            if HEAD[match[1]] == "planned_steps":
                self._total = whole_of(match[2])
                self._end_of_bar = b"/%d [" % self._total
        elif match := _RESUMED.search(line):
            step = whole_of(match[1])
            self.calls[-1] = (step, step, self.calls[-1][2])

    def _begin(self, at: int) -> None:
        self.calls.append((0, 0, self.place(at)))
        self._is_in_other_loop, self._has_moved, self._epoch, self.summary = False, False, None, None

    def _without_head(self, line: bytes, at: int) -> bool:
        """Find a training by its rows, and its bar by a row in between; whether nothing else is to be read here."""
        if self._total and self.summary is None:  # it is found, and not over
            return False
        bars = list(_ANY_BAR.finditer(line)) if not self._total and b" [" in line else []
        if bars:
            first, last = ((int(match[1]), int(match[2])) for match in (bars[0], bars[-1]))
            if self._is_behind_row and first == self._bar_before and 0 < first[0] <= first[1]:
                self.tell("planned_steps", first[1], at, "its bar")
                self._total, self._end_of_bar = first[1], b"/%d [" % first[1]
            self._bar_before, self._is_behind_row = last, False
        if b"'" not in line or (match := _ROW.search(line)) is None:
            return not self.calls
        found = {key for key, _, _ in _VALUE.findall(match[1])}
        if not found.issuperset(_ROW_OF_TRAINING):
            return not self.calls
        self._is_behind_row = not self._total
        if not self.calls or self.summary is not None:  # the first row, or one of the next training
            self.numbers.clear()
            self._total, self._end_of_bar = 0, b""
            self._begin(at)
        return False

    def _bars(self, line: bytes) -> bool:
        """Bars of steps; those of evaluations have other totals, or come behind their own first line."""
        at = line.find(self._end_of_bar) if self._total else -1
        if at < 0:
            return False
        while at >= 0 and not self._is_in_other_loop:
            match = _DONE.search(line, max(at - 13, 0), at)
            if match is not None and (done := int(match[1])) <= self._total:
                begun, before, where = self.calls[-1]
                if self._epoch is not None and done == before:  # the same bar before and after a row: of that step
                    self.last_row = done, self._epoch
                    self.first_pass.add(*self.last_row)
                self._epoch = None
                self.calls[-1] = (begun, max(before, done), where)
                self._has_moved |= done > begun
            at = line.find(self._end_of_bar, at + 1)
        return True

    def _row(self, text: bytes, at: int) -> None:
        found = {key: (digits, quote) for key, quote, digits in _VALUE.findall(text)}
        where = self.place(at) if b"train_runtime" in text else ""  # there may be millions of rows
        if b"eval_" in text and any(key.startswith(b"eval_") for key in found):
            self._is_in_other_loop = False
        elif b"train_runtime" in found and b"loss" not in found:
            self.summary = {key.decode(): _value(*told, where) for key, told in found.items()}, where
            self._has_moved = True
        elif b"loss" in found:
            self._is_in_other_loop, self._has_moved = False, True
            self._epoch = _value(*found[b"epoch"], where) if b"epoch" in found else None

    def finished(self) -> FinishedRun | None:
        """What was found; None if no training began."""
        if not self.calls or (self.has_head and "planned_steps" not in self.numbers):
            return None
        notes: list[str] = [] if self.has_head else [NO_HEAD]
        if not self._total and self.summary is not None:
            self._plan_by_summary(*self.summary)
        self._forget_earlier_trainings(notes)
        numbers, summary = dict(self.numbers), self._own_summary(notes)
        begun, done, began_at = self.calls[-1]
        where = self.place(None, "its bar")
        if summary is not None and not done:  # without a bar: a call that ends has made its steps
            done, where = self._total, self.place(None, "planned, and ended by its summary")
        last_row = self.place(None, "its last row")
        if not self._total and self._epoch is not None and (epoch := logged_epoch(self._epoch, last_row)) is not None:
            numbers["epochs"] = replace(epoch, where=last_row)
        if done:
            numbers["steps"] = Number.exact(done, where)
            numbers |= self._epochs(summary, done)
            if summary is not None and len(self.calls) == 1 and not begun:
                numbers |= dict(last_call(summary, numbers, Place(self.path)))
            if "whole_steps_per_epoch" not in numbers:
                numbers |= self.first_pass.steps_per_epoch(numbers["steps"], numbers.get("epochs"), Place(self.path))
            self.further["begun_at_step"] = Number.exact(begun, began_at)
            self.further["steps_made_here"] = Number.exact(max(done - begun, 0), where)
        if summary is not None:
            loss = number_of(summary, "train_loss")
            self.further["rate_usable"] = done > begun and (loss is None or bool(loss.value))
        if is_stream := is_unsized(numbers):
            numbers.pop("corpus", None)
        segments = [Segment(Span(one + 1, last or done), where) for one, last, where in self.calls]
        run = FinishedRun(
            kind=self.KIND,
            path=self.path,
            numbers=numbers,
            counts_passes=True,
            is_cut=summary is None and (done < self._total or not self._total),
            segments=tuple(one for one in segments if one.steps.length > 0),
            overlaps=made_again(segments),
            further=self.further,
            notes=tuple(notes),
        )
        return as_stream(run) if is_stream else run

    def _plan_by_summary(self, values: Mapping[str, object], where: str) -> None:
        """Steps a second × seconds, where one whole number fits: those of the plan until 5.18, then of the call."""
        seconds, pace = (number_of(values, key, where) for key in ("train_runtime", "train_steps_per_second"))
        if seconds is None or pace is None:
            return
        steps = seconds.interval * pace.interval
        if ceil(steps.low) == floor(steps.high) and (whole := floor(steps.high)):
            place = self.place(None, "train_runtime × train_steps_per_second")
            self.numbers["planned_steps"] = Number.exact(whole, place)
            self._total = whole

    def _forget_earlier_trainings(self, notes: list[str]) -> None:
        """Calls before the last one that begins at step 0 are of other trainings."""
        fresh = [at for at, call in enumerate(self.calls) if not call[0]]
        if len(fresh) > 1:
            where = self.calls[fresh[-1]][2]
            notes.append(f"{len(fresh)} trainings begin at step 0: the last one is read, from {where}.")
            self.calls, self.first_pass, self.last_row = self.calls[fresh[-1] :], FirstPass(), None

    def _own_summary(self, notes: list[str]) -> Mapping[str, object] | None:
        """The row at the end, if it can be that of this plan."""
        if self.summary is None:
            return None
        values, where = self.summary
        if (told := other_steps(values, self._total, self.calls[-1][0])) is None:
            return values
        of_plan = f"{self._total:,} are planned: it is that of another call, and not used."
        notes.append(f"The summary at {where} is of {told}, and {of_plan}")
        return None

    def _epochs(self, summary: Mapping[str, object] | None, done: int) -> dict[str, Number]:
        """The epoch at the end, of the summary or of a row at the last step."""
        value, place = summary.get("epoch") if summary is not None else None, self.place(None, "epoch")
        if value is None and self.last_row is not None and self.last_row[0] == done:
            value = self.last_row[1]
        epoch = logged_epoch(value, place)
        return {} if epoch is None else {"epochs": epoch if epoch.where else replace(epoch, where=place)}


def _value(digits: bytes, quote: bytes, where: str) -> Number | str:
    """A number of a row; version 5 has it in quotes."""
    return four_digits(digits.decode(), where) if quote else digits.decode()
