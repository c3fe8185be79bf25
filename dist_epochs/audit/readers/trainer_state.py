"""`trainer_state.json` of the Hugging Face Trainer, and what its checkpoints say of restarts.

Read as Transformers 5.23 writes it (`trainer_callback.py`, `TrainerState`; `trainer.py`), and by version 4.
`training_args.bin`, `optimizer.pt`, `scheduler.pt` and `rng_state.pth` are pickles, which can run anything: never
opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from dist_epochs.audit.readers.passes import CHANGED, changes_pace, last_call, logged_epoch, steps_per_epoch
from dist_epochs.audit.readers.record import FinishedRun, Number, Segment, Span, as_stream, whole
from dist_epochs.errors import InputError, Origin

__all__ = ["STATE", "is_trainer_state", "read_trainer_state", "state_files"]

STATE = "trainer_state.json"

MARKS = ("global_step", "log_history")
"""Keys that every version writes."""

UNSIZED = 2**62
"""From here on `num_train_epochs` means that the data had no length (the Trainer writes 2⁶³ − 1)."""

LARGEST_STATE = 1 << 30
"""Bytes; a log of ten million rows is smaller."""


@dataclass(frozen=True, slots=True)
class _Row:
    step: int
    epoch: Number | None
    values: Mapping[str, Any]


def state_files(folder: Path) -> tuple[Path, ...]:
    """The states in an output or checkpoint folder, by their own step in the folder's name, that of the folder last."""
    inner = [path for path in folder.glob(f"checkpoint-*/{STATE}") if path.parent.name[11:].isdecimal()]
    own = [folder / STATE] if (folder / STATE).is_file() else []
    return (*sorted(inner, key=lambda path: int(path.parent.name[11:31])), *own)


def is_trainer_state(data: object) -> bool:
    """Whether a JSON object is one."""
    return isinstance(data, dict) and all(key in data for key in MARKS)


def read_trainer_state(paths: Sequence[Path], title: str) -> FinishedRun:
    """Read the states of one run.

    Args:
        paths: Its states; the one with the most steps is audited, and the others show what was run twice.
        title: The path that was given.

    Raises:
        InputError: If the one that is audited cannot be read, with `path:line`, or is something else.
    """
    states, refused = [], []
    for path in paths:
        try:
            states.append((path, _load(path)))
        except InputError as error:
            if len(paths) == 1:
                raise
            refused.append(error)
    if not states:
        raise InputError.together(refused)
    notes = [f"Not read: {error}" for error in refused]
    path, state = max(reversed(states), key=lambda pair: _step(pair[1]))
    rows = _rows(state)
    others = [(other, _rows(data)) for other, data in states if other != path]
    numbers = dict(_numbers(state, path.name))
    numbers |= dict(_speed(state, rows, numbers, path.name))
    unsized = _is_unsized(state)
    pairs = [(row.step, row.epoch) for row in rows]
    changes = not unsized and changes_pace(pairs, numbers["steps"], numbers.get("epochs"))
    if not changes:
        numbers |= steps_per_epoch(pairs, numbers["steps"], numbers.get("epochs"), f"{path.name}: log_history")
    run = FinishedRun(
        kind="hf-trainer",
        path=title,
        numbers=numbers,
        counts_passes=True,
        changes_batch=changes,
        segments=tuple(_segments(rows, int(numbers["steps"].value), path.name)),
        overlaps=tuple(_overlaps(rows, others)),
        notes=(*notes, *([CHANGED] if changes else []), *_notes(state, rows, unsized, path)),
    )
    return as_stream(run) if unsized else run


def _load(path: Path) -> dict[str, Any]:
    origin = Origin(str(path), 1)
    if path.stat().st_size > LARGEST_STATE:
        rule = f"at most {LARGEST_STATE:,} are read"
        raise InputError(f"the file has {path.stat().st_size:,} bytes", rule=rule, origin=origin)
    try:
        data = json.loads(path.read_bytes().decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(
            f"not JSON: {error.msg} in column {error.colno}",
            rule="the file is cut or damaged, so nothing in it is trusted",
            fixes=f"the {STATE} of another checkpoint",
            origin=Origin(str(path), error.lineno),
        ) from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        fix = f"the {STATE} of another checkpoint"
        raise InputError("not JSON that can be read", rule=reason, fixes=fix, origin=origin) from None
    if not is_trainer_state(data):
        rule = f"it has no {' and '.join(MARKS)}"
        raise InputError("this is not the state of a Trainer", rule=rule, fixes=f"a {STATE}", origin=origin)
    if whole(data["global_step"], "", least=0) is None or not isinstance(data["log_history"], list):
        rule = "global_step must be a whole number from 0 on, and log_history a list of rows"
        raise InputError("this is not the state of a Trainer", rule=rule, origin=origin)
    return dict(data)


def _step(state: Mapping[str, Any]) -> int:
    return int(state["global_step"])


def _is_unsized(state: Mapping[str, Any]) -> bool:
    planned = Number.read(state.get("num_train_epochs"), "")
    return planned is not None and planned.value >= UNSIZED


def _rows(state: Mapping[str, Any]) -> tuple[_Row, ...]:
    """Rows of training, in order; evaluations and the summary at the end are others."""
    found = []
    for values in state["log_history"]:
        if isinstance(values, dict) and ("loss" in values or "learning_rate" in values):
            step = whole(values.get("step"), "", least=0)
            if step is not None:
                found.append(_Row(int(step.value), logged_epoch(values.get("epoch"), "log_history"), values))
    return tuple(found)


def _numbers(state: Mapping[str, Any], name: str) -> Iterator[tuple[str, Number]]:
    keys = {"max_steps": "planned_steps", "train_batch_size": "per_device", "num_input_tokens_seen": "tokens"}
    yield "steps", Number.exact(_step(state), f"{name}: global_step")
    for key, meaning in keys.items():
        if number := whole(state.get(key), f"{name}: {key}"):
            yield meaning, number
    if not _is_unsized(state) and (planned := Number.read(state.get("num_train_epochs"), f"{name}: num_train_epochs")):
        yield "planned_epochs", planned
    if (epoch := logged_epoch(state.get("epoch"), f"{name}: epoch")) is not None:
        yield "epochs", epoch
    if (flops := Number.read(state.get("total_flos"), f"{name}: total_flos")) and flops.value:
        yield "total_flops", flops


def _speed(
    state: Mapping[str, Any], rows: Sequence[_Row], numbers: Mapping[str, Number], name: str
) -> Iterator[tuple[str, Number]]:
    summaries = [row for row in state["log_history"] if isinstance(row, dict) and "train_samples_per_second" in row]
    if summaries and not _restarts(rows):
        yield from last_call(summaries[-1], numbers, f"{name}: log_history")


def _restarts(rows: Sequence[_Row]) -> list[int]:
    """Places in the rows before which the clock of `train` began again (logged since 5.0 with token counts)."""
    found, before = [], Fraction(0)
    for at, row in enumerate(rows):
        seconds = Number.read(row.values.get("train_runtime"), "")
        if seconds is not None:
            if seconds.value < before:
                found.append(at)
            before = seconds.value
    return found


def _segments(rows: Sequence[_Row], last: int, name: str) -> Iterator[Segment]:
    starts = [0, *_restarts(rows)]
    ends = [*(rows[at - 1].step for at in starts[1:]), last]
    first = 1
    for at, end in zip(starts, ends, strict=True):
        if end >= first:
            where = f"{name}: log_history, row {at + 1}" if rows else name
            yield Segment(Span(first, end), where)
        first = end + 1


def _overlaps(rows: Sequence[_Row], others: Sequence[tuple[Path, tuple[_Row, ...]]]) -> Iterator[Span]:
    """Steps that an older state tells otherwise: they were made again after it was written."""
    mine = {row.step: row.values for row in rows}
    spans = set()
    for _, theirs in others:
        before, different = 0, []
        for row in theirs:
            if row.step in mine and mine[row.step] != row.values:
                different.append(Span(before + 1, row.step))  # a row tells of the steps since the one before it
            before = row.step
        if different:
            spans.add(Span(different[0].first, max(different[-1].last, different[0].first)))
    yield from sorted(spans, key=lambda span: (span.first, span.last))


def _notes(state: Mapping[str, Any], rows: Sequence[_Row], unsized: bool, path: Path) -> Iterator[str]:
    if unsized:
        yield (
            "num_train_epochs is 2⁶³ − 1, so the data had no length: the Trainer's epoch is then (passes begun) plus a "
            "share of max_steps, and counts no data."
        )
    planned, reached = whole(state.get("max_steps"), ""), _step(state)
    if planned and reached < planned.value:
        yield f"It stopped at step {reached:,} of {int(planned.value):,}, or this checkpoint is not its last."
    if _restarts(rows):
        yield "It was resumed: train_runtime is that of the last start alone, so no throughput is derived."
    unopened = [
        name for name in ("training_args.bin", "optimizer.pt", "rng_state.pth") if (path.parent / name).exists()
    ]
    if unopened:
        yield (
            f"{', '.join(unopened)} would tell more (accumulation, devices) and are pickles, which can run any code: "
            "not opened. State what they hold with --gradient-accumulation and --devices."
        )
