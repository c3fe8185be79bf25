"""wandb's offline file `run-ID.wandb`, without wandb.

Framing: a file header of 7 bytes (`:W&B`, 0xBEE1 in little endian, version 0), then records as LevelDB's log has them.
The first block holds the file header.

Each record is a protobuf message `wandb_internal.Record`; the few fields that are needed are decoded here by their
numbers (wandb/proto/wandb_internal.proto, the same from 0.12 to 0.31).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from sys import intern
from typing import Any

from dist_epochs.audit.records.contents import HEAD_BYTES, refuse_unread_content
from dist_epochs.audit.records.leveldb import records
from dist_epochs.audit.records.packed import open_run_file
from dist_epochs.audit.records.protobuf import count_of, fields, parts, text_of
from dist_epochs.audit.records.record import FinishedRun, several_runs
from dist_epochs.audit.records.tracker_rows import KEYS, is_number, run_of_rows
from dist_epochs.errors import InputError, Origin

__all__ = ["MAGIC", "WandbFile", "read_wandb_file", "read_wandb_files"]

MAGIC = b":W&B"
_HEADER = struct.Struct("<4sHB")
MOST_ROWS = 1 << 22
"""Rows that are kept; more are no log of steps."""

HISTORY, SUMMARY, CONFIG, RUN, EXIT, ENVIRONMENT = 2, 3, 5, 17, 18, 26
"""Fields of Record that are read."""


@dataclass(slots=True)
class WandbFile:
    """What a file says, in the order it was written.

    Attributes:
        rows: Logged rows with their numbers, by key (nested keys are joined with a dot).
        config: The run's configuration, by key.
        summary: Its last values.
        run_id: wandb's name for the run.
        exit_code: How it ended; None if the file ends before.
        machine: Kind and number of the GPUs that wandb saw on the machine of this process.
        damage: Why reading ended before the end of the file.
    """

    rows: list[Mapping[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    exit_code: int | None = None
    machine: str | None = None
    damage: str | None = None


def read_wandb_file(path: Path, keys: frozenset[str] | None = None) -> WandbFile:
    """Read a file; one that was cut (kill -9) or damaged is read up to there.

    Args:
        path: The file.
        keys: What is kept of rows; None keeps every number. Rows without any of them are left out.

    Raises:
        InputError: If it does not begin as wandb's files do.
    """
    found = WandbFile()
    with open_run_file(path) as (file, _):
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size or head[:4] != MAGIC:
            refuse_unread_content(path, head + file.read(HEAD_BYTES))
            rule = f"it does not begin with {MAGIC.decode()} and a version"
            raise InputError("this is not a wandb file", rule=rule, origin=Origin(str(path)))
        if _HEADER.unpack(head)[1:] != (0xBEE1, 0):
            rule = f"its version is {head[4:].hex()}"
            raise InputError(
                "this is a wandb file of a version that is not known here", rule=rule, origin=Origin(str(path))
            )
        try:
            for record in records(file, _HEADER.size):
                _take(found, record, keys)
        except ValueError as error:
            found.damage = str(error)
    return found


def _is_numeric(value: object) -> bool:
    return isinstance(value, int | float)


def _items(data: bytes, number: int, keys: frozenset[str] | None = None) -> Iterator[tuple[str, Any]]:
    """Keys (field 1, or 2 for nested ones) and JSON values (field 16)."""
    for item in parts(data, number):
        nested = [part.decode("utf-8", errors="replace") for part in parts(item, 2)]
        key = ".".join(nested) or text_of(item, 1)
        text = text_of(item, 16) if keys is None or key in keys else None
        if key and text is not None:
            try:
                yield key, json.loads(text)
            except (ValueError, RecursionError):
                continue  # a value that is not JSON is not a count either


def _take(found: WandbFile, record: bytes, keys: frozenset[str] | None) -> None:
    for number, value in fields(record):
        if not isinstance(value, bytes):
            continue
        if number == HISTORY:
            keep = is_number if keys is not None else _is_numeric
            row = {intern(key): one for key, one in _items(value, 1, keys) if keep(one)}
            if row or keys is None:
                found.rows.append(row)
            if len(found.rows) > MOST_ROWS:
                raise ValueError(f"it has more than {MOST_ROWS:,} rows")
        elif number == SUMMARY:
            found.summary |= dict(_items(value, 1))
        elif number == CONFIG:
            found.config |= dict(_items(value, 1))
        elif number == RUN:
            found.run_id = text_of(value, 1) or found.run_id
            for config in parts(value, 4):
                found.config |= dict(_items(config, 1))
        elif number == EXIT:
            found.exit_code = count_of(value, 1) or 0
        elif number == ENVIRONMENT:
            kind, count = text_of(value, 18), count_of(value, 19)
            found.machine = f"{count} × {kind}" if kind and count else found.machine


def read_wandb_files(paths: Sequence[Path], title: str) -> FinishedRun:
    """Read the offline files of one run, one for each of its starts.

    Raises:
        InputError: If they belong to several runs, or none counts anything.
    """
    files = sorted(((path, read_wandb_file(path, KEYS)) for path in paths), key=lambda pair: pair[0].parent.name)
    names = {found.run_id or path.stem for path, found in files}
    if len(names) > 1:
        raise several_runs(f"files of {len(names)} wandb runs", sorted(names), title)
    starts = [0, *accumulate(len(found.rows) for _, found in files[:-1])]
    rows = [row for _, found in files for row in found.rows]
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    for _, found in files:
        config |= found.config
        summary |= found.summary
    notes = [note for path, found in files for note in _file_notes(path, found)]
    is_cut = any(found.damage or found.exit_code is None for _, found in files)
    return run_of_rows(rows, config, summary, name=title, starts=starts, notes=notes, is_cut=is_cut)


def _file_notes(path: Path, found: WandbFile) -> Iterator[str]:
    if found.damage:
        yield f"{path.name}: read up to its damage: {found.damage}. What was logged after it is not here."
    elif found.exit_code is None:
        yield f"{path.name}: it has no end: the run was killed, or still runs. The last seconds of rows may be missing."
    elif found.exit_code:
        yield f"{path.name}: the run ended with exit code {found.exit_code}."
    if found.machine:
        yield f"{path.name}: its machine had {found.machine}; how many machines there were, wandb does not say."
