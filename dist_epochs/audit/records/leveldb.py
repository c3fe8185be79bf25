"""The log format of LevelDB (doc/log_format.md) with the plain CRC-32 of zlib, as wandb writes it (measured with 0.31).

Blocks of 32 KiB hold records of a 7-byte header (checksum of type and data, length, type: full, first, middle, last).
LevelDB's own checksum is a masked CRC-32C.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO
from zlib import crc32

__all__ = ["records"]

BLOCK = 32 * 1024
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
LARGEST_RECORD = 1 << 22
"""Bytes; larger ones (tables, media) hold no counts."""

_HEAD = struct.Struct("<IHB")


def records(file: BinaryIO, at: int) -> Iterator[bytes]:
    """Whole records, their parts joined, until the file ends.

    Args:
        file: The file, behind its own header.
        at: The length of that header, which is in the first block.

    Raises:
        ValueError: If it is damaged, or ends inside a record: the rest of it cannot be trusted.
    """
    pieces: list[bytes] = []
    size = 0
    for kind, data, begins in _pieces(file, at):
        if kind in (FULL, FIRST):
            if pieces:
                raise ValueError(f"at byte {begins:,} a record begins inside another")
            size = 0
        elif kind not in (MIDDLE, LAST) or not pieces:
            raise ValueError(f"at byte {begins:,} a record goes on that never began")
        size += len(data)
        pieces.append(data if size <= LARGEST_RECORD else b"")
        if kind in (FULL, LAST):
            if size <= LARGEST_RECORD:
                yield b"".join(pieces)
            pieces = []
    if pieces:
        raise ValueError("the last record has no end")


def _pieces(file: BinaryIO, at: int) -> Iterator[tuple[int, bytes, int]]:
    """Type, data and place of each piece; none crosses a block."""
    while True:
        left = BLOCK - at % BLOCK
        if left < _HEAD.size:
            file.read(left)  # zeros up to the end of the block
            at += left
            continue
        head = file.read(_HEAD.size)
        if not head:
            return
        if len(head) < _HEAD.size:
            raise ValueError(f"at byte {at:,} the file ends in the header of a record")
        checksum, length, kind = _HEAD.unpack(head)
        if checksum == length == kind == 0:  # space that was taken and never written
            raise ValueError(f"at byte {at:,} zeros follow")
        if length > left - _HEAD.size:
            raise ValueError(f"at byte {at:,} a record is longer than its block")
        data = file.read(length)
        if len(data) < length:
            raise ValueError(f"at byte {at:,} the file ends inside a record")
        if crc32(data, crc32(bytes([kind]))) != checksum:
            raise ValueError(f"at byte {at:,} the checksum of a record is wrong")
        yield kind, data, at
        at += _HEAD.size + length
