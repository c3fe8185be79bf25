"""What a ledger says about the checkpoints of its last segment, and how long such things took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from dist_epochs.ledger.index import STEPS, LedgerLines

__all__ = ["Saves", "read_saves"]


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
    lines = LedgerLines(path)
    saved: dict[str, Any] = {}
    begun, ended, count = 0, None, 0
    starts = [at for at, _ in lines.of("segment")]
    for at, event in lines.of("segment", "checkpoint", "end"):
        if event == "segment":
            begun, ended, count = at, None, 0
        elif event == "checkpoint":
            saved, count = lines.entry(at), count + 1
        else:
            ended = at
    return Saves(
        facts=lines.entry(begun) if starts else {},
        status=lines.entry(ended)["status"] if ended is not None else "no end",
        checkpoints=count,
        checkpoint_seconds=saved.get("seconds"),
        first_step_seconds=_first_step_seconds(lines, starts),
    )


def _first_step_seconds(lines: LedgerLines, starts: Sequence[int]) -> float | None:
    """From the line of a segment to the end of its first step, in the last one that has a step."""
    for start, stop in reversed(list(pairwise([*starts, lines.size]))):
        for at, line in lines.between(start, stop):
            if line.startswith(STEPS):
                first, begun = lines.entry(at, line).get("time"), lines.entry(start).get("time")
                return None if first is None or begun is None else float(first - begun)
    return None
