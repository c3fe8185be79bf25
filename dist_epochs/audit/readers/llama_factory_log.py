"""`trainer_log.jsonl` of LLaMA-Factory (train/callbacks.py): a line for each logged step and evaluation.

`{"current_steps": 10, "total_steps": 6750, "loss": 2.219, "epoch": 0.0044, "elapsed_time": "0:00:32", "total_tokens":
4096, …}`: optimizer steps done and planned, the Trainer's epoch, the time since this start, tokens with padding. A
second start, and sometimes a second process, writes into the same file.

Holds: steps, planned steps, epochs, seconds since the last start, tokens (padding included); no batch, no devices.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dist_epochs.audit.records.lines import lines_of
from dist_epochs.audit.records.log_reading import run_of_track
from dist_epochs.audit.records.passes import logged_epoch, with_passes
from dist_epochs.audit.records.record import FinishedRun, Number, Place, whole
from dist_epochs.audit.records.timeline import Line, Track
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.json_text import load_json

__all__ = ["NAMES_OF_FILES", "has_marks", "read"]

NAMES_OF_FILES = ("trainer_log.jsonl",)
MOST_ROWS = 4_000_000

TWO_WRITERS = (
    "Steps stand in it more than once while its clock goes on: several processes wrote the file. Each step counts once."
)

_TIME = re.compile(r"(?:(\d{1,6}) days?, )?(\d{1,6}):(\d\d):(\d\d)")


def has_marks(path: Path, head: bytes) -> bool:
    """Whether its first line has both counters."""
    line = head.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")[0]
    return line.startswith(b"{") and b'"current_steps"' in line and b'"total_steps"' in line


def read(path: Path) -> FinishedRun:
    """Read a log.

    Raises:
        InputError: If it cannot be read, or no line counts a step.
    """
    name = str(path)
    track = Track(lambda at: Place(name, at))
    rows: list[tuple[int, object]] = []
    numbers: dict[str, Number] = {}
    clock, reached, damaged, again, starts = None, 0, 0, 0, 1
    for at, line in lines_of(path):
        if not line.strip():
            continue
        row = _row(line, name, at)
        step = whole(row.get("current_steps"), "", least=0) if row is not None else None
        if row is None or step is None:
            damaged += 1
            continue
        seconds, made = _seconds(row.get("elapsed_time")), int(step.value)
        if clock is not None and seconds is not None and seconds < clock - 1:
            track.start(made - 1 if made <= reached else None)
            starts += 1
        elif made < reached:
            again += 1
            continue
        clock, reached = seconds if seconds is not None else clock, made
        tokens = whole(row.get("total_tokens"), "")
        if made:
            track.add(Line(step=made, at=at, tokens=int(tokens.value) if tokens is not None else None))
        if (planned := whole(row.get("total_steps"), Place(name, at, "total_steps"))) is not None:
            numbers["planned_steps"] = planned
        if (epoch := logged_epoch(row.get("epoch"), Place(name, at, "epoch"))) is not None:
            numbers["epochs"] = epoch
            if len(rows) < MOST_ROWS:
                rows.append((made, row["epoch"]))
    if track.last is None:
        raise InputError("no line of this LLaMA-Factory log counts a step", origin=Origin(name))
    return _finished(name, track, rows, numbers, clock if starts == 1 else None, again, damaged)


def _finished(
    name: str,
    track: Track,
    rows: list[tuple[int, object]],
    numbers: dict[str, Number],
    seconds: int | None,
    again: int,
    damaged: int,
) -> FinishedRun:
    assert track.last is not None
    place = track.place(track.last.at)
    notes = []
    if seconds:
        numbers["seconds"] = Number.exact(seconds, place)
    if again or track.repeated > 1:
        notes.append(TWO_WRITERS)
    if damaged:
        notes.append(f"Lines that are no rows: {damaged:,}, passed over.")
    planned = numbers.get("planned_steps")
    is_cut = planned is None or track.last.step < planned.value
    run = run_of_track(
        "llamafactory", name, track, numbers, is_over=not is_cut, is_cut=is_cut, notes=notes, counts_passes=True
    )
    return with_passes(run, rows, Place(name))


def _row(line: bytes, name: str, at: int) -> dict[str, Any] | None:
    try:
        row = load_json(line.decode("utf-8-sig", errors="replace"), Origin(name, at))
    except InputError:
        return None
    return row if isinstance(row, dict) else None


def _seconds(text: object) -> int | None:
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
