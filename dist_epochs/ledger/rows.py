"""Logged rows that wandb may have lost."""

from __future__ import annotations

from pathlib import Path

from dist_epochs.ledger.file import LedgerFile
from dist_epochs.ledger.index import LedgerLines

__all__ = ["Row", "note_mirrored", "unmirrored_rows"]

METRICS, SEGMENT = b'{"event":"metrics"', b'{"event":"segment"'

Row = tuple[int, dict[str, float]]
"""A step, and the values logged at it."""


def unmirrored_rows(path: Path, *, up_to: int) -> list[Row]:
    """Rows of the steps that count, in order, since the last time that wandb was known to have every row.

    When a program is killed, wandb loses the last seconds of it; the ledger has them. Rows of steps that a
    later segment took again, or that the next one will after `up_to`, are left out.

    Args:
        path: The ledger file.
        up_to: Step after which the run resumes.
    """
    rows: list[Row] = []
    lines = LedgerLines(path)
    *_, begin = (0, *(at for at, _ in lines.of("mirrored")))
    for at, line in lines.between(begin):
        if line.startswith(METRICS):
            entry = lines.entry(at, line)
            rows.append((entry["step"], {name: float(value) for name, value in entry["values"].items()}))
        elif line.startswith(SEGMENT):
            from_step = lines.entry(at, line)["from_step"]
            rows = [row for row in rows if row[0] <= from_step]
    return [row for row in rows if row[0] <= up_to]


def note_mirrored(path: Path) -> None:
    """Note that wandb has every row so far; called when a program ends normally."""
    file = LedgerFile(path)
    file.append("mirrored")
    file.close()
