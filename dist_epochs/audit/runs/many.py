"""Thousands of runs, each judged alone, as rows of one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dist_epochs.audit.detect.folder import holds_run, read_finished_run
from dist_epochs.audit.records.record import FinishedRun
from dist_epochs.audit.runs.claims import Claims
from dist_epochs.audit.runs.run_audit import audit_run
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.files import read_utf8

__all__ = ["COLUMNS", "judge_many", "runs_of"]

NUMBERS = (
    "steps", "planned_steps", "epochs", "samples", "tokens", "corpus", "global_batch", "per_device",
    "gradient_accumulation", "devices", "sequence_length",
)  # fmt: skip
COLUMNS = ("run", "kind", "verdict", "contradicts", "only_if", "missing", *NUMBERS, "error")
"""Of the table: what was read, the verdict and the numbers; or why there are none."""

LARGEST_LIST = 1 << 26
DEEPEST = 8
"""Folders inside each other in which runs are looked for."""


def runs_of(place: Path) -> Iterator[str]:
    """The runs in a folder (its files, and the folders that hold one), or those that a list names, one a line.

    Raises:
        InputError: If there is neither.
    """
    if place.is_dir():
        yield from _in_folder(place, DEEPEST)
        return
    for line in read_utf8(place, LARGEST_LIST, "a list of runs").splitlines():
        name = line.strip()
        if name:
            beside = place.parent / name
            yield name if ":" in name or Path(name).exists() or not beside.exists() else str(beside)


def _in_folder(folder: Path, depth: int) -> Iterator[str]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        yield str(folder)  # its row says why
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_file() or holds_run(entry):
            yield str(entry)
        elif entry.is_dir() and not entry.is_symlink() and depth:
            yield from _in_folder(entry, depth - 1)


def judge_many(
    names: Iterator[str], read: Callable[[str], FinishedRun | None] | None = None
) -> Iterator[dict[str, Any]]:
    """A row for each run, by `COLUMNS`; None where there is nothing. Whatever is wrong with one of them is in its row.

    Args:
        names: Paths, or addresses that `read` knows.
        read: How a name is read; without it, as a path.
    """
    for name in names:
        row: dict[str, Any] = dict.fromkeys(COLUMNS)
        row["run"] = name
        try:
            run = read(name) if read is not None else read_finished_run(Path(name))
            if run is None:
                raise InputError("this is not a finished run", origin=Origin(name))
            row |= _judged(run)
        except InputError as error:
            row["error"] = str(error)
        except Exception as error:  # a fault of a reader must not end the other runs' table
            row["error"] = f"{name}: not read: {type(error).__name__}: {error}"
        yield row


def _judged(run: FinishedRun) -> dict[str, Any]:
    audit = audit_run(run, Claims(numbers={}))
    contradicts = dict.fromkeys(check.name for check in audit.readings[0].contradictions)
    return {
        "kind": run.kind,
        "verdict": str(audit.verdict),
        "contradicts": ", ".join(contradicts) or None,
        "only_if": audit.only_if,
        "missing": audit.missing,
        **{name: audit.record[name]["value"] for name in NUMBERS if name in audit.record},
    }
