"""`trainer_log.jsonl` of LLaMA-Factory (train/callbacks.py): a line for each logged step and evaluation.

`{"current_steps": 10, "total_steps": 6750, "loss": 2.219, "epoch": 0.0044, "elapsed_time": "0:00:32", "total_tokens":
4096, …}`: optimizer steps done and planned, the Trainer's epoch, the time since this start, tokens with padding. A
second start, and sometimes a second process, writes into the same file.

Holds: steps, planned steps, epochs, seconds since the last start, tokens (padding included); no batch, no devices.
"""

from __future__ import annotations

import re
from pathlib import Path

from dist_epochs.audit.records.keys import Keys, read_keys
from dist_epochs.audit.records.lines import lines_of
from dist_epochs.audit.records.log_reading import LineReader
from dist_epochs.audit.records.passes import Passes
from dist_epochs.audit.records.record import FinishedRun, Place, whole
from dist_epochs.audit.records.timeline import Line
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.json_text import load_json

__all__ = ["NAMES_OF_FILES", "has_marks", "read"]

NAMES_OF_FILES = ("trainer_log.jsonl",)

KEYS: Keys = {"planned_steps": ("total_steps",), "epochs": ("epoch",)}
TWO_WRITERS = (
    "Steps stand in it more than once while its clock goes on: several processes wrote the file. Each step counts once."
)

_TIME = re.compile(r"(?:(\d{1,6}) days?, )?(\d{1,6}):(\d\d):(\d\d)")


def has_marks(path: Path, head: bytes) -> bool:
    """Whether its first line has both counters."""
    line = head.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")[0]
    return line.startswith(b"{") and b'"current_steps"' in line and b'"total_steps"' in line


class _Log(LineReader):
    """What the lines have said so far."""

    KIND = "llamafactory"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.passes = Passes()
        self.clock: int | None = None
        self.reached = self.damaged = self.again = 0
        self.starts = 1

    def read(self, line: bytes, at: int) -> None:
        """The next line."""
        try:
            row = load_json(line.decode("utf-8-sig", errors="replace"), Origin(self.path, at))
        except InputError:
            row = None
        step = whole(row.get("current_steps"), "", least=0) if isinstance(row, dict) else None
        if step is None:
            self.damaged += bool(line.strip())
            return
        seconds, made = _seconds(row.get("elapsed_time")), int(step.value)
        if self.clock is not None and seconds is not None and seconds < self.clock - 1:
            self.track.start(made - 1 if made <= self.reached else None)
            self.starts += 1
        elif made < self.reached:
            self.again += 1
            return
        self.clock, self.reached = seconds if seconds is not None else self.clock, made
        tokens = whole(row.get("total_tokens"), "")
        if made:
            self.track.add(Line(step=made, at=at, tokens=int(tokens.value) if tokens is not None else None))
        found = read_keys(row, KEYS, self.place(at).at)
        self.numbers |= found
        if "epochs" in found:
            self.passes.add(made, row["epoch"])

    def finished(self) -> FinishedRun | None:
        """What was found; None if no line counts a step."""
        last, planned = self.track.last, self.numbers.get("planned_steps")
        if last is None:
            return None
        if self.clock and self.starts == 1:
            self.tell("seconds", self.clock, last.at)
        is_cut = planned is None or last.step < planned.value
        self.is_over = not is_cut
        notes = [TWO_WRITERS] if self.again or self.track.repeated > 1 else []
        if self.damaged:
            notes.append(f"Lines that are no rows: {self.damaged:,}, passed over.")
        return self.passes.told_of(self.run(notes, is_cut=is_cut, counts_passes=True), Place(self.path))


def read(path: Path) -> FinishedRun:
    """Read a log.

    Raises:
        InputError: If it cannot be read, or no line counts a step.
    """
    log = _Log(str(path))
    for at, line in lines_of(path):
        log.read(line, at)
    if (run := log.finished()) is None:
        raise InputError("no line of this LLaMA-Factory log counts a step", origin=Origin(str(path)))
    return run


def _seconds(text: object) -> int | None:
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
