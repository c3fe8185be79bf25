"""What the footer of a Parquet file says of rows of ids, so that none of them is read.

It has the values of each column of each group of rows, and how many of these stand for nothing: a gap, or a row without
ids. Source: apache/parquet-format src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from dist_epochs.corpus.input.document import MASK, TOKENS
from dist_epochs.corpus.input.thrift import read_struct
from dist_epochs.corpus.input.token_files import Rows
from dist_epochs.settings.files import open_file

__all__ = ["rows_of_footer"]

ROWS, GROUPS, WRITER, COLUMNS, GROUP_ROWS, FILE, CHUNK = 3, 4, 6, 1, 3, 1, 3
PATH, VALUES, BYTES, DATA, DICTIONARY, STATISTICS, NULLS, MOST, LEAST = 3, 5, 7, 9, 11, 12, 3, 5, 6
"""Numbers of fields."""
WRITERS = b"parquet-cpp-arrow"
"""Counts rows without ids among the values that stand for nothing; of other writers that is not known here."""
LARGEST = 2**28


def rows_of_footer(path: Path) -> Rows | None:
    """Counts of the rows; None where the footer does not tell them exactly: padding, gaps, empty rows, damage.

    Rows are of one length if every group has as many ids as rows of that length would have.
    """
    try:
        with open_file(path) as file:
            end = file.seek(-8, 2)
            size, mark = struct.unpack("<I4s", file.read(8))
            if mark != b"PAR1" or not 0 < size <= min(end, LARGEST):
                return None
            file.seek(end - size)
            footer = read_struct(file.read(size))
        if not footer[WRITER].startswith(WRITERS):
            return None
        found = Rows(None)
        for group in footer[GROUPS]:
            rows, ids = group[GROUP_ROWS], _values(group, end - size)
            each, rest = divmod(ids, rows) if rows else (0, 0)
            found.add(rows, 0 if rest else each, each, ids)
        return found if found.rows == footer[ROWS] else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error):
        return None


def _values(group: Any, end: int) -> int:
    """The ids of a group of rows.

    Raises:
        ValueError: If they cannot be told.
    """
    chunks = {column[CHUNK][PATH][0].decode(): (column, column[CHUNK]) for column in group[COLUMNS]}
    counts = set()
    for name in (TOKENS, MASK):
        if name == MASK and name not in chunks:
            continue
        column, chunk = chunks[name]
        said, start = chunk[STATISTICS], min(chunk[DATA], chunk.get(DICTIONARY, chunk[DATA]))
        is_here = FILE not in column and 0 < start <= start + chunk[BYTES] <= end
        is_one = name != MASK or all(said[at][0] == 1 and not any(said[at][1:]) for at in (LEAST, MOST))
        if not is_here or not is_one or said[NULLS] or chunk[VALUES] < group[GROUP_ROWS]:
            raise ValueError("not told")
        counts.add(chunk[VALUES])
    (ids,) = counts
    return int(ids)
