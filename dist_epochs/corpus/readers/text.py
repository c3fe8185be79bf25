"""Text files: a document is a line, a block between blank lines, or the whole file. `.gz` is unpacked."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, cast

from dist_epochs.corpus.readers.document import BadDocument
from dist_epochs.errors import InputError, Origin

__all__ = ["DocumentMode", "read_lines", "read_text"]

DocumentMode = Literal["line", "paragraph", "file"]
"""What a document of a text file is: a line, a block between blank lines, or the whole file."""


def read_lines(path: Path) -> Iterator[tuple[int, str | BadDocument]]:
    """Lines of a file, numbered from 1, without their ends."""
    with cast(BinaryIO, gzip.open(path)) if path.name.endswith(".gz") else path.open("rb") as file:
        try:
            for number, line in enumerate(file, 1):
                try:
                    text = line.decode("utf-8")
                except UnicodeDecodeError as error:
                    reason = f"not UTF-8: {error.reason} at byte {error.start} of the line"
                    yield number, BadDocument(reason, origin=Origin(str(path), number))
                    continue
                yield number, (text.removeprefix("\ufeff") if number == 1 else text).rstrip("\r\n")
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(f"damaged or cut gzip file: {error}", origin=Origin(str(path))) from None


def read_text(path: Path, document: DocumentMode) -> Iterator[str | BadDocument]:
    """The documents of a text file."""
    if document == "line":
        for _, line in read_lines(path):
            yield line
        return
    paragraph: list[str] = []
    broken: BadDocument | None = None
    for _, line in read_lines(path):
        if isinstance(line, BadDocument):
            broken = broken or line
        elif document == "paragraph" and not line.strip():
            if broken or paragraph:
                yield broken or "\n".join(paragraph)
            paragraph, broken = [], None
        else:
            paragraph.append(line)
    if broken or paragraph or document == "file":
        yield broken or "\n".join(paragraph)
