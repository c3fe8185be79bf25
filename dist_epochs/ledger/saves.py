"""What a ledger says about the checkpoints of its last segment, and how long such things took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dist_epochs.ledger.file import parse_line, read_lines

__all__ = ["Saves", "read_saves"]

SEGMENT, CHECKPOINT, END = b'{"event":"segment"', b'{"event":"checkpoint"', b'{"event":"end"'
STEPS = (b'{"event":"applied"', b'{"event":"skipped"')


@dataclass(frozen=True, kw_only=True, slots=True)
class Saves:
    """The last segment of a ledger, and times of the run.

    Attributes:
        facts: What the segment's line says.
        status: How it ended: `finished`, `stopped`, `failed`, or `no end` (killed, or still running).
        checkpoints: Checkpoints that were saved in it.
        checkpoint_seconds: How long the last checkpoint of the run took; None where none was saved or timed.
        first_step_seconds: From the line of a segment to the end of its first step, in the last one that has a step.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    status: str = "no end"
    checkpoints: int = 0
    checkpoint_seconds: float | None = None
    first_step_seconds: float | None = None


def read_saves(path: Path) -> Saves:
    """Read them.

    Raises:
        InputError: If there is no ledger, or a line that is needed is damaged.
    """
    lines = read_lines(path)
    begun: int | None = None
    last_saved: int | None = None
    ended: int | None = None
    stepped: tuple[int, int] | None = None
    saved = 0
    for at, line in enumerate(lines):
        if line.startswith(SEGMENT):
            begun, saved, ended = at, 0, None
        elif line.startswith(CHECKPOINT):
            saved, last_saved = saved + 1, at
        elif line.startswith(END):
            ended = at
        elif begun is not None and (stepped is None or stepped[0] != begun) and line.startswith(STEPS):
            stepped = begun, at
    entry = {
        at: parse_line(path, at + 1, lines[at]) for at in (begun, last_saved, ended, *(stepped or ())) if at is not None
    }
    return Saves(
        facts=entry[begun] if begun is not None else {},
        status=entry[ended]["status"] if ended is not None else "no end",
        checkpoints=saved,
        checkpoint_seconds=entry[last_saved].get("seconds") if last_saved is not None else None,
        first_step_seconds=entry[stepped[1]]["time"] - entry[stepped[0]]["time"] if stepped else None,
    )
