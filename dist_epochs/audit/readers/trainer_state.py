"""`trainer_state.json` of the Hugging Face Trainer, and what its checkpoints say of restarts.

Read as Transformers 5.23 writes it (`trainer_callback.py`, `TrainerState`; `trainer.py`), and by version 4.
`training_args.bin`, `optimizer.pt`, `scheduler.pt` and `rng_state.pth` are pickles, which can run anything: never
opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.quantity import LARGEST
from dist_epochs.arithmetic.text import rounded
from dist_epochs.audit.records.contents import HEAD_BYTES, refuse_unread_content
from dist_epochs.audit.records.keys import Keys, read_keys
from dist_epochs.audit.records.packed import read_text
from dist_epochs.audit.records.passes import Passes, is_unsized
from dist_epochs.audit.records.record import FinishedRun, Number, Place, Segment, Span, whole
from dist_epochs.audit.records.trainer_clock import last_call
from dist_epochs.errors import InputError, Origin
from dist_epochs.ledger.steps import LoggedRow
from dist_epochs.settings.json_text import load_json

__all__ = ["STATE", "read_trainer_state", "state_files", "training_rows"]

STATE = "trainer_state.json"

MARKS = ("global_step", "log_history")
"""Keys that every version writes."""

LARGEST_STATE = 1 << 28
"""Bytes; a log of a million rows is smaller."""
MOST_VALUES = 12_000_000
"""Numbers, texts, lists and objects, which take more memory than their text does."""

KEYS: Keys = {
    "planned_steps": ("max_steps",),
    "per_device": ("train_batch_size",),
    "tokens": ("num_input_tokens_seen",),
    "planned_epochs": ("num_train_epochs",),
    "epochs": ("epoch",),
    "total_flops": ("total_flos",),
}

SETTINGS = ("max_steps", "num_train_epochs", "train_batch_size")
"""What a run is told; a run that goes on may be told more."""

_Row = dict[str, Any]
"""A row of the log as it was read: there may be millions, of which nothing is copied."""


@dataclass(frozen=True, slots=True)
class _State:
    """A state, and its rows of training."""

    path: Path
    data: Mapping[str, Any]
    rows: Sequence[_Row]
    step: int


def state_files(folder: Path) -> tuple[Path, ...]:
    """The states in an output or checkpoint folder, by their own step in the folder's name, that of the folder last."""
    inner = [path for path in folder.glob(f"checkpoint-*/{STATE}") if path.parent.name[11:].isdecimal()]
    own = [folder / STATE] if (folder / STATE).is_file() else []
    return (*sorted(inner, key=lambda path: int(path.parent.name[11:31])), *own)


def read_trainer_state(paths: Sequence[Path], title: str) -> FinishedRun:
    """Read the states of one run.

    Args:
        paths: Its states; the one with the most steps is audited, and the others show what was run twice.
        title: The path that was given.

    Raises:
        InputError: If the one that is audited cannot be read, with `path:line`, or is something else.
    """
    states, refused = _states(paths)
    mine = _latest(states)
    name, rows = str(mine.path), mine.rows
    others = [other for other in states if other.path != mine.path]
    strangers = [other for other in others if _is_of_another_run(other, mine)]
    restarts = _restarts(rows)
    numbers = {"steps": Number.exact(mine.step, Place(name, None, "global_step"))}
    numbers |= read_keys(mine.data, KEYS, Place(name).at)
    unsized = is_unsized(numbers)
    logged = (row for row in reversed(mine.data["log_history"]) if isinstance(row, dict))
    summary = next((row for row in logged if "train_samples_per_second" in row), None)
    if summary is not None and not restarts:
        numbers |= dict(last_call(summary, numbers, Place(name, None, "log_history")))
    run = FinishedRun(
        kind="hf-trainer",
        path=title,
        numbers=numbers,
        counts_passes=True,
        streams=unsized,
        segments=tuple(_segments(mine, restarts, name)),
        overlaps=tuple(_overlaps(rows, [other.rows for other in others if other not in strangers])),
        notes=(
            *(f"Not read: {error}" for error in refused),
            *_notes_of_strangers(mine, strangers),
            *_notes(mine, numbers, restarts, unsized),
        ),
    )
    passes = Passes((row["step"], row.get("epoch")) for row in rows)
    return passes.told_of(run, Place(name, None, "log_history"))


def training_rows(paths: Sequence[Path]) -> Iterator[LoggedRow]:
    """Loss and learning rate of the run that `read_trainer_state` audits, by step.

    Raises:
        InputError: If no state can be read.
    """
    before = 0
    for row in _latest(_states(paths)[0]).rows:
        if row["step"] > before:
            before = row["step"]
            values = {name: _number(row.get(name)) for name in ("loss", "learning_rate", "epoch")}
            seen = row.get("num_input_tokens_seen")
            yield LoggedRow(before, tokens=seen if type(seen) is int and seen > 0 else None, **values)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) < LARGEST else None


def _states(paths: Sequence[Path]) -> tuple[list[_State], list[InputError]]:
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


def _latest(states: Sequence[_State]) -> _State:
    """The one that is audited: with the most steps, and of these the last."""
    return max(reversed(states), key=lambda state: state.step)


def _load(path: Path) -> _State:
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
    return _State(path, data, _rows(data), int(step.value))


def _rows(data: Mapping[str, Any]) -> list[_Row]:
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


def _restarts(rows: Sequence[_Row]) -> list[int]:
    """Places in the rows before which the clock of `train` began again (logged since 5.0 with token counts)."""
    found, before = [], 0.0
    for at, row in enumerate(rows):
        seconds = row.get("train_runtime")
        if isinstance(seconds, int | float):
            if seconds < before:
                found.append(at)
            before = seconds
    return found


def _segments(state: _State, restarts: Sequence[int], name: str) -> Iterator[Segment]:
    starts = [0, *restarts]
    ends = [*(state.rows[at - 1]["step"] for at in restarts), state.step]
    first = 1
    for at, end in zip(starts, ends, strict=True):
        if end >= first:
            where = Place(name, None, f"log_history, row {at + 1}") if state.rows else Place(name)
            yield Segment(Span(first, end), where)
        first = end + 1


def _overlaps(rows: Sequence[_Row], others: Sequence[Sequence[_Row]]) -> Iterator[Span]:
    """Steps that an older state tells otherwise: they were made again after it was written."""
    mine = {row["step"]: row for row in rows} if others else {}
    spans = set()
    for theirs in others:
        before, different = 0, []
        for row in theirs:
            step = row["step"]
            if step in mine and mine[step] != row:
                different.append(Span(before + 1, step))  # a row tells of the steps since the one before it
            before = step
        if different:
            spans.add(Span(different[0].first, max(different[-1].last, different[0].first)))
    yield from sorted(spans, key=lambda span: (span.first, span.last))


def _is_of_another_run(other: _State, mine: _State) -> bool:
    """Whether a state was told other settings, and shares no row with the log of the one that is audited.

    A run that goes on keeps the rows of the state it goes on from, whatever else it is told.
    """
    if all(other.data.get(key) == mine.data.get(key) for key in SETTINGS) or not other.rows:
        return False
    first = other.rows[0]
    return not any(row == first for row in mine.rows)


def _notes_of_strangers(mine: _State, strangers: Sequence[_State]) -> Iterator[str]:
    """Which other runs are in the folder, and by what they are told apart."""
    for other in strangers:
        told = ", ".join(
            f"{key} {_told(other.data.get(key))} for {_told(mine.data.get(key))}"
            for key in SETTINGS
            if other.data.get(key) != mine.data.get(key)
        )
        yield (
            f"Two runs are here: {other.path.parent.name} (step {other.step:,}) is of another one than "
            f"{mine.path.parent.name} (step {mine.step:,}), which is audited: {told}, and no row in common. "
            "Their steps are not compared."
        )


def _told(value: object) -> str:
    read = Number.read(value, "")
    return rounded(read.value) if read is not None else "none"


def _notes(state: _State, numbers: Mapping[str, Number], restarts: Sequence[int], unsized: bool) -> Iterator[str]:
    if unsized:
        yield (
            "num_train_epochs is 2⁶³ − 1, so the data had no length: the Trainer's epoch is then (passes begun) plus a "
            "share of max_steps, and counts no data."
        )
    planned, reached = numbers.get("planned_steps"), state.step
    if planned and reached < planned.value:
        yield f"It stopped at step {reached:,} of {int(planned.value):,}, or this checkpoint is not its last."
    if restarts:
        yield "It was resumed: train_runtime is that of the last start alone, so no throughput is derived."
    unopened = [
        name for name in ("training_args.bin", "optimizer.pt", "rng_state.pth") if (state.path.parent / name).exists()
    ]
    if unopened:
        yield (
            f"{', '.join(unopened)} would tell more (accumulation, devices) and are pickles, which can run any code: "
            "not opened. State what they hold with --gradient-accumulation and --devices."
        )
