"""Model cards (README.md) that the Hugging Face Trainer wrote (Transformers, modelcard.py).

`The following hyperparameters were used during training:`, bullets, and a table of evaluations with Step and Epoch,
the latter of two decimals (until 4.39) or four. num_devices, gradient_accumulation_steps and total_train_batch_size
are written only where they are above one, or differ. People edit cards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from dist_epochs.audit.records.packed import read_whole
from dist_epochs.audit.records.passes import CHANGED, changes_pace, logged_epoch, steps_per_epoch
from dist_epochs.audit.records.record import FinishedRun, Number, Place, as_stream, whole
from dist_epochs.errors import InputError, Origin

__all__ = ["HOLDS", "NAMES_OF_FILES", "has_marks", "read"]

HOLDS = "batch, accumulation, devices, planned epochs or steps; step and epoch of each evaluation"
NAMES_OF_FILES = ("README.md",)
LARGEST = 1 << 22
"""Bytes of a card."""

MARK = "The following hyperparameters were used during training:"
BULLETS = {
    "train_batch_size": "per_device",
    "num_devices": "devices",
    "gradient_accumulation_steps": "gradient_accumulation",
    "total_train_batch_size": "global_batch",
    "training_steps": "planned_steps",
}

EDITED = (
    "Its batch is not per device × devices × accumulation: the card was edited, or devices share the model (tensor or "
    "context parallel), which the Trainer counts as data parallel."
)
NO_TABLE = "It has no table of evaluations, so nothing tells of the steps that were made."

_BULLET = re.compile(r"^\s*[-*]\s+(\w{1,60}):\s+(\S{1,40})\s*$")
_RULE = re.compile(r"^\s*\|(\s*:?-+:?\s*\|)+\s*$")


def has_marks(path: Path, head: bytes) -> bool:
    """Whether a text is one: its hyperparameters may stand anywhere in it."""
    if path.suffix.lower() != ".md" or head.startswith(b"{"):
        return False
    return MARK in read_whole(path, LARGEST, "a model card").decode("utf-8-sig", errors="replace")


def read(path: Path) -> FinishedRun:
    """Read a card.

    Raises:
        InputError: If it has no hyperparameters of a Trainer.
    """
    lines = read_whole(path, LARGEST, "a model card").decode("utf-8-sig", errors="replace").splitlines()
    begins = next((at for at, line in enumerate(lines) if MARK in line), None)
    if begins is None:
        rule = f"it has no line {MARK!r}"
        raise InputError("this card is not of a Trainer", rule=rule, origin=Origin(str(path)))
    numbers = _bullets(lines, begins, str(path))
    rows = list(_rows(lines, begins, str(path)))
    notes = [] if rows else [NO_TABLE]
    further: dict[str, Number | bool] = {}
    changes = False
    if rows:
        (step, epoch), where = rows[-1][:2], rows[-1][2]
        numbers["steps"] = further["last_row_step"] = Number.exact(step, where)
        numbers["epochs"] = epoch
        pairs: list[tuple[int, object]] = [(step, float(epoch.value)) for step, epoch, _ in rows]
        changes = changes_pace(pairs, numbers["steps"], epoch)
        if changes:
            notes.append(CHANGED)
        else:
            numbers |= steps_per_epoch(pairs, numbers["steps"], epoch, Place(str(path), None, "table"))
    notes += _layout(numbers, str(path), begins + 1)
    streams = _streams(numbers, rows)
    run = FinishedRun(
        kind="model-card",
        path=str(path),
        numbers=numbers,
        counts_passes=True,
        changes_batch=changes,
        streams=streams,
        is_cut=not _is_whole(numbers),
        further=further,
        notes=tuple(notes),
    )
    return as_stream(run) if streams else run


def _streams(numbers: Mapping[str, Number], rows: Sequence[tuple[int, Number, Place]]) -> bool | None:
    """Whether the data had no length: the epoch goes back then, or a pass seems as long as the planned steps."""
    if any(later.interval.high < earlier.interval.low for (_, earlier, _), (_, later, _) in pairwise(rows)):
        return True
    pace, planned = numbers.get("steps_per_epoch"), numbers.get("planned_steps")
    is_open = pace is not None and planned is not None and pace.interval.holds(planned.value)
    return None if is_open else False


def _bullets(lines: list[str], begins: int, path: str) -> dict[str, Number]:
    found: dict[str, Number] = {}
    for at in range(begins + 1, len(lines)):
        if lines[at].lstrip().startswith("#"):
            break
        match = _BULLET.match(lines[at])
        if match is None:
            continue
        place = Place(path, at + 1, match[1])
        if match[1] == "num_epochs":
            number, name = Number.read(match[2], place), "planned_epochs"
            number = Number.exact(number.value, place, number.text) if number is not None else None
        else:
            name = BULLETS.get(match[1], "")
            number = whole(match[2], place) if name else None
        if number is not None and number.value:
            found.setdefault(name, number)
    return found


def _rows(lines: list[str], begins: int, path: str) -> Iterator[tuple[int, Number, Place]]:
    """Step and epoch of each row of the table."""
    columns: Mapping[str, int] = {}
    for at in range(begins + 1, len(lines)):
        line = lines[at].strip()
        if not line.startswith("|"):
            if columns and line:
                return
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not columns:
            if "Epoch" in cells and "Step" in cells and at + 1 < len(lines) and _RULE.match(lines[at + 1]):
                columns = {name: cells.index(name) for name in ("Epoch", "Step")}
            continue
        if len(cells) <= max(columns.values()):
            continue
        place = Place(path, at + 1)
        step, epoch = whole(cells[columns["Step"]], place), _epoch(cells[columns["Epoch"]], place)
        if step is not None and epoch is not None:
            yield int(step.value), epoch, place


def _epoch(text: str, place: Place) -> Number | None:
    """Four decimals have their last zeros cut: 2.0 is 2.0000, or of the older two."""
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        return None
    return logged_epoch(float(Decimal(text)), place)


def _layout(numbers: dict[str, Number], path: str, line: int) -> Iterator[str]:
    """What is left out is one, or the product. Of devices, that one process ran, which may have seen several."""
    if "per_device" not in numbers:
        return
    place = Place(path, line, "not written, so it is one")
    numbers.setdefault("gradient_accumulation", Number.exact(1, place))
    product = numbers["per_device"].value * numbers["gradient_accumulation"].value
    if "devices" in numbers:
        product *= numbers["devices"].value
    if "global_batch" not in numbers:
        numbers["global_batch"] = Number.exact(int(product), place)
    elif numbers["global_batch"].value != product:
        yield EDITED


def _is_whole(numbers: Mapping[str, Number]) -> bool:
    """Whether the last row is at the planned end."""
    for made, planned in (("steps", "planned_steps"), ("epochs", "planned_epochs")):
        if made in numbers and planned in numbers and numbers[made].interval.high >= numbers[planned].value:
            return True
    return False
