"""JSON lines: a document is an object on a line of its own, with its text under one key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from dist_epochs.corpus.input.document import BadDocument, text_of
from dist_epochs.corpus.input.token_files import Ids
from dist_epochs.corpus.readers.text import read_lines
from dist_epochs.errors import Origin

__all__ = ["read_json_lines"]

LARGEST_LINE = 32 * 2**20
"""Bytes of the longest line that is read: what a line of empty lists becomes takes 25 times its size."""


def read_json_lines(path: Path, column: str, start: int = 0, stop: int = 0) -> Iterator[str | Ids | BadDocument]:
    """The documents of a file of JSON lines, or of a stretch of it, as `read_lines` takes it."""
    for number, line in read_lines(path, LARGEST_LINE, start, stop):
        if isinstance(line, BadDocument):
            yield line
        elif line.strip():
            yield _json_document(line, column, Origin(str(path), number))


def _json_document(line: str, column: str, origin: Origin) -> str | Ids | BadDocument:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return BadDocument(f"broken JSON: {error.msg} (column {error.colno})", origin=origin)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, endless nesting
        return BadDocument(f"broken JSON: {error}", origin=origin)
    if not isinstance(row, dict):
        return BadDocument(f"a JSON {type(row).__name__}, not an object with a {column!r} key", origin=origin)
    return text_of(row, column, origin)
