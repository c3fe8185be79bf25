"""Text files: a document is a line, a block between blank lines, or the whole file. `.gz` and `.zst` are unpacked."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from io import BufferedReader, RawIOBase, StringIO
from pathlib import Path
from typing import Literal, cast

from dist_epochs.corpus.document import LARGEST_DOCUMENT, BadDocument, too_large
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import named_errors

__all__ = ["DocumentMode", "lines_before", "read_lines", "read_text"]

DocumentMode = Literal["line", "paragraph", "file"]
"""What a document of a text file is: a line, a block between blank lines, or the whole file."""

MOST_LINES = 2**20
"""Lines of the longest document that is read: as many as a book shelf has, and read in seconds."""

BYTES_SKIPPED_AT_ONCE = 2**20
"""Bytes of a line that are read at once where they are not kept."""


def read_lines(
    path: Path, largest: int = LARGEST_DOCUMENT, start: int = 0, stop: int = 0
) -> Iterator[tuple[int, str | BadDocument]]:
    """Lines of a file (or of a stretch of it), numbered from 1, without their ends.

    Args:
        path: The file.
        largest: Bytes of the longest line that is read; no more than these are in memory.
        start: Byte before which no line begins; of a file that is packed, 0.
        stop: Byte before which each line begins; 0 for the end.
    """
    with named_errors(path), _opened(path) as file:
        at = _seek_line(file, start) if start else 0
        number = 0
        try:
            while (not stop or at < stop) and (line := file.readline(largest + 2)):
                number += 1
                yield number, _decoded(line, path, number, largest, is_first=not at)
                at += len(line)
                if len(line) == largest + 2 and not line.endswith(b"\n"):
                    at += _skip_line(file)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(f"damaged or cut gzip file: {error}", origin=Origin(str(path), number + 1)) from None
        except OSError as error:
            if not path.name.endswith(".zst") or error.errno is not None:
                raise
            raise InputError(f"damaged or cut zstd file: {error}", origin=Origin(str(path), number + 1)) from None


def _seek_line(file: BufferedReader, start: int) -> int:
    """Go to the first line that begins at a byte or later; returns where that is."""
    file.seek(start - 1)
    return start - 1 + _skip_line(file)


def _skip_line(file: BufferedReader) -> int:
    """Go to the next line; returns the bytes until there."""
    skipped = 0
    while line := file.readline(BYTES_SKIPPED_AT_ONCE):
        skipped += len(line)
        if line.endswith(b"\n"):
            break
    return skipped


def lines_before(path: Path, document: DocumentMode, start: int) -> int:
    """Lines of a file before the first that belongs to the stretch that begins at a byte."""
    count = 0
    with path.open("rb") as file:
        at = _after_blank_line(path, start) if document == "paragraph" else _seek_line(file, start)
        file.seek(0)
        while at > 0 and (piece := file.read(min(at, BYTES_SKIPPED_AT_ONCE))):
            count += piece.count(b"\n")
            at -= len(piece)
    return count


def _opened(path: Path) -> BufferedReader:
    if path.name.endswith(".zst"):
        import pyarrow  # it unpacks zstd, and whoever tokenizes has it

        return BufferedReader(cast(RawIOBase, pyarrow.input_stream(str(path), compression="zstd")))
    if not path.name.endswith(".gz"):
        return path.open("rb")
    return BufferedReader(cast(RawIOBase, gzip.open(path)))  # its own `readline` takes four times as long


def _decoded(line: bytes, path: Path, number: int, largest: int, is_first: bool) -> str | BadDocument:
    if len(line) > largest and len(line.rstrip(b"\r\n")) > largest:
        return too_large(Origin(str(path), number), f"{largest // 2**20} MiB")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return BadDocument(
            f"not UTF-8: {error.reason} at byte {error.start} of the line", origin=Origin(str(path), number)
        )
    return (text.removeprefix("\ufeff") if is_first else text).rstrip("\r\n")


def read_text(path: Path, document: DocumentMode, start: int = 0, stop: int = 0) -> Iterator[str | BadDocument]:
    """The documents of a text file, or of a stretch of it.

    Args:
        path: The file.
        document: What a document is.
        start: A byte: a stretch begins with the document after the first border (a line's end, or a blank line) there.
        stop: Byte before which that border must be for the last one; 0 for the end.
    """
    if document == "line":
        for _, line in read_lines(path, start=start, stop=stop):
            yield line
        return
    if start or stop:
        start, stop = (_after_blank_line(path, at) for at in (start, stop))
        if start == stop:
            return
    text: StringIO | None = None  # a list of short lines would take 20 times their size
    lines = 0
    is_broken = False
    for number, line in read_lines(path, start=start, stop=stop):
        if document == "paragraph" and isinstance(line, str) and not line.strip():
            if text:
                yield text.getvalue()
            text, lines, is_broken = None, 0, False
        elif not is_broken:
            lines += 1
            if isinstance(line, str):
                text = text or StringIO()
                text.write(f"\n{line}" if lines > 1 else line)
                if text.tell() <= LARGEST_DOCUMENT and lines <= MOST_LINES:
                    continue
                line = too_large(Origin(str(path), number), f"{LARGEST_DOCUMENT // 2**20} MiB or {MOST_LINES:,} lines")
            yield line
            text, is_broken = None, True
    if text:
        yield text.getvalue()
    elif document == "file" and not is_broken:
        yield ""


def _after_blank_line(path: Path, at: int) -> int:
    """Where the first blank line that begins at a byte or later ends; 0 and the end of the file stay as they are."""
    if not at:
        return 0
    with path.open("rb") as file:
        place = _seek_line(file, at)
        while line := file.readline(BYTES_SKIPPED_AT_ONCE):
            place += len(line)
            is_blank = line.endswith(b"\n") and not line.decode("utf-8", "replace").strip()
            if not line.endswith(b"\n"):
                place += _skip_line(file)
            if is_blank:
                return place
    return place
