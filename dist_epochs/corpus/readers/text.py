"""Text files: a document is a line, a block between blank lines, or the whole file. `.gz` is unpacked."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import BinaryIO, Literal, cast

from dist_epochs.corpus.readers.document import LARGEST_DOCUMENT, BadDocument, too_large
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import named_errors

__all__ = ["DocumentMode", "read_lines", "read_text"]

DocumentMode = Literal["line", "paragraph", "file"]
"""What a document of a text file is: a line, a block between blank lines, or the whole file."""

BYTES_SKIPPED_AT_ONCE = 2**20
"""Bytes of a line that are read at once where they are not kept."""


def read_lines(path: Path, largest: int = LARGEST_DOCUMENT) -> Iterator[tuple[int, str | BadDocument]]:
    """Lines of a file, numbered from 1, without their ends.

    Args:
        path: The file.
        largest: Bytes of the longest line that is read; no more than these are in memory.
    """
    with named_errors(path), cast(BinaryIO, gzip.open(path)) if path.name.endswith(".gz") else path.open("rb") as file:
        number = 0
        try:
            while line := file.readline(largest + 2):
                number += 1
                yield number, _decoded(line, Origin(str(path), number), largest)
                if len(line) == largest + 2:
                    while not line.endswith(b"\n") and (line := file.readline(BYTES_SKIPPED_AT_ONCE)):
                        pass
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(f"damaged or cut gzip file: {error}", origin=Origin(str(path), number + 1)) from None


def _decoded(line: bytes, origin: Origin, largest: int) -> str | BadDocument:
    if len(line) > largest and len(line.rstrip(b"\r\n")) > largest:
        return too_large(origin, largest)
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return BadDocument(f"not UTF-8: {error.reason} at byte {error.start} of the line", origin=origin)
    return (text.removeprefix("\ufeff") if origin.line == 1 else text).rstrip("\r\n")


def read_text(path: Path, document: DocumentMode) -> Iterator[str | BadDocument]:
    """The documents of a text file."""
    if document == "line":
        for _, line in read_lines(path):
            yield line
        return
    text: StringIO | None = None  # a list of short lines takes 20 times their size
    broken: BadDocument | None = None
    for number, line in read_lines(path):
        if isinstance(line, BadDocument):
            broken = broken or line
        elif document == "paragraph" and not line.strip():
            if broken:
                yield broken
            elif text:
                yield text.getvalue()
            text = broken = None
        elif not broken:
            text = text or StringIO()
            text.write(f"\n{line}" if text.tell() else line)
            if text.tell() > LARGEST_DOCUMENT:
                broken = too_large(Origin(str(path), number))
        if broken:
            text = None
    if broken:
        yield broken
    elif text:
        yield text.getvalue()
    elif document == "file":
        yield ""
