"""When the segments of a run began and ended, and which part of each was drawn again later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dist_epochs.ledger.index import STEPS, LedgerLines

__all__ = ["SegmentTime", "segment_times"]

TIMED = b'"time":'


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentTime:
    """A start of the program on the clock of rank 0, in seconds since 1970.

    Attributes:
        number: The segment, from 0.
        begin: When the program started, or wrote its first line.
        lost_from: When it had taken the last step that counts, if later ones were drawn again; else None.
        end: Its last line that has a time.
        saves: When it had saved each checkpoint.
    """

    number: int
    begin: float
    lost_from: float | None
    end: float
    saves: tuple[float, ...]


def segment_times(path: Path) -> tuple[SegmentTime, ...]:
    """The segments that have times, in order.

    Args:
        path: The ledger file.

    Raises:
        InputError: If it cannot be read.
    """
    lines = LedgerLines(path)
    found = []
    for number, (start, stop, entry, kept) in enumerate(lines.segments()):
        begin = entry.get("started", entry.get("time"))
        if begin is None:
            continue
        end = max(begin, _last_time(lines, start, stop))
        lost = None if kept is None else _time_after(lines, start, stop, kept)
        saves = (lines.entry(at).get("time") for at, _ in lines.of("checkpoint", start=start, stop=stop))
        found.append(
            SegmentTime(
                number=number,
                begin=begin,
                lost_from=None if lost is None else min(max(begin, lost), end),
                end=end,
                saves=tuple(time for time in saves if time is not None),
            )
        )
    return tuple(found)


def _last_time(lines: LedgerLines, start: int, stop: int) -> float:
    """The time of the last line of a segment that has one."""
    timed = (lines.entry(at, line) for at, line in lines.backwards(start, stop) if TIMED in line)
    return next((float(entry["time"]) for entry in timed if "time" in entry), 0.0)


def _time_after(lines: LedgerLines, start: int, stop: int, step: int) -> float | None:
    """When a segment had taken a step after which it took others; None if it took none."""
    later: dict[str, Any] | None = None
    for entry in _taken_backwards(lines, start, stop):
        if entry["step"] <= step:
            return entry.get("time") if later is not None else None
        later = entry
    first = lines.entry(start)
    return first.get("time") if later is not None else None


def _taken_backwards(lines: LedgerLines, start: int, stop: int) -> Iterator[dict[str, Any]]:
    return (lines.entry(at, line) for at, line in lines.backwards(start, stop) if line.startswith(STEPS))
