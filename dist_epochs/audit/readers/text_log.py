"""Text logs, read line by line.

Megatron-LM and GPT-NeoX are in `megatron.py`, NeMo 2 in `nemo.py`, OLMo in `olmo.py`, the console of the Hugging Face
Trainer in `hf_console.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from dist_epochs.audit.readers import megatron, nemo, olmo
from dist_epochs.audit.readers.hf_console import Console
from dist_epochs.audit.readers.log_reading import LogReading
from dist_epochs.audit.readers.record import FinishedRun, Number, Place
from dist_epochs.audit.readers.timeline import MOST_KEPT, Track
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.files import open_file

__all__ = ["MOST_UNKNOWN", "read_text_log"]

LONGEST_LINE = 1 << 16
"""Bytes read at once; a longer line is not a log line, and its rest counts as lines of its own."""

MOST_UNENDED = 1 << 24
"""Bytes without the end of a line, NUL bytes that a crash left included, after which a file is no log."""
MOST_UNKNOWN = 1 << 25
"""Bytes within which a line that is known must come."""

_SPECIAL = re.compile(rb"[\0\x08\x1b]|\r(?!\n)")
_NO_TEXT = re.compile(rb"\0|\x1b\[[0-9;:?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_ENDS = re.compile(rb"[\r\n\x08]+")
"""What a terminal is told beside text, and where it goes back to write over what stands there."""


def read_text_log(path: Path) -> FinishedRun | None:
    """Read a log; None if no line of it is one that is known.

    The file is streamed: memory does not grow with it. NUL bytes, colours and bytes of other encodings are passed over;
    a line that ends in the middle counts as far as its last bar. What is written over itself, by carriage returns or
    backspaces, is a line each time; its number is that of the line of the file it stands in.

    Raises:
        OSError: If it cannot be read.
    """
    reading, console, unknown = LogReading(str(path)), Console(str(path)), MOST_UNKNOWN
    for at, line in _lines(path):
        if unknown > 0 and (unknown := unknown - len(line)) <= 0 and not reading.numbers and not console.calls:
            return None
        if b"iteration" in line:
            if nemo.is_iteration(line):
                nemo.read_iteration(reading, line, at)
            else:
                megatron.read_iteration(reading, line, at)
        elif b" ..." in line or b" .. " in line or megatron.OF_DEEPSPEED in line:
            megatron.read_argument(reading, line, at)
        elif b"[step=" in line or b"throughput/total_tokens=" in line:
            olmo.read_step(reading, line, at)
        else:
            console.read(line, at)
    olmo.close_step(reading)
    if reading.track.last is None and (run := console.finished(path)) is not None:
        return run  # beside it there may be arguments of DeepSpeed
    return _finished(reading, path)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Each line with its number in the file."""
    at, rest, unended = 1, b"", 0
    with open_file(path) as file:
        left = os.fstat(file.fileno()).st_size  # what is added from now on may have no end
        while left > 0 and (piece := file.readline(min(LONGEST_LINE, left))):
            left -= len(piece)
            ends = piece.endswith(b"\n")
            unended = 0 if ends or _ENDS.search(piece) else unended + len(piece)
            if unended > MOST_UNENDED:
                rule = f"its first {unended:,} bytes have no end of a line"
                raise InputError("this line is none of a log", rule=rule, origin=Origin(str(path), at))
            if rest or _SPECIAL.search(piece):
                *lines, rest = _ENDS.split(_NO_TEXT.sub(b"", rest + piece))
                yield from ((at, line) for line in lines)
                if len(rest) >= LONGEST_LINE:
                    yield at, rest
                    rest = b""
            elif ends:
                yield at, piece
            else:
                rest = piece
            at += ends
    if rest:
        yield at, rest


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
    numbers = {**reading.numbers, **logged}
    return FinishedRun(
        kind=reading.kind or "megatron",
        path=str(path),
        numbers=numbers,
        precision=reading.precision,
        changes_batch=len(track.batches) > 1,
        unlogged=_unlogged(track, numbers),
        segments=track.segments,
        overlaps=track.overlaps,
        gaps=track.gaps,
        notes=tuple(_notes(reading)),
    )


def _unlogged(track: Track, numbers: Mapping[str, Number]) -> int:
    """Steps that may have followed the last line, up to those that were planned."""
    planned = numbers.get("planned_steps")
    if track.last is None:
        return 0
    left = int(planned.value) - track.last.step if planned else track.stride - 1
    return max(min(track.stride - 1, left), 0)


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
    if track.repeated:
        yield f"Lines that repeat the step before them: {track.repeated:,}. Several ranks print; each step counts once."
    if track.is_ragged:
        yield f"More than {MOST_KEPT:,} segments: the log is garbled, or holds several runs."
    if track.stride > 1 and len(track.segments) > 1:
        yield f"A line every {track.stride:,} steps: where segments begin is known to {track.stride:,} steps."
