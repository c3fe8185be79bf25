"""Protobuf messages, as far as their fields have numbers: no library, and no definition."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["count_of", "fields", "parts", "text_of"]

VARINT, LONG, BYTES, SHORT = 0, 1, 2, 5
"""Wire types."""


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a message.

    Raises:
        ValueError: If it is none.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == BYTES:
            length, at = _varint(data, at)
        elif wire in (LONG, SHORT):
            length = 8 if wire == LONG else 4
        else:
            raise ValueError(f"a record has a field of wire type {wire}")
        if at + length > len(data):
            raise ValueError("a record ends inside a field")
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
    raise ValueError("a record ends inside a number")


def parts(data: bytes, number: int) -> Iterator[bytes]:
    """The messages and texts of one field."""
    yield from (value for found, value in fields(data) if found == number and isinstance(value, bytes))


def text_of(data: bytes, number: int) -> str | None:
    """The first text of one field."""
    return next((value.decode("utf-8", errors="replace") for value in parts(data, number)), None)


def count_of(data: bytes, number: int) -> int | None:
    """The first whole number of one field."""
    return next((value for found, value in fields(data) if found == number and isinstance(value, int)), None)
