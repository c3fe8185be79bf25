"""wandb's offline file `run-ID.wandb`, without wandb.

Framing: a file header of 7 bytes (`:W&B`, 0xBEE1 in little endian, version 0), then the log format of LevelDB
(doc/log_format.md): blocks of 32 KiB with records of a 7-byte header (checksum of type and data, length, type: full,
first, middle, last). LevelDB's checksum is a masked CRC-32C; wandb's is the plain CRC-32 of zlib (measured with 0.31).
The first block holds the file header.

Each record is a protobuf message `wandb_internal.Record`; the few fields that are needed are decoded here by their
numbers (wandb/proto/wandb_internal.proto, the same from 0.12 to 0.31).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from typing import Any, BinaryIO
from zlib import crc32

from dist_epochs.arithmetic.quantity import LARGEST
from dist_epochs.audit.readers.contents import HEAD_BYTES, refuse_unread_content
from dist_epochs.audit.readers.packed import open_run_file
from dist_epochs.audit.readers.protobuf import count_of, fields, parts, text_of
from dist_epochs.errors import InputError, Origin

__all__ = ["MAGIC", "WandbFile", "is_number", "read_wandb_file"]

MAGIC = b":W&B"
_HEADER = struct.Struct("<4sHB")
_RECORD = struct.Struct("<IHB")
BLOCK = 32 * 1024
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
MOST_ROWS = 1 << 22
"""Rows that are kept; more are no log of steps."""
LARGEST_RECORD = 1 << 22
"""Bytes; larger ones (tables, media) hold no counts."""

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
            for record in _records(file):
                _take(found, record, keys)
        except (_DamageError, ValueError) as error:
            found.damage = str(error)
    return found


def is_number(value: object) -> bool:
    """Whether a logged value may be a counter: a number that is finite, and no larger than what is counted."""
    return type(value) in (int, float) and -LARGEST <= value <= LARGEST  # type: ignore[operator]


def _is_numeric(value: object) -> bool:
    return isinstance(value, int | float)


class _DamageError(Exception):
    """The rest of the file cannot be trusted."""


def _records(file: BinaryIO) -> Iterator[bytes]:
    """Whole records, their parts joined."""
    pieces: list[bytes] = []
    size = 0
    for kind, data, at in _pieces(file):
        if kind in (FULL, FIRST):
            if pieces:
                raise _DamageError(f"at byte {at:,} a record begins inside another")
            pieces, size = [], 0
        elif kind not in (MIDDLE, LAST) or not pieces:
            raise _DamageError(f"at byte {at:,} a record goes on that never began")
        size += len(data)
        pieces.append(data if size <= LARGEST_RECORD else b"")
        if kind in (FULL, LAST):
            if size <= LARGEST_RECORD:
                yield b"".join(pieces)
            pieces = []
    if pieces:
        raise _DamageError("the last record has no end")


def _pieces(file: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Type, data and place of each piece; none crosses a block."""
    at = _HEADER.size
    while True:
        left = BLOCK - at % BLOCK
        if left < _RECORD.size:
            file.read(left)  # zeros up to the end of the block
            at += left
            continue
        head = file.read(_RECORD.size)
        if not head:
            return
        if len(head) < _RECORD.size:
            raise _DamageError(f"at byte {at:,} the file ends in the header of a record")
        checksum, length, kind = _RECORD.unpack(head)
        if checksum == length == kind == 0:  # space that was taken and never written
            raise _DamageError(f"at byte {at:,} zeros follow")
        if length > left - _RECORD.size:
            raise _DamageError(f"at byte {at:,} a record is longer than its block")
        data = file.read(length)
        if len(data) < length:
            raise _DamageError(f"at byte {at:,} the file ends inside a record")
        if crc32(data, crc32(bytes([kind]))) != checksum:
            raise _DamageError(f"at byte {at:,} the checksum of a record is wrong")
        yield kind, data, at
        at += _RECORD.size + length


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
                raise _DamageError(f"it has more than {MOST_ROWS:,} rows")
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
