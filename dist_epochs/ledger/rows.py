"""Logged rows that wandb may have lost."""

from __future__ import annotations

from pathlib import Path

from dist_epochs.ledger.file import LedgerFile, parse_line, read_lines
from dist_epochs.ledger.reading import METRICS, MIRRORED, SEGMENT

__all__ = ["Row", "note_mirrored", "unmirrored_rows"]

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
    for at, line in enumerate(read_lines(path)):
        if line.startswith(MIRRORED):
            rows = []
        elif line.startswith(METRICS):
            entry = parse_line(path, at + 1, line)
            rows.append((entry["step"], {name: float(value) for name, value in entry["values"].items()}))
        elif line.startswith(SEGMENT):
            from_step = parse_line(path, at + 1, line)["from_step"]
            rows = [row for row in rows if row[0] <= from_step]
    return [row for row in rows if row[0] <= up_to]


def note_mirrored(path: Path) -> None:
    """Note that wandb has every row so far; called when a program ends normally."""
    file = LedgerFile(path)
    file.append("mirrored")
    file.close()
