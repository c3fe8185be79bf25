"""Arrow and Parquet files with a column `input_ids`, as `datasets` writes them.

Rows are documents, unless they are packed: then all have one length, without padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dist_epochs.corpus.readers.column_batches import COLUMN, FILE, NAME, STREAM, columns_of, opened
from dist_epochs.corpus.readers.tokens import Facts, Flat, Ids, Reading, cut, unreadable

__all__ = ["COLUMN", "FILE", "NAME", "STREAM", "columns_of", "documents", "facts", "flat", "parts"]

OF_PACKED = ("position_ids", "seq_lengths")
"""Columns that only packed rows have: where the documents in a row begin, or how long they are."""


@dataclass(slots=True)
class _Rows:
    """What all rows have in common so far."""

    rows: int = 0
    positions: int = 0
    tokens: int = 0
    shortest: int = 2**62
    longest: int = 0

    @property
    def is_even(self) -> bool:
        """Whether several rows have one length, and no padding."""
        return self.rows > 1 and self.shortest == self.longest and self.tokens == self.positions


def parts(path: Path) -> tuple[Path, ...]:
    """The file alone."""
    return (path,)


def facts(path: Path, reading: Reading, whole: bool) -> Facts:
    """Counts by the lengths of the rows, and by the attention mask where there is one."""
    found, ended, last = _Rows(), 0, -1
    with opened(path) as (names, batches):
        for ids, lengths, mask in batches(reading.eos is not None):
            found.rows += len(lengths)
            found.positions += int(lengths.sum())
            found.tokens += int(lengths.sum() if mask is None else np.count_nonzero(mask))
            if len(lengths):
                found.shortest = min(found.shortest, int(lengths.min()))
                found.longest = max(found.longest, int(lengths.max()))
            if ids is not None and len(ids):
                shown = ids if mask is None else ids[mask > 0]
                ended += int((shown == reading.eos).sum())
                last = int(shown[-1]) if len(shown) else last
    more: dict[str, Any] = {"rows": found.rows, "packed": found.is_even or any(name in names for name in OF_PACKED)}
    notes = []
    if found.tokens != found.positions:
        more |= {"padded": True, "positions": found.positions}
        notes.append(f"{found.positions - found.tokens:,} of {found.positions:,} positions are padding")
    documents: int | None = found.rows
    if more["packed"]:
        more["sample_tokens"] = found.longest if found.is_even else None
        documents = None if reading.eos is None else ended + (last != reading.eos)
        notes.append("its rows are packed, and no documents" + (" (--eos counts these)" if documents is None else ""))
        more |= {} if documents is None else {"eot": reading.eos, "documents_ended": ended}
    return Facts(tokens=found.tokens, documents=documents, more=more, notes=tuple(notes))


def documents(path: Path, reading: Reading) -> Iterator[Ids]:
    """The rows without their padding; the documents that the id ends, where rows are packed."""
    if facts(path, Reading(), False).more["packed"]:
        if reading.eos is None:
            raise unreadable(NAME, path, "its rows are packed, and its documents not known", fixes="--eos")
        return cut(_rows(path), reading.eos, "after", path)
    return _rows(path)


def flat(path: Path, reading: Reading) -> Flat | None:
    """A store copies the ids: they stand in batches, which may be packed."""
    return None


def _rows(path: Path) -> Iterator[Ids]:
    with opened(path) as (_, batches):
        for ids, lengths, mask in batches(True):
            for start, length in zip(_starts(lengths).tolist(), lengths.tolist(), strict=True):
                row = ids[start : start + length]
                yield row if mask is None else row[mask[start : start + length] > 0]


def _starts(lengths: Ids) -> Ids:
    return np.cumsum(lengths) - lengths
