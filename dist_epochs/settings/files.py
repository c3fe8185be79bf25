"""The one way in which a file that somebody gave is opened: it is a file, it ends, and it is not larger than it can be.

A path may lead to a device that never ends, to a pipe that nobody writes to, or to a file that grows while it is read.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from pathlib import Path
from typing import BinaryIO

from dist_epochs.errors import InputError, Origin, close_matches

__all__ = ["open_file", "read_bytes", "read_utf8", "refuse_name"]

AT_ONCE = 1 << 20
"""Bytes that are read at once."""

PATIENCE = 3.0
"""Seconds within which a pipe must have given all that it holds."""


def open_file(path: Path) -> BinaryIO:
    """Open a file to read its bytes; whoever reads it sets the bound.

    Raises:
        InputError: If there is none, it may not be read, or it is a folder, a pipe or a device.
    """
    if not stat.S_ISREG(_mode(path)):
        raise _no_file(path)
    return path.open("rb")


def read_bytes(path: Path, most: int, what: str, *, pipes: bool = False) -> bytes:
    """All of a file.

    Args:
        path: The file.
        most: Bytes that such a file has at most.
        what: What it is, for messages: `a recipe`.
        pipes: Whether it may be a pipe too, as in `plan <(…)`: one that gives everything in a few seconds.

    Raises:
        InputError: If it cannot be read, or is larger.
    """
    mode = _mode(path)
    try:
        if stat.S_ISFIFO(mode) and pipes:
            content = _from_pipe(path, most)
        else:
            with open_file(path) as file:
                content = _at_most(file, most)
    except OSError as error:
        raise InputError(error.strerror or "it cannot be read", origin=Origin(str(path))) from None
    if len(content) > most:
        raise InputError(
            f"more than {most / 10**6:,.0f} MB, and {what} is smaller",
            fixes="another file, if this is not the one that is meant",
            origin=Origin(str(path)),
        )
    return content


def read_utf8(path: Path, most: int, what: str, *, pipes: bool = False) -> str:
    """All of a text file, of which a first byte order mark is left out.

    Raises:
        InputError: If it cannot be read, is larger, or is not UTF-8, with its line.
    """
    raw = read_bytes(path, most, what, pipes=pipes)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError("not UTF-8 text", fixes="saving it as UTF-8", origin=Origin(str(path), line)) from None


def refuse_name(name: str) -> None:
    """Refuse what no file can be called.

    Raises:
        InputError: If a name has a NUL, or half of a character.
    """
    try:
        usable = b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise InputError(f"{name!r} is not a name of a file", rule="it has a NUL, or half of a character")


def _mode(path: Path) -> int:
    """What stands there: the type of a file.

    Raises:
        InputError: If nothing does, or the name cannot be one.
    """
    origin = Origin(str(path))
    try:
        refuse_name(str(path))
        return path.stat().st_mode
    except FileNotFoundError:
        names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        similar = [str(path.parent / name) for name in close_matches(path.name, names)]
        raise InputError("no such file", fixes=similar, origin=origin) from None
    except OSError as error:
        raise InputError(error.strerror or "it cannot be read", origin=origin) from None
    except InputError:
        raise InputError("no name of a file", origin=origin) from None


def _no_file(path: Path) -> InputError:
    if path.is_dir():
        return InputError(os.strerror(errno.EISDIR), origin=Origin(str(path)))
    return InputError(
        "this is no file: a pipe or a device may never end", fixes="writing it to a file", origin=Origin(str(path))
    )


def _at_most(file: BinaryIO, most: int) -> bytes:
    """What a file holds, or one byte more than it may."""
    pieces, left = [], most + 1
    while left and (piece := file.read(min(AT_ONCE, left))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _from_pipe(path: Path, most: int) -> bytes:
    """What a pipe gives until its writer closes it."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        pieces, left, until = [], most + 1, time.monotonic() + PATIENCE
        while left:
            ready, _, _ = select.select([handle], [], [], max(until - time.monotonic(), 0))
            if not ready:
                rule = f"a pipe is read for {PATIENCE:g} seconds"
                raise InputError("the pipe did not end", rule=rule, origin=Origin(str(path)))
            piece = os.read(handle, min(AT_ONCE, left))
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)
    finally:
        os.close(handle)
