"""The framing of TFRecord files.

Length (u64), masked CRC-32C of its 8 bytes, data, masked CRC-32C of the data, all little-endian. The checksum of
lengths is compared; that of the data is not, since in Python it is slow.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["record_length", "records"]

LARGEST_RECORD = 1 << 24
"""Bytes; larger ones are pictures and graphs."""

_HEAD = struct.Struct("<QI")


def record_length(head: bytes) -> int | None:
    """The length of a record by its first bytes, if their checksum is right."""
    if len(head) < _HEAD.size:
        return None
    length, checksum = _HEAD.unpack(head[: _HEAD.size])
    return length if _masked_crc(head[:8]) == checksum else None


def _masked_crc(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def records(file: BinaryIO) -> Iterator[bytes]:
    """The records, until the file ends.

    Raises:
        ValueError: If it is damaged, or ends inside a record.
    """
    while head := file.read(_HEAD.size):
        length = record_length(head)
        if length is None:
            raise ValueError("it ends inside the head of a record" if len(head) < 12 else "a checksum is wrong")
        if length > LARGEST_RECORD:  # a picture or a graph, which counts nothing
            while length > 0 and (piece := file.read(min(length, 1 << 20))):
                length -= len(piece)
            file.read(4)
            continue
        data = file.read(length)
        if len(data) < length or len(file.read(4)) < 4:
            raise ValueError("it ends inside a record")
        yield data
