"""Model cards (README.md) that the Hugging Face Trainer wrote (Transformers, modelcard.py).

`The following hyperparameters were used during training:`, bullets, and a table of evaluations with Step and Epoch,
the latter of two decimals (until 4.39) or four. num_devices, gradient_accumulation_steps and total_train_batch_size
are written only where they are above one, or differ. People edit cards.

Holds: batch, accumulation, devices, planned epochs or steps; step and epoch of each evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from math import prod
from pathlib import Path

from dist_epochs.audit.records.keys import Keys, read_keys
from dist_epochs.audit.records.packed import read_whole
from dist_epochs.audit.records.passes import Passes, logged_epoch
from dist_epochs.audit.records.record import FinishedRun, Number, Place, whole
from dist_epochs.errors import InputError, Origin

__all__ = ["NAMES_OF_FILES", "has_marks", "read"]

NAMES_OF_FILES = ("README.md",)
LARGEST = 1 << 22
"""Bytes of a card."""

MARK = "The following hyperparameters were used during training:"
BULLETS: Keys = {
    "per_device": ("train_batch_size",),
    "devices": ("num_devices",),
    "gradient_accumulation": ("gradient_accumulation_steps",),
    "global_batch": ("total_train_batch_size",),
    "planned_steps": ("training_steps",),
    "planned_epochs": ("num_epochs",),
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
    bullets = _bullets(lines, begins)
    numbers = read_keys(
        {key: text for key, (text, _) in bullets.items()}, BULLETS, lambda key: Place(str(path), bullets[key][1], key)
    )
    if (planned := numbers.get("planned_epochs")) is not None:
        numbers["planned_epochs"] = Number.exact(planned.value, planned.where, planned.text)
    rows = list(_rows(lines, begins, str(path)))
    further: dict[str, Number | bool] = {}
    if rows:
        step, numbers["epochs"], where = rows[-1]
        numbers["steps"] = further["last_row_step"] = Number.exact(step, where)
    edited = _layout(numbers, str(path), begins + 1)
    passes = Passes((step, float(epoch.value)) for step, epoch, _ in rows)
    run = FinishedRun(
        kind="model-card",
        path=str(path),
        numbers=numbers,
        counts_passes=True,
        streams=_streams(numbers, rows, passes),
        is_cut=not _is_whole(numbers),
        further=further,
        notes=(*([] if rows else [NO_TABLE]), *edited),
    )
    return passes.told_of(run, Place(str(path), None, "table")) if rows else run


def _streams(numbers: Mapping[str, Number], rows: Sequence[tuple[int, Number, Place]], passes: Passes) -> bool | None:
    """Whether the data had no length: the epoch goes back then, or a pass seems as long as the planned steps."""
    if any(later.interval.high < earlier.interval.low for (_, earlier, _), (_, later, _) in pairwise(rows)):
        return True
    return None if passes.is_as_long_as(numbers.get("planned_steps")) else False


def _bullets(lines: list[str], begins: int) -> dict[str, tuple[str, int]]:
    """The text of each bullet below the mark, and its line."""
    found: dict[str, tuple[str, int]] = {}
    for at in range(begins + 1, len(lines)):
        if lines[at].lstrip().startswith("#"):
            break
        if match := _BULLET.match(lines[at]):
            found.setdefault(match[1], (match[2], at + 1))
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


def _layout(numbers: dict[str, Number], path: str, line: int) -> list[str]:
    """What is left out is one, or the product. Of devices, that one process ran, which may have seen several."""
    if "per_device" not in numbers:
        return []
    place = Place(path, line, "not written, so it is one")
    numbers.setdefault("gradient_accumulation", Number.exact(1, place))
    factors = ("per_device", "gradient_accumulation", "devices")
    product = prod(numbers[name].value for name in factors if name in numbers)
    return [] if numbers.setdefault("global_batch", Number.exact(int(product), place)).value == product else [EDITED]


def _is_whole(numbers: Mapping[str, Number]) -> bool:
    """Whether the last row is at the planned end."""
    for made, planned in (("steps", "planned_steps"), ("epochs", "planned_epochs")):
        if made in numbers and planned in numbers and numbers[made].interval.high >= numbers[planned].value:
            return True
    return False
