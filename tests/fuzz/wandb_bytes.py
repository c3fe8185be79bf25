"""wandb's offline file from plain data, to be read back: framing, checksums and the few fields that count."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any
from zlib import crc32

BLOCK, HEADER = 32 * 1024, struct.Struct("<IHB")


def _varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _part(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _items(values: Any) -> bytes:
    pairs = values.items() if isinstance(values, Mapping) else ()
    return b"".join(
        _part(1, _part(1, str(key).encode(errors="replace")) + _part(16, _text(value))) for key, value in pairs
    )


def _text(value: Any) -> bytes:
    return value.raw.encode() if hasattr(value, "raw") else json.dumps(value).encode()


def wandb_bytes(data: Mapping[str, Any]) -> bytes:
    """A file of a run.

    Args:
        data: `run` (its name), `config`, `rows`, `summary` and `exit`.
    """
    rows = data.get("rows")
    records = [
        _part(17, _part(1, str(data.get("run")).encode(errors="replace")) + _part(4, _items(data.get("config")))),
        *(_part(2, _items(row)) for row in (rows if isinstance(rows, list) else ())),
        _part(3, _items(data.get("summary"))),
    ]
    if isinstance(data.get("exit"), int) and not isinstance(data.get("exit"), bool):
        records.append(_part(18, _varint(1 << 3) + _varint(data["exit"] & (1 << 31) - 1)))
    return b":W&B" + struct.pack("<HB", 0xBEE1, 0) + _framed(records)


def _framed(records: Iterable[bytes]) -> bytes:
    out, at = bytearray(), 7
    for record in records:
        begun = False
        while True:
            left = BLOCK - at % BLOCK
            if left < HEADER.size:
                out += bytes(left)
                at += left
                continue
            piece, record = record[: left - HEADER.size], record[left - HEADER.size :]
            kind = (3 if record else 4) if begun else (2 if record else 1)
            out += HEADER.pack(crc32(piece, crc32(bytes([kind]))), len(piece), kind) + piece
            at += HEADER.size + len(piece)
            begun = True
            if not record:
                break
    return bytes(out)
