"""States of the Hugging Face Trainer, loaded: what an audit of one run and a comparison of two read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.written_number import LARGEST
from dist_epochs.audit.records.contents import HEAD_BYTES, refuse_unread_content
from dist_epochs.audit.records.packed import read_text
from dist_epochs.audit.records.record import whole
from dist_epochs.errors import InputError, Origin
from dist_epochs.ledger.steps import LoggedRow
from dist_epochs.settings.json_text import load_json
from dist_epochs.settings.shapes import number_or_none

__all__ = ["LARGEST_STATE", "STATE", "Row", "State", "latest", "load_states", "state_files", "training_rows"]

STATE = "trainer_state.json"

MARKS = ("global_step", "log_history")
"""Keys that every version writes."""

LARGEST_STATE = 1 << 28
"""Bytes; a log of a million rows is smaller."""
MOST_VALUES = 12_000_000
"""Numbers, texts, lists and objects, which take more memory than their text does."""

Row = dict[str, Any]
"""A row of the log as it was read: there may be millions, of which nothing is copied."""


@dataclass(frozen=True, slots=True)
class State:
    """A state, and its rows of training."""

    path: Path
    data: Mapping[str, Any]
    rows: Sequence[Row]
    step: int


def state_files(folder: Path) -> tuple[Path, ...]:
    """The states in an output or checkpoint folder, by their own step in the folder's name, that of the folder last."""
    inner = [path for path in folder.glob(f"checkpoint-*/{STATE}") if path.parent.name[11:].isdecimal()]
    own = [folder / STATE] if (folder / STATE).is_file() else []
    return (*sorted(inner, key=lambda path: int(path.parent.name[11:31])), *own)


def load_states(paths: Sequence[Path]) -> tuple[list[State], list[InputError]]:
    """Those that can be read, and why others cannot.

    Raises:
        InputError: If none can be read.
    """
    states, refused = [], []
    for path in paths:
        try:
            states.append(_load(path))
        except InputError as error:
            if len(paths) == 1:
                raise
            refused.append(error)
    if not states:
        raise InputError.together(refused)
    return states, refused


def latest(states: Sequence[State]) -> State:
    """The one that is audited: with the most steps, and of these the last."""
    return max(reversed(states), key=lambda state: state.step)


def _load(path: Path) -> State:
    origin = Origin(str(path), 1)
    text = read_text(path, LARGEST_STATE, "a Trainer's state")
    refuse_unread_content(path, text[:HEAD_BYTES].encode())
    if sum(map(text.count, ",[{")) > MOST_VALUES:
        rule = f"at most {MOST_VALUES:,} are read"
        raise InputError("more values than the log of a run has", rule=rule, origin=origin)
    try:
        data = load_json(text, origin)
    except InputError as error:
        rule = error.rule or "the file is cut or damaged, so nothing in it is trusted"
        raise error.but(rule=rule, fixes=(f"the {STATE} of another checkpoint",)) from None
    if not isinstance(data, dict) or not all(key in data for key in MARKS):
        rule = f"it has no {' and '.join(MARKS)}"
        raise InputError("this is not the state of a Trainer", rule=rule, fixes=f"a {STATE}", origin=origin)
    step = None if isinstance(data["global_step"], str) else whole(data["global_step"], "", least=0)
    if step is None or not isinstance(data["log_history"], list):
        rule = "global_step must be a whole number from 0 on, and log_history a list of rows"
        raise InputError("this is not the state of a Trainer", rule=rule, origin=origin)
    return State(path, data, _rows(data), int(step.value))


def _rows(data: Mapping[str, Any]) -> list[Row]:
    """Rows of training, in order; evaluations and the summary at the end are others."""
    found = []
    for row in data["log_history"]:
        if isinstance(row, dict) and ("loss" in row or "learning_rate" in row):
            step = row.get("step")
            if type(step) is not int or not 0 <= step <= LARGEST:
                read = whole(step, "", least=0)
                if read is None:
                    continue
                row["step"] = int(read.value)
            found.append(row)
    return found


def training_rows(paths: Sequence[Path]) -> Iterator[LoggedRow]:
    """Loss and learning rate of the run that an audit reads, by step.

    Raises:
        InputError: If no state can be read.
    """
    before = 0
    for row in latest(load_states(paths)[0]).rows:
        if row["step"] > before:
            before = row["step"]
            values = {name: _finite(row.get(name)) for name in ("loss", "learning_rate", "epoch")}
            seen = row.get("num_input_tokens_seen")
            yield LoggedRow(before, tokens=seen if type(seen) is int and seen > 0 else None, **values)


def _finite(value: object) -> float | None:
    number = number_or_none(value)
    return float(number) if number is not None and abs(number) < LARGEST else None
