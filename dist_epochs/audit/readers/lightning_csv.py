"""`metrics.csv` of Lightning's CSVLogger, with `hparams.yaml` beside it.

Columns epoch and step, both from 0: a row is logged before the count of its step goes up, so a run has made one step
more than its last row says. Rows of training, of validation and of the end of a pass are apart; those of the end have
the last step of their pass. hparams.yaml is what the user saved; it may hold tags that run code, so only plain `key:
number` lines of it are read.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from dist_epochs.audit.readers.lines import lines_of
from dist_epochs.audit.readers.log_reading import run_of_track
from dist_epochs.audit.readers.packed import read_whole
from dist_epochs.audit.readers.record import FinishedRun, Number, Place
from dist_epochs.audit.readers.timeline import Line, Track
from dist_epochs.errors import InputError, Origin

__all__ = ["HOLDS", "NAMES_OF_FILES", "PassRows", "has_marks", "read"]

HOLDS = "steps, passes, steps of a pass; of hparams.yaml, batch_size. Accumulation and devices must be given"
NAMES_OF_FILES = ("metrics.csv",)
HPARAMS, LARGEST_HPARAMS = "hparams.yaml", 1 << 20

_NUMBER_LINE = re.compile(r"^batch_size:\s*(\d{1,12})\s*$", re.MULTILINE)


def has_marks(path: Path, head: bytes) -> bool:
    """Whether its first line names the columns epoch and step, and none of a CSV of litgpt or Keras."""
    columns = head.partition(b"\n")[0].strip().split(b",")
    return b"epoch" in columns and b"step" in columns and b"iter" not in columns


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
        run = run_of_track(kind, self.path, self.track, numbers, further=further, is_over=is_over, notes=notes)
        return run.counting_passes()


def read(path: Path) -> FinishedRun:
    """Read the rows, and the batch size that was saved beside them.

    Raises:
        InputError: If it cannot be read, or no row has a step.
    """
    rows = PassRows(str(path))
    header: list[str] | None = None
    for at, cells in _cells(path):
        if header is None:
            header = [cell.strip() for cell in cells]
            continue
        if len(cells) != len(header):
            continue
        step, epoch = cells[header.index("step")].strip(), cells[header.index("epoch")].strip()
        if step.isdecimal() and epoch.isdecimal() and len(step) < 16 and len(epoch) < 16:
            filled = frozenset(place for place, cell in enumerate(cells) if cell.strip())
            rows.add(int(step), int(epoch), filled, at)
    return rows.finished("lightning", _batch_size(path.parent / HPARAMS))


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    for at, line in lines_of(path):
        try:
            yield at, next(csv.reader([line.decode("utf-8-sig", errors="replace").rstrip("\r\n")]), [])
        except csv.Error:
            continue


def _batch_size(path: Path) -> Number | None:
    if not path.is_file():
        return None
    text = read_whole(path, LARGEST_HPARAMS, "saved hyperparameters").decode("utf-8", errors="replace")
    match = _NUMBER_LINE.search(text)
    if match is None:
        return None
    return Number.exact(int(match[1]), Place(str(path), text.count("\n", 0, match.start()) + 1, "batch_size"))
