"""`metrics.csv` of Lightning's CSVLogger, with `hparams.yaml` beside it.

Columns epoch and step, both from 0: a row is logged before the count of its step goes up, so a run has made one step
more than its last row says. Rows of training, of validation and of the end of a pass are apart; those of the end have
the last step of their pass. hparams.yaml is what the user saved; it may hold tags that run code, so only plain `key:
number` lines of it are read.

Holds: steps, passes, steps of a pass; of hparams.yaml, batch_size. Accumulation and devices must be given.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from dist_epochs.audit.records.lines import lines_of
from dist_epochs.audit.records.packed import read_whole
from dist_epochs.audit.records.pass_rows import PassRows
from dist_epochs.audit.records.record import FinishedRun, Number, Place

__all__ = ["NAMES_OF_FILES", "has_marks", "read"]

NAMES_OF_FILES = ("metrics.csv",)
HPARAMS, LARGEST_HPARAMS = "hparams.yaml", 1 << 20

_NUMBER_LINE = re.compile(r"^batch_size:\s*(\d{1,12})\s*$", re.MULTILINE)


def has_marks(path: Path, head: bytes) -> bool:
    """Whether its first line names the columns epoch and step, and none of a CSV of litgpt or Keras."""
    columns = head.partition(b"\n")[0].strip().split(b",")
    return b"epoch" in columns and b"step" in columns and b"iter" not in columns


def read(path: Path) -> FinishedRun:
    """Read the rows, and the batch size that was saved beside them.

    Raises:
        InputError: If it cannot be read, or no row has a step.
    """
    rows = PassRows(str(path), "lightning")
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
    if (size := _batch_size(path.parent / HPARAMS)) is not None:
        rows.further["hparams_batch_size"] = size
    return rows.whole_run()


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
