"""Rows with a step and the index of a pass, both from 0, as Lightning logs them whatever the logger."""

from __future__ import annotations

from collections import Counter

from dist_epochs.audit.records.log_reading import run_of_track
from dist_epochs.audit.records.record import FinishedRun, Number, Place
from dist_epochs.audit.records.timeline import Line, Track
from dist_epochs.errors import InputError, Origin

__all__ = ["PassRows"]


class PassRows:
    """Rows with a step and the index of a pass, both from 0."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.track = Track(lambda at: Place(path, at))
        self.ends: dict[int, tuple[int, int]] = {}
        self.strides: Counter[int] = Counter()
        self._first: frozenset[object] | None = None
        self._of_training: int | None = None

    def add(self, step: int, epoch: int, filled: frozenset[object], at: int) -> None:
        """A row: `filled` tells its kind, by which columns it has."""
        if self._first is None:
            self._first = filled
        if self.track.last is None or self.track.last.step != step + 1:
            self.track.add(Line(step=step + 1, at=at))
        if filled != self._first:
            self.ends[epoch] = step + 1, at
            return
        if self._of_training is not None and step > self._of_training and len(self.strides) < 1000:
            self.strides[step - self._of_training] += 1
        self._of_training = step

    def finished(self, kind: str, hparams: Number | None) -> FinishedRun:
        """The run.

        Raises:
            InputError: If no row has a step.
        """
        if self.track.last is None:
            raise InputError("no row of it counts a step", origin=Origin(self.path))
        further: dict[str, Number | bool] = {}
        if hparams is not None:
            further["hparams_batch_size"] = hparams
        if self.strides:
            further["logged_every"] = Number.exact(self.strides.most_common(1)[0][0], Place(self.path, None, "rows"))
        numbers, is_over = {}, False
        paces = {Number.exact(1, "").value * steps / (epoch + 1) for epoch, (steps, _) in self.ends.items()}
        pace = next(iter(paces)) if len(paces) == 1 else None
        if pace is not None and pace.denominator == 1:
            epoch, (steps, at) = max(self.ends.items())
            place = Place(self.path, at)
            numbers["whole_steps_per_epoch"] = Number.exact(int(pace), place, f"{steps} ÷ {epoch + 1}")
            is_over = steps == self.track.last.step
            if is_over:
                numbers["epochs"] = Number.exact(epoch + 1, place)
        notes = ["Steps and passes count from 0 in it: after N + 1 steps it says N."]
        if len(paces) > 1:
            notes.append("Its passes have other numbers of steps, or were evaluated inside: no pace of passes follows.")
        return run_of_track(
            kind, self.path, self.track, numbers, further=further, is_over=is_over, notes=notes, counts_passes=True
        )
