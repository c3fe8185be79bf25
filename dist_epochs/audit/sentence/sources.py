"""The text of a file, of standard input, or of a PDF."""

from __future__ import annotations

import io
import re
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from dist_epochs.errors import InputError
from dist_epochs.settings.files import read_bytes, read_utf8

__all__ = ["read_source", "read_stream"]

MOST_BYTES = 4 * 10**6
"""Of a text; a longer one is no paragraph of a paper."""
MOST_PDF_BYTES = 64 * 10**6
MOST_PAGES = 200

_CODE = re.compile(r"^ {0,3}(```+|~~~+).*?^ {0,3}\1[ \t]*$", re.DOTALL | re.MULTILINE)
"""A fenced block of Markdown."""


def read_stream(stream: BinaryIO) -> str:
    """The text on standard input.

    Raises:
        InputError: If it is longer than a text is, or not UTF-8.
    """
    raw = stream.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise InputError(f"more than {MOST_BYTES / 10**6:g} MB on standard input", rule="a text of a budget is smaller",
                         fixes="the paragraph that states the budget")  # fmt: skip
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("standard input is not UTF-8 text") from None


def read_source(path: Path) -> tuple[str, int]:
    """The text of a file: plain text, Markdown or a PDF; and how many blocks of code it has, which are no prose.

    Blocks of code are blank in the text, so that places in it are those of the file.

    Raises:
        InputError: If it cannot be read, is too large, or holds no text.
    """
    if path.suffix.lower() == ".pdf":
        return _pdf_text(path), 0
    text = read_utf8(path, MOST_BYTES, "a text")
    return (
        _CODE.subn(lambda found: re.sub(r"[^\n]", " ", found[0]), text) if path.suffix.lower() == ".md" else (text, 0)
    )


def _pdf_text(path: Path) -> str:
    """The text of a PDF's pages, each a paragraph."""
    raw = read_bytes(path, MOST_PDF_BYTES, "a PDF")
    try:
        pypdf = import_module("pypdf")
    except ModuleNotFoundError:
        raise InputError(
            "a PDF is read with pypdf, which is not installed",
            fixes=("pip install 'dist-epochs[pdf]'", "pasting the paragraph"),
        ) from None
    try:
        reader: Any = pypdf.PdfReader(io.BytesIO(raw))
        pages = [str(page.extract_text() or "") for page in reader.pages[:MOST_PAGES]]
    except Exception as error:  # pypdf raises whatever a damaged file makes of it
        raise InputError(
            "the PDF cannot be read", rule=f"pypdf says: {type(error).__name__}", fixes="pasting the paragraph"
        ) from None
    text = "\n\n".join(pages)
    if not text.strip():
        raise InputError(
            "the PDF has no text: its pages are pictures", fixes=("recognizing the text first", "pasting the paragraph")
        )
    return text
