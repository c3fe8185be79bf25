"""Files of runs as they are, or packed by gzip, xz, bzip2 or zstd: unpacked while they are read, up to a bound."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.files import open_file

__all__ = ["ENDINGS", "MOST_UNPACKED", "open_run_file", "plain_name", "read_head", "read_text", "read_whole"]

MOST_UNPACKED = 1 << 36
"""Bytes that come out of a packed file at most; more is no log, but a file made to fill a disk."""

SUFFIXES = {b"\x1f\x8b": ".gz", b"\xfd7zXZ\x00": ".xz", b"BZh": ".bz2", b"\x28\xb5\x2f\xfd": ".zst"}
"""How packed files begin, and how their names end."""

UNPACKERS: Mapping[str, Callable[[BinaryIO], Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}

ENDINGS = tuple(SUFFIXES.values())

DAMAGED = (EOFError, OSError, lzma.LZMAError, zlib.error, ValueError)
"""What unpackers raise of a file that is cut or damaged."""


def plain_name(path: Path) -> str:
    """The name without the ending of a packed file."""
    return path.stem if path.suffix in ENDINGS else path.name


@contextmanager
def open_run_file(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file of a run to read its bytes, unpacked; and tell how many there are at most.

    What is added to a file while it is read may have no end.

    Raises:
        InputError: If it is no file, or is packed by zstd and zstandard is not installed; while it is read, if it is
            packed and damaged, or unpacks to more than a log is.
    """
    with open_file(path) as raw:
        kind = next((end for mark, end in SUFFIXES.items() if raw.peek(8).startswith(mark)), None)  # type: ignore[attr-defined]
        if kind is None:
            yield raw, os.fstat(raw.fileno()).st_size
            return
        yield cast(BinaryIO, io.BufferedReader(_Unpacked(_unpacker(raw, kind, path), kind, path))), MOST_UNPACKED


def _unpacker(raw: BinaryIO, kind: str, path: Path) -> Any:
    if kind in UNPACKERS:
        return UNPACKERS[kind](raw)
    try:
        import zstandard  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError:
        raise InputError(
            "this file is packed by zstd, and zstandard is not installed",
            fixes=["pip install 'dist-epochs[zstd]'", f"unzstd {path.name}, then the file that comes out"],
            origin=Origin(str(path)),
        ) from None
    return zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(raw, read_across_frames=True)


class _Unpacked(io.RawIOBase):
    """What an unpacker gives, up to the bound."""

    def __init__(self, inner: Any, kind: str, path: Path) -> None:
        self._inner, self._kind, self._origin, self._left = inner, kind, Origin(str(path)), MOST_UNPACKED

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._inner.read(len(buffer))
        except Exception as error:  # each unpacker has errors of its own
            if not isinstance(error, DAMAGED) and type(error).__name__ != "ZstdError":
                raise
            rule = str(error).strip() or "it ends too early"
            raise InputError(f"this {self._kind[1:]} file is cut or damaged", rule=rule, origin=self._origin) from None
        self._left -= len(data)
        if self._left < 0:
            rule = f"at most {MOST_UNPACKED / 10**9:.0f} GB are read"
            raise InputError("this file unpacks to more than a log is", rule=rule, origin=self._origin)
        buffer[: len(data)] = data
        return len(data)


def read_head(path: Path, most: int) -> bytes:
    """The first bytes of a file, unpacked."""
    with open_run_file(path) as (file, _):
        return file.read(most)


def read_whole(path: Path, most: int, what: str) -> bytes:
    """All of a file, unpacked.

    Raises:
        InputError: If it cannot be read, or is larger.
    """
    with open_run_file(path) as (file, _):
        content = file.read(most + 1)
    if len(content) > most:
        rule = f"it has more than {most / 10**6:,.0f} MB"
        raise InputError(f"this is larger than {what} is", rule=rule, origin=Origin(str(path)))
    return content


def read_text(path: Path, most: int, what: str) -> str:
    """All of a text file, unpacked.

    Raises:
        InputError: If it cannot be read, is larger, or is not UTF-8.
    """
    content = read_whole(path, most, what)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"this is not {what}: it is not UTF-8 text", origin=Origin(str(path), line)) from None
