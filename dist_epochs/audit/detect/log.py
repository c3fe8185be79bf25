"""Text logs, read line by line.

Megatron-LM and GPT-NeoX are in `megatron.py`, NeMo 2 in `nemo.py`, OLMo in `olmo.py`, the console of the Hugging Face
Trainer in `hf_console.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dist_epochs.audit.readers import megatron, nemo, olmo
from dist_epochs.audit.readers.deepspeed_log import DeepspeedLog
from dist_epochs.audit.readers.hf_console import Console
from dist_epochs.audit.readers.nanogpt_log import NanoGptLog
from dist_epochs.audit.readers.torchtitan_log import TorchtitanLog
from dist_epochs.audit.records.lines import lines_of
from dist_epochs.audit.records.log_reading import LineReader, LogReading, notes_of_track, unlogged_steps
from dist_epochs.audit.records.record import FinishedRun, Number, Place

__all__ = ["MOST_UNKNOWN", "read_text_log"]

MOST_UNKNOWN = 1 << 25
"""Bytes within which a line that is known must come."""

OTHER_LOGS: tuple[Callable[[str], LineReader], ...] = (NanoGptLog, TorchtitanLog, DeepspeedLog)
"""Readers of lines that have none of the marks above them, the surest first."""


def read_text_log(path: Path) -> FinishedRun | None:
    """Read a log; None if no line of it is one that is known.

    The file is streamed: memory does not grow with it. A line that ends in the middle counts as far as its last bar.

    Raises:
        InputError: If it cannot be read.
    """
    reading, console, unknown = LogReading(str(path)), Console(str(path)), MOST_UNKNOWN
    others = [log(str(path)) for log in OTHER_LOGS]
    is_open = True  # until lines are found that go before those of the others
    marks = [(mark, log) for log in others for mark in log.MARKS]
    for at, line in lines_of(path):
        if unknown > 0 and (unknown := unknown - len(line)) <= 0 and not _is_known(reading, console, others):
            return None
        if b"iteration" in line and b"tokens per iteration" not in line:
            if nemo.is_iteration(line):
                nemo.read_iteration(reading, line, at)
            else:
                megatron.read_iteration(reading, line, at)
        elif b" ..." in line or b" .. " in line or megatron.OF_DEEPSPEED in line:
            megatron.read_argument(reading, line, at)
        elif b"[step=" in line or b"throughput/" in line:
            olmo.read_step(reading, line, at)
        else:
            if is_open:
                is_open = reading.track.last is None and "planned_steps" not in console.numbers
                for mark, log in marks:
                    if mark in line:
                        log.read(line, at)
                        break
            console.read(line, at)
    olmo.close_step(reading)
    if reading.track.last is None:  # beside the lines of others there may be arguments of DeepSpeed
        for finished in (console.finished, *(log.finished for log in others)):
            if (run := finished()) is not None:
                return run
    return _finished(reading, path)


def _is_known(reading: LogReading, console: Console, others: Sequence[LineReader]) -> bool:
    return bool(reading.numbers or console.calls or any(log.finished() for log in others))


def _finished(reading: LogReading, path: Path) -> FinishedRun | None:
    track = reading.track
    layout = {"global_batch", "per_device", "sequence_length", "planned_steps"}
    if track.last is None and len(layout & set(reading.numbers)) < 2:
        return None
    logged = track.numbers(Place(str(path)))
    if track.batches and len(track.batches) > 1:
        reading.numbers.pop("global_batch", None)  # the argument is where the ramp ends, and no step's mean
    if len(reading.lengths) > 1:
        reading.numbers.pop("sequence_length", None)  # a curriculum: no one length makes the tokens
    elif reading.lengths:
        reading.numbers["sequence_length"] = Number.exact(min(reading.lengths), Place(str(path), None, "actual seqlen"))
    if "steps" in logged and "tokens" not in logged:
        logged |= olmo.tokens_at_the_end(reading, logged["steps"])
    numbers = {**reading.numbers, **logged}
    return FinishedRun(
        kind=reading.kind or "megatron",
        path=str(path),
        numbers=numbers,
        precision=reading.precision,
        changes_batch=len(track.batches) > 1,
        unlogged=unlogged_steps(track, numbers),
        segments=track.segments,
        overlaps=track.overlaps,
        gaps=track.gaps,
        further=reading.further,
        notes=tuple(_notes(reading)),
    )


def _notes(reading: LogReading) -> Iterator[str]:
    track = reading.track
    if track.last is None:
        yield "Only the arguments were found: no line tells of a step."
    if len(track.batches) > 1:
        smallest, largest = min(track.batches), max(track.batches)
        yield f"The batch changes: {smallest:,} to {largest:,} samples, so steps × batch is taken line by line."
    elif reading.ramps:
        yield "rampup_batch_size is set, and the batch does not change in the lines that were read."
    if len(reading.lengths) > 1:
        shortest, longest = min(reading.lengths), max(reading.lengths)
        yield f"The length changes: {shortest:,} to {longest:,} positions, so tokens are no samples × length."
    if reading.skipped:
        yield f"Iterations skipped, without an update: {reading.skipped:,}. Their samples are drawn and not trained."
    if reading.nan:
        yield f"Iterations whose loss was no number: {reading.nan:,}."
    for name, values in reading.changed.items():
        yield f"{name.replace('_', ' ')} changes between starts: {', then '.join(values[:10])}. The last one is used."
    yield from notes_of_track(track)
