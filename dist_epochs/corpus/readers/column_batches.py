"""Batches of rows with ids, from Arrow and Parquet files.

Of Arrow only the lengths of rows are read where ids are not wanted. Of Parquet all is, where the footer does not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dist_epochs.corpus.input.document import MASK
from dist_epochs.corpus.input.document import TOKENS as COLUMN
from dist_epochs.corpus.input.token_files import Ids, unreadable
from dist_epochs.corpus.readers.parquet import rows_at_once
from dist_epochs.errors import InputError

__all__ = ["COLUMN", "FILE", "NAME", "STREAM", "Batches", "columns_of", "opened"]

NAME = "a data set with input_ids (Arrow or Parquet)"
STREAM, FILE = b"\xff\xff\xff\xff", b"ARROW1"
"""How the two forms of Arrow begin."""

Batches = Callable[[bool], Iterator[tuple[Any, Ids, Any]]]
"""Gives, batch by batch, the ids (if they are wanted) one row after the other, tokens of each row, and the mask."""


def columns_of(path: Path) -> tuple[str, ...]:
    """Names of the columns.

    Raises:
        InputError: If it cannot be read.
    """
    with opened(path) as (names, _):
        return names


@contextmanager
def opened(path: Path) -> Iterator[tuple[tuple[str, ...], Batches]]:
    """Names of the columns, and what gives the batches.

    Raises:
        InputError: Also while batches are read, if the file is damaged.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        if path.suffix == ".parquet":
            with parquet.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
                names = tuple(file.schema_arrow.names)
                batches = file.iter_batches(rows_at_once(file.metadata), columns=_wanted(names))
                yield names, lambda ids: (_batch(batch, ids, path) for batch in batches)
            return
        with path.open("rb") as file:
            head = file.read(8)
        with pyarrow.memory_map(str(path)) as source:
            if head.startswith(FILE):
                reader = pyarrow.ipc.open_file(source)
                batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
            else:
                batches = reader = pyarrow.ipc.open_stream(source)
            yield tuple(reader.schema.names), lambda ids: (_batch(batch, ids, path) for batch in batches)
    except InputError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise unreadable(NAME, path, f"damaged or cut: {reason}") from None


def _wanted(names: tuple[str, ...]) -> list[str]:
    return [name for name in (COLUMN, MASK) if name in names]


def _batch(batch: Any, ids: bool, path: Path) -> tuple[Any, Ids, Any]:
    batch = batch.select(_wanted(tuple(batch.schema.names)))
    batch.validate(full=True)  # by the ends of rows, which may lead out of the file
    lengths, values = _list(batch.column(COLUMN), path, COLUMN)
    read = values.to_numpy(zero_copy_only=False) if ids else None
    if MASK not in batch.schema.names:
        return read, lengths, None
    mask_lengths, mask = _list(batch.column(MASK), path, MASK)
    if (mask_lengths != lengths).any():
        raise unreadable(NAME, path, f"a row has another number of {MASK} than of {COLUMN}")
    return read, lengths, mask.to_numpy(zero_copy_only=False)


def _list(column: Any, path: Path, name: str) -> tuple[Ids, Any]:
    """Lengths of the lists of a column, and all their values."""
    import pyarrow
    from pyarrow import compute

    kinds, kind = pyarrow.types, column.type
    is_list = kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind)
    if not is_list or not (kinds.is_integer(kind.value_type) or (name == MASK and kinds.is_boolean(kind.value_type))):
        raise unreadable(NAME, path, f"{name} holds {kind} and no lists of whole numbers")
    lengths = compute.fill_null(compute.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    values = column.flatten()
    if (lengths < 0).any() or int(lengths.sum()) != len(values) or values.null_count:
        raise unreadable(NAME, path, f"the lists of {name} do not fit their values, or have gaps")
    return lengths, values
