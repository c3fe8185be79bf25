"""A document of a corpus, its text or its tokens, or why it cannot be read."""

from __future__ import annotations

from typing import Any

import numpy as np

from dist_epochs.corpus.input.token_files import Ids
from dist_epochs.errors import InputError, Origin

__all__ = ["LARGEST_DOCUMENT", "BadDocument", "text_of", "too_large"]

LARGEST_DOCUMENT = 8 * 2**20
"""Bytes of the largest text that is read: encoding it takes a tokenizer a hundred times its size in memory."""

TOKENS, MASK = "input_ids", "attention_mask"
"""Keys of a row that was tokenized: its ids, and which of them are no padding."""

LONGEST_LIST = 300
"""Characters of a list of keys in a message."""


class BadDocument(InputError):
    """A document that cannot be read; `--on-error skip` counts it and continues."""


def too_large(origin: Origin, most: str = f"{LARGEST_DOCUMENT // 2**20} MiB") -> BadDocument:
    """The error for a document of more than there may be."""
    fixes = "shorter documents, such as lines or paragraphs"
    return BadDocument(f"a document of more than {most}", fixes=fixes, origin=origin)


def text_of(row: dict[str, Any], column: str, origin: Origin) -> str | Ids | BadDocument:
    """The text of a row (of `input_ids` its tokens), or the error that says why it has none."""
    if column not in row:
        names = ", ".join(map(repr, row)) or "none"
        names = names if len(names) <= LONGEST_LIST else f"{names[:LONGEST_LIST]}…"
        return BadDocument(f"no {column!r} key", rule=f"there are {names}", fixes="--text-column", origin=origin)
    text = row[column]
    if column == TOKENS:
        return _ids(text, row.get(MASK), origin)
    if not isinstance(text, str):
        return BadDocument(f"{column!r} holds {type(text).__name__}, not text", origin=origin)
    if len(text) > LARGEST_DOCUMENT:
        return too_large(origin)
    try:
        text.encode()
    except UnicodeEncodeError:
        return BadDocument(f"{column!r} holds half a surrogate pair, which is not text", origin=origin)
    return text


def _ids(values: Any, mask: Any, origin: Origin) -> Ids | BadDocument:
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value < 2**32 for value in values):
        return BadDocument(f"{TOKENS!r} holds something else than ids", origin=origin)
    ids = np.array(values, dtype=np.int64)
    if not isinstance(mask, list):
        return ids
    if len(mask) != len(values):
        return BadDocument(f"{MASK!r} has {len(mask):,} values, and {TOKENS!r} {len(values):,}", origin=origin)
    return ids[np.array(mask, dtype=np.bool_)]
