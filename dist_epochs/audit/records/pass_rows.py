"""Rows with a step and the index of a pass, both from 0, as Lightning logs them whatever the logger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from dist_epochs.audit.records.log_reading import LineReader
from dist_epochs.audit.records.record import FinishedRun, Number
from dist_epochs.audit.records.timeline import Line
from dist_epochs.errors import InputError, Origin

__all__ = ["PassRows"]


class PassRows(LineReader):
    """What rows have said so far, by the trainer that wrote them."""

    def __init__(self, path: str, kind: str) -> None:
        super().__init__(path)
        self.KIND = kind
        self._ends: dict[int, tuple[int, int]] = {}
        self._strides: Counter[int] = Counter()
        self._first: frozenset[object] | None = None
        self._of_training: int | None = None

    def add(self, step: int, epoch: int, filled: frozenset[object], at: int) -> None:
        """A row: `filled` tells its kind, by which columns it has."""
        if self._first is None:
            self._first = filled
        if self.track.last is None or self.track.last.step != step + 1:
            self.track.add(Line(step=step + 1, at=at))
        if filled != self._first:
            self._ends[epoch] = step + 1, at
            return
        if self._of_training is not None and step > self._of_training and len(self._strides) < 1000:
            self._strides[step - self._of_training] += 1
        self._of_training = step

    def whole_run(self, notes: Sequence[str] = (), **more: Any) -> FinishedRun:
        """The run, with notes and fields that only this kind of file has.

        Raises:
            InputError: If no row has a step.
        """
        if self.track.last is None:
            raise InputError("no row of it counts a step", origin=Origin(self.path))
        if self._strides:
            self.further["logged_every"] = Number.exact(self._strides.most_common(1)[0][0], self.place(None, "rows"))
        notes = [*notes, "Steps and passes count from 0 in it: after N + 1 steps it says N."]
        paces = {Fraction(steps, epoch + 1) for epoch, (steps, _) in self._ends.items()}
        if len(paces) > 1:
            notes.append("Its passes have other numbers of steps, or were evaluated inside: no pace of passes follows.")
        elif paces and (pace := paces.pop()).denominator == 1:
            epoch, (steps, at) = max(self._ends.items())
            text = f"{steps} ÷ {epoch + 1}"
            self.numbers["whole_steps_per_epoch"] = Number.exact(pace, self.place(at), text)
            self.is_over = steps == self.track.last.step
            if self.is_over:
                self.tell("epochs", epoch + 1, at)
        return self.run(notes, counts_passes=True, **more)
