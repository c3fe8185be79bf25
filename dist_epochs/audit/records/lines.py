"""The lines of a text that programs wrote to a terminal, streamed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dist_epochs.audit.records.packed import open_run_file
from dist_epochs.errors import InputError, Origin

__all__ = ["lines_of"]

LONGEST_LINE = 1 << 16
"""Bytes read at once; a longer line is not a log line, and its rest counts as lines of its own."""

MOST_UNENDED = 1 << 24
"""Bytes without the end of a line, NUL bytes that a crash left included, after which a file is no log."""

_SPECIAL = re.compile(rb"[\0\x08\x1b]|\r(?!\n)")
_NO_TEXT = re.compile(rb"\0|\x1b\[[0-9;:?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_ENDS = re.compile(rb"[\r\n\x08]+")
"""What a terminal is told beside text, and where it goes back to write over what stands there."""


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Each line with its number in the file, from 1; a packed file is unpacked.

    NUL bytes, colours and bytes of other encodings are passed over. What is written over itself, by carriage returns or
    backspaces, is a line each time; its number is that of the line of the file it stands in.

    Raises:
        InputError: If the file cannot be read, or its bytes have no lines.
    """
    at, rest, unended = 1, b"", 0
    with open_run_file(path) as (file, left):
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
