"""Arrow and Parquet files with a column `input_ids`, as `datasets` writes them.

Rows are documents, unless they are packed: then all have one length, without padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dist_epochs.corpus.input.token_files import Facts, Ids, Reading, Rows, TokenFormat, packed_documents
from dist_epochs.corpus.readers.column_batches import NAME, opened
from dist_epochs.corpus.readers.parquet_footer import rows_of_footer

__all__ = ["COLUMNS"]

OF_PACKED = ("position_ids", "seq_lengths")
"""Columns that only packed rows have: where the documents in a row begin, or how long they are."""


def facts(path: Path, reading: Reading, whole: bool) -> Facts:
    """Counts by the lengths of the rows, and by the attention mask where there is one.

    Of Parquet the footer's counts, where it has them, and the lengths of the first rows: no others are called even.
    """
    found, told = Rows(reading.eos), rows_of_footer(path) if reading.eos is None else None
    with opened(path) as (names, batches):
        for ids, lengths, mask in batches(reading.eos is not None):
            if told is not None and told.is_even <= bool((lengths == told.longest).all()):
                found = told
                break
            told = None
            tokens = None if mask is None else int(np.count_nonzero(mask))
            shortest, longest = (int(lengths.min()), int(lengths.max())) if len(lengths) else (0, 0)
            found.add(len(lengths), shortest, longest, int(lengths.sum()), tokens)
            if ids is not None:
                found.look_at(ids if mask is None else ids[mask > 0])
    return found.facts("rows", found.is_even or any(name in names for name in OF_PACKED))


def documents(path: Path, reading: Reading) -> Iterator[Ids]:
    """The rows without their padding; the documents that the id ends, where rows are packed."""
    is_packed = facts(path, Reading(), False).more["packed"]
    return packed_documents(_rows(path), "rows", reading, NAME, path) if is_packed else _rows(path)


def _rows(path: Path) -> Iterator[Ids]:
    with opened(path) as (_, batches):
        for ids, lengths, mask in batches(True):
            stops = np.cumsum(lengths)
            for start, stop in zip((stops - lengths).tolist(), stops.tolist(), strict=True):
                yield ids[start:stop] if mask is None else ids[start:stop][mask[start:stop] > 0]


COLUMNS = TokenFormat(NAME=NAME, facts=facts, documents=documents)
