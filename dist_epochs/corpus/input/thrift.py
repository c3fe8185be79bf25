"""Thrift's compact encoding, as far as its fields have numbers: no library, and no definition.

pyarrow reads the footer of a Parquet file too, and ends the program where what it says of a column is damaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["read_struct"]

DEEPEST = 20
"""Structures inside each other, more than Parquet has."""


def read_struct(data: bytes) -> dict[int, Any]:
    """The values of a structure by the numbers of their fields: numbers, bytes, lists, and structures as such again.

    Raises:
        ValueError: If it is none.
    """
    try:
        return _Reader(data).struct(0)
    except IndexError:
        raise ValueError("it ends inside a field") from None


@dataclass(slots=True)
class _Reader:
    data: bytes
    at: int = 0

    def struct(self, depth: int) -> dict[int, Any]:
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            found[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth + 1)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if depth > DEEPEST:
            raise ValueError("structures inside each other without an end")
        match kind:
            case 1 | 2 | 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._signed()
            case 7:
                return self._bytes(8)
            case 8:
                return self._bytes(self._number())
            case 9 | 10:
                head = self._byte()
                size = self._number() if head >> 4 == 15 else head >> 4
                return [self._value(head & 15, depth + 1) for _ in range(size)]
            case 12:
                return self.struct(depth)
        raise ValueError(f"a field of kind {kind}")

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _bytes(self, size: int) -> bytes:
        self.at += size
        if self.at > len(self.data):
            raise ValueError("it ends inside a field")
        return self.data[self.at - size : self.at]

    def _number(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def _signed(self) -> int:
        value = self._number()
        return (value >> 1) ^ -(value & 1)
