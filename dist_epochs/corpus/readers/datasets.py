"""Datasets of the hub, streamed by the `datasets` library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dist_epochs.corpus.input.document import MASK, TOKENS, BadDocument, text_of
from dist_epochs.corpus.input.token_files import Ids
from dist_epochs.errors import InputError, Origin

__all__ = ["HUB_PREFIX", "read_hub"]

HUB_PREFIX = "hf:"
"""Prefix of a dataset for `datasets.load_dataset`: `hf:NAME[:CONFIGURATION[:SPLIT]]`."""


def read_hub(name: str, column: str) -> Iterator[str | Ids | BadDocument]:
    """The documents of a dataset, `NAME[:CONFIGURATION[:SPLIT]]`."""
    import datasets

    dataset, _, rest = name.partition(":")
    configuration, _, split = rest.partition(":")
    try:
        rows = datasets.load_dataset(dataset, configuration or None, split=split or "train", streaming=True)
        yield from _rows(rows, column, f"{HUB_PREFIX}{name}")
    except (datasets.exceptions.DatasetNotFoundError, ConnectionError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot be loaded: {error}", origin=Origin(f"{HUB_PREFIX}{name}")) from None


def _rows(rows: Any, column: str, place: str) -> Iterator[str | Ids | BadDocument]:
    if rows.column_names is not None:
        if column not in rows.column_names:
            raise InputError(
                f"no column {column!r}",
                rule=f"there are {', '.join(rows.column_names)}",
                fixes="--text-column",
                origin=Origin(place),
            )
        rows = rows.select_columns(
            [name for name in (column, MASK) if name in rows.column_names and (name == column or column == TOKENS)]
        )
    for number, row in enumerate(rows):
        yield text_of(row, column, Origin(f"{place}: row {number}"))
