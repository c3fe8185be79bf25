"""Parquet files on this machine, read by pyarrow. Nothing of it touches a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dist_epochs.corpus.input.document import LARGEST_DOCUMENT, BadDocument, text_of
from dist_epochs.corpus.input.token_files import Ids
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.value import printable

__all__ = ["read_parquet", "rows_at_once"]

LARGEST_GROUP = 2**27
"""Bytes up to which rows may unpack to whatever they do."""
MOST_PACKED = 200
"""How many times its size a file of text may unpack to: text is packed to a third, and logs to a fiftieth."""
BYTES_AT_ONCE = 16 * 2**20
"""Bytes of text that are unpacked at once, where the rows are of about one size."""


def read_parquet(path: str, column: str, start: int = 0, stop: int = 0) -> Iterator[str | Ids | BadDocument]:
    """The documents of a Parquet file.

    Args:
        path: The file.
        column: The column that has them.
        start: The first group of rows.
        stop: The group to end before; 0 for the end.
    """
    import pyarrow
    from pyarrow import parquet

    row = 0
    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            _check_sizes(file.metadata, path)
            at_once = rows_at_once(file.metadata)
            groups = range(start, stop or file.num_row_groups)
            row = sum(file.metadata.row_group(number).num_rows for number in range(start))
        if column not in schema.names:
            rule = f"there are {printable(', '.join(schema.names))}"
            raise InputError(f"no column {column!r}", rule=rule, fixes="--text-column", origin=Origin(path))
        is_text = pyarrow.types.is_string(schema.field(column).type)
        # A text that rows repeat stands in the file once, and as a dictionary it does in memory too.
        repeated = [column] if is_text else None
        with parquet.ParquetFile(path, read_dictionary=repeated, buffer_size=2**20, pre_buffer=False) as file:
            for batch in file.iter_batches(at_once, row_groups=groups, columns=[column], use_threads=False):
                for value in batch.column(column):
                    yield _document(value, column, Origin(f"{path}: row {row}"))
                    row += 1
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).strip()
        raise InputError(f"cannot be read as Parquet: {reason}", origin=Origin(f"{path}: row {row}")) from None


def _document(value: Any, column: str, origin: Origin) -> str | Ids | BadDocument:
    try:
        return text_of({column: value.as_py()}, column, origin)
    except UnicodeDecodeError as error:
        return BadDocument(f"not UTF-8: {error.reason} at byte {error.start} of the text", origin=origin)


def _check_sizes(metadata: Any, path: str) -> None:
    """Refuse a file that unpacks to so much that it would fill the memory before any of it can be looked at."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        size, packed = group.total_byte_size, Path(path).stat().st_size
        large = size > LARGEST_DOCUMENT * max(1, group.num_rows)
        if large or (size > LARGEST_GROUP and size > MOST_PACKED * packed):
            raise InputError(
                f"{group.num_rows:,} rows that unpack to {size:,} bytes",
                rule=f"a document has at most {LARGEST_DOCUMENT // 2**20} MiB, and text packs to no 1/{MOST_PACKED}",
                origin=Origin(f"{path}: row group {number}"),
            )


def rows_at_once(metadata: Any) -> int:
    """Rows that hold about `BYTES_AT_ONCE` bytes in the largest group of rows.

    The sizes of a single column would say more, but pyarrow ends the program where they are damaged.
    """
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    rows = [group.num_rows * BYTES_AT_ONCE // max(1, group.total_byte_size) for group in groups]
    return int(max(1, min([1000, *rows])))
