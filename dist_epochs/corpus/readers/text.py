"""Text files: a document is a line, a block between blank lines, or the whole file. `.gz` and `.zst` are unpacked."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from io import BufferedReader, FileIO, RawIOBase, StringIO
from pathlib import Path
from typing import Literal, cast

from dist_epochs.corpus.input.document import LARGEST_DOCUMENT, BadDocument, too_large
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import named_errors

__all__ = ["DocumentMode", "lines_before", "read_lines", "read_text"]

DocumentMode = Literal["line", "paragraph", "file"]
"""What a document of a text file is: a line, a block between blank lines, or the whole file."""

MOST_LINES = 2**20
"""Lines of the longest document that is read: as many as a book shelf has, and read in seconds."""

BYTES_AT_ONCE = 2**20
"""Bytes that are read at once, where a line is not longer."""


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
        damage: Exception | None = None
        while damage is None and (not stop or at < stop):
            data, damage = _some_lines(file, min(BYTES_AT_ONCE, stop - at) if stop else BYTES_AT_ONCE, largest)
            if data:
                lines = _decoded(data, path, number, largest, is_first=not at)
                yield from enumerate(lines, number + 1)
                number += len(lines)
                at += len(data)
                if len(data) > largest and not data.endswith(b"\n"):
                    at += _skip_line(file)
            elif damage is None:
                return
        if damage is not None:
            raise _told(damage, path, number + 1) from None


def _some_lines(file: BufferedReader, size: int, largest: int) -> tuple[bytes, Exception | None]:
    """The next lines, of about a size, and why no more can be read; a line that is too long is cut."""
    data = b""
    try:
        data = file.read1(size)
        if data and not data.endswith(b"\n"):
            data += file.readline(largest + 2)
    except (OSError, EOFError, zlib.error) as error:
        return data[: data.rfind(b"\n") + 1], error
    return data, None


def _told(error: Exception, path: Path, line: int) -> Exception:
    """An error of reading, as one of the file where it is damaged."""
    if isinstance(error, gzip.BadGzipFile | EOFError | zlib.error):
        kind = "gzip"
    elif path.name.endswith(".zst") and isinstance(error, OSError) and error.errno is None:
        kind = "zstd"
    else:
        return error
    return InputError(f"damaged or cut {kind} file: {error}", origin=Origin(str(path), line))


def _seek_line(file: BufferedReader, start: int) -> int:
    """Go to the first line that begins at a byte or later; returns where that is."""
    file.seek(start - 1)
    return start - 1 + _skip_line(file)


def _skip_line(file: BufferedReader) -> int:
    """Go to the next line; returns the bytes until there."""
    skipped = 0
    while line := file.readline(BYTES_AT_ONCE):
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
        while at > 0 and (piece := file.read(min(at, BYTES_AT_ONCE))):
            count += piece.count(b"\n")
            at -= len(piece)
    return count


def _opened(path: Path) -> BufferedReader:
    if path.name.endswith(".zst"):
        import pyarrow  # it unpacks zstd, and whoever tokenizes has it

        return BufferedReader(cast(RawIOBase, pyarrow.input_stream(str(path), compression="zstd")), BYTES_AT_ONCE)
    if not path.name.endswith(".gz"):
        return BufferedReader(FileIO(path), BYTES_AT_ONCE)
    return BufferedReader(
        cast(RawIOBase, gzip.open(path)), BYTES_AT_ONCE
    )  # its own `readline` takes four times as long


def _decoded(data: bytes, path: Path, number: int, largest: int, is_first: bool) -> list[str | BadDocument]:
    """Lines without their ends, or why one cannot be read; `number` of them came before."""
    lines: list[str | BadDocument]
    try:
        if len(data) > largest:
            raise ValueError("some line may be too long")
        lines = [*data.decode().split("\n")]
    except ValueError:  # also that some line is not UTF-8
        lines = [_line(line, path, at, largest) for at, line in enumerate(data.split(b"\n"), number + 1)]
    if data.endswith(b"\n"):
        lines.pop()
    if b"\r" in data:
        lines = [line.rstrip("\r") if isinstance(line, str) else line for line in lines]
    if is_first and isinstance(lines[0], str):
        lines[0] = lines[0].removeprefix("\ufeff")
    return lines


def _line(line: bytes, path: Path, number: int, largest: int) -> str | BadDocument:
    if len(line) > largest and len(line.rstrip(b"\r")) > largest:
        return too_large(Origin(str(path), number), f"{largest // 2**20} MiB")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        return BadDocument(
            f"not UTF-8: {error.reason} at byte {error.start} of the line", origin=Origin(str(path), number)
        )


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
        while line := file.readline(BYTES_AT_ONCE):
            place += len(line)
            is_blank = line.endswith(b"\n") and not line.decode("utf-8", "replace").strip()
            if not line.endswith(b"\n"):
                place += _skip_line(file)
            if is_blank:
                return place
    return place
