"""`trainer_state.json` of the Hugging Face Trainer, and what its checkpoints say of restarts.

Read as Transformers 5.23 writes it (`trainer_callback.py`, `TrainerState`; `trainer.py`), and by version 4.
`training_args.bin`, `optimizer.pt`, `scheduler.pt` and `rng_state.pth` are pickles, which can run anything: never
opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dist_epochs.arithmetic.text import rounded
from dist_epochs.audit.records.keys import Keys, read_keys
from dist_epochs.audit.records.passes import Passes, is_unsized
from dist_epochs.audit.records.record import FinishedRun, Number, Place, Segment, Span
from dist_epochs.audit.records.trainer_clock import last_call
from dist_epochs.audit.records.trainer_states import Row, State, latest, load_states

__all__ = ["read_trainer_state"]

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


def read_trainer_state(paths: Sequence[Path], title: str) -> FinishedRun:
    """Read the states of one run.

    Args:
        paths: Its states; the one with the most steps is audited, and the others show what was run twice.
        title: The path that was given.

    Raises:
        InputError: If the one that is audited cannot be read, with `path:line`, or is something else.
    """
    states, refused = load_states(paths)
    mine = latest(states)
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
            *_notes(mine, restarts, unsized),
        ),
    )
    passes = Passes((row["step"], row.get("epoch")) for row in rows)
    return passes.told_of(run, Place(name, None, "log_history"))


def _restarts(rows: Sequence[Row]) -> list[int]:
    """Places in the rows before which the clock of `train` began again (logged since 5.0 with token counts)."""
    found, before = [], 0.0
    for at, row in enumerate(rows):
        seconds = row.get("train_runtime")
        if isinstance(seconds, int | float):
            if seconds < before:
                found.append(at)
            before = seconds
    return found


def _segments(state: State, restarts: Sequence[int], name: str) -> Iterator[Segment]:
    starts = [0, *restarts]
    ends = [*(state.rows[at - 1]["step"] for at in restarts), state.step]
    first = 1
    for at, end in zip(starts, ends, strict=True):
        if end >= first:
            where = Place(name, None, f"log_history, row {at + 1}") if state.rows else Place(name)
            yield Segment(Span(first, end), where)
        first = end + 1


def _overlaps(rows: Sequence[Row], others: Sequence[Sequence[Row]]) -> Iterator[Span]:
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


def _is_of_another_run(other: State, mine: State) -> bool:
    """Whether a state was told other settings, and shares no row with the log of the one that is audited.

    A run that goes on keeps the rows of the state it goes on from, whatever else it is told.
    """
    if all(other.data.get(key) == mine.data.get(key) for key in SETTINGS) or not other.rows:
        return False
    first = other.rows[0]
    return not any(row == first for row in mine.rows)


def _notes_of_strangers(mine: State, strangers: Sequence[State]) -> Iterator[str]:
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


def _notes(state: State, restarts: Sequence[int], unsized: bool) -> Iterator[str]:
    if unsized:
        yield (
            "num_train_epochs is 2⁶³ − 1, so the data had no length: the Trainer's epoch is then (passes begun) plus a "
            "share of max_steps, and counts no data."
        )
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
