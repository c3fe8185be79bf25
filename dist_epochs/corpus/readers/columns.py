"""Arrow and Parquet files with a column `input_ids`, as `datasets` writes them.

Rows are documents, unless they are packed: then all have one length, without padding. Of Arrow the ids are not read to
count them. Of Parquet the columns are: pyarrow ends the program where the sizes of a column in the footer are damaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dist_epochs.corpus.readers.document import MASK
from dist_epochs.corpus.readers.document import TOKENS as COLUMN
from dist_epochs.corpus.readers.tokens import Facts, Flat, Ids, Reading, cut, unreadable
from dist_epochs.errors import InputError

__all__ = ["COLUMN", "NAME", "columns_of", "documents", "facts", "flat", "parts"]

NAME = "a data set with input_ids (Arrow or Parquet)"
OF_PACKED = ("position_ids", "seq_lengths")
"""Columns that only packed rows have: where the documents in a row begin, or how long they are."""
ROWS_AT_ONCE = 1000
STREAM, FILE = b"\xff\xff\xff\xff", b"ARROW1"


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


def columns_of(path: Path) -> tuple[str, ...]:
    """Names of the columns.

    Raises:
        InputError: If it cannot be read.
    """
    with _errors(path), _opened(path) as (names, _):
        return names


def facts(path: Path, reading: Reading, whole: bool) -> Facts:
    """Counts by the lengths of the rows, and by the attention mask where there is one."""
    found, ended, last = _Rows(), 0, -1
    with _errors(path), _opened(path) as (names, batches):
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
        return cut(_rows(path), reading.eos, "after")
    return _rows(path)


def flat(path: Path, reading: Reading) -> Flat | None:
    """A store copies the ids: they stand in batches, which may be packed."""
    return None


def _rows(path: Path) -> Iterator[Ids]:
    with _errors(path), _opened(path) as (_, batches):
        for ids, lengths, mask in batches(True):
            for start, length in zip(_starts(lengths).tolist(), lengths.tolist(), strict=True):
                row = ids[start : start + length]
                yield row if mask is None else row[mask[start : start + length] > 0]


def _starts(lengths: Ids) -> Ids:
    return np.cumsum(lengths) - lengths


@contextmanager
def _opened(path: Path) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Names of the columns, and what gives ids (if they are wanted), lengths of rows and masks, batch by batch."""
    import pyarrow
    from pyarrow import parquet

    if path.suffix == ".parquet":
        with parquet.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
            names = tuple(file.schema_arrow.names)
            wanted = [name for name in (COLUMN, MASK) if name in names]
            yield (
                names,
                lambda ids: (_batch(batch, ids, path) for batch in file.iter_batches(ROWS_AT_ONCE, columns=wanted)),
            )
        return
    with path.open("rb") as file:
        head = file.read(8)
    with pyarrow.memory_map(str(path)) as source:
        if head.startswith(FILE):
            reader = pyarrow.ipc.open_file(source)
            batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
        elif head.startswith(STREAM):
            batches = reader = pyarrow.ipc.open_stream(source)
        else:
            raise unreadable(NAME, path, f"an .arrow file that begins with {head[:6]!r}")
        yield tuple(reader.schema.names), lambda ids: (_batch(batch, ids, path) for batch in batches)


def _batch(batch: Any, ids: bool, path: Path) -> tuple[Any, Ids, Ids | None]:
    """Ids of some rows, one row after the other, tokens of each row, and whether each id counts."""
    if ids:
        batch.validate(full=True)
    lengths, values = _list(batch.column(COLUMN), path, COLUMN)
    if MASK not in batch.schema.names:
        return values.to_numpy(zero_copy_only=False) if ids else None, lengths, None
    mask_lengths, mask = _list(batch.column(MASK), path, MASK)
    if (mask_lengths != lengths).any():
        raise unreadable(NAME, path, f"a row has another number of {MASK} than of {COLUMN}")
    return values.to_numpy(zero_copy_only=False) if ids else None, lengths, mask.to_numpy(zero_copy_only=False)


def _list(column: Any, path: Path, name: str) -> tuple[Ids, Any]:
    """Lengths of the lists of a column, and all their values."""
    import pyarrow
    from pyarrow import compute

    kinds = pyarrow.types
    is_list = kinds.is_list(column.type) or kinds.is_large_list(column.type) or kinds.is_fixed_size_list(column.type)
    if not is_list or not (
        kinds.is_integer(column.type.value_type) or (name == MASK and kinds.is_boolean(column.type.value_type))
    ):
        raise unreadable(NAME, path, f"{name} holds {column.type} and no lists of whole numbers")
    lengths = compute.fill_null(compute.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    values = column.flatten()
    if (lengths < 0).any() or int(lengths.sum()) != len(values) or values.null_count:
        raise unreadable(NAME, path, f"the lists of {name} do not fit their values, or have gaps")
    return lengths, values


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except InputError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise unreadable(NAME, path, f"damaged or cut: {reason}") from None
