"""A document of a corpus, or why it cannot be read."""

from __future__ import annotations

from typing import Any

from dist_epochs.errors import InputError, Origin

__all__ = ["BadDocument", "text_of"]


class BadDocument(InputError):
    """A document that cannot be read; `--on-error skip` counts it and continues."""


def text_of(row: dict[str, Any], column: str, origin: Origin) -> str | BadDocument:
    """The text of a row, or the error that says why it has none."""
    if column not in row:
        names = ", ".join(map(repr, row)) or "none"
        return BadDocument(f"no {column!r} key", rule=f"there are {names}", fixes="--text-column", origin=origin)
    text = row[column]
    if not isinstance(text, str):
        return BadDocument(f"{column!r} holds {type(text).__name__}, not text", origin=origin)
    try:
        text.encode()
    except UnicodeEncodeError:
        return BadDocument(f"{column!r} holds half a surrogate pair, which is not text", origin=origin)
    return text
