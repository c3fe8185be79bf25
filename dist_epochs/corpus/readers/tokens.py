"""What files of tokens have in common: what is known of one, and the documents in a stream of ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dist_epochs.errors import InputError, Origin

__all__ = [
    "DTYPES",
    "NOTHING_MORE",
    "Facts",
    "Flat",
    "Ids",
    "Reading",
    "TokenFormat",
    "cut",
    "ends_facts",
    "mapped",
    "refuse_long",
    "unreadable",
]

Ids = NDArray[np.integer[Any]]

DTYPES = ("uint8", "int8", "uint16", "int16", "int32", "uint32", "int64")
"""Types that ids stand in; whole numbers of which no id needs more."""

IDS_AT_ONCE = 2**22
"""Ids that are looked at at once."""

LONGEST_DOCUMENT = 2**27
"""Ids of the longest document that is read: as many as a text of the largest size can have."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What files of tokens may not say themselves.

    Attributes:
        eos: Id that ends (or begins) each document; None if it is not known.
        dtype: Type of the ids of a raw file.
    """

    eos: int | None = None
    dtype: str | None = None


NOTHING_MORE = Reading()
"""Files that say everything themselves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What is known of one file (or folder with an index of its own).

    Attributes:
        tokens: Its tokens, those that its tool put between documents included; padding is not.
        documents: Its documents; None where nothing tells them.
        more: What else is known, under the names that JSON has.
        notes: What a reader of these numbers has to know.
    """

    tokens: int
    documents: int | None
    more: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flat:
    """Ids that stand in a file one after the other, so that a store can refer to them.

    Attributes:
        path: The file.
        offset: Bytes before the first id.
        dtype: Type of an id, one of `DTYPES`.
    """

    path: Path
    offset: int
    dtype: str


class TokenFormat(Protocol):
    """One format of tokens: a module of `readers`.

    Attributes:
        NAME: What it is called in messages and JSON.
    """

    NAME: str

    def parts(self, path: Path) -> tuple[Path, ...]:
        """The files that belong to one that was recognised, itself first."""

    def facts(self, path: Path, reading: Reading, whole: bool) -> Facts:
        """What is known of a file: by its index alone, or, if `whole`, after all of the index was checked."""

    def documents(self, path: Path, reading: Reading) -> Iterator[Ids]:
        """The ids of each document, in the order of the file."""

    def flat(self, path: Path, reading: Reading) -> Flat | None:
        """Where the ids stand, if one after the other as `documents` gives them."""


def unreadable(name: str, path: Path | str, found: str, rule: str = "", fixes: Iterable[str] | str = ()) -> InputError:
    """The error for a file that is not what its format says."""
    return InputError(f"not {name} that can be read: {found}", rule=rule, fixes=fixes, origin=Origin(str(path)))


def mapped(flat: Flat, tokens: int) -> Ids:
    """The ids of a file, read from the disk when they are used."""
    kind = np.dtype(flat.dtype).newbyteorder("<")
    if not tokens:
        return np.empty(0, kind)
    return np.asarray(np.memmap(flat.path, kind, "r", flat.offset, (tokens,)))


def cut(chunks: Iterable[Ids], eos: int, place: str, path: Path) -> Iterator[Ids]:
    """The documents of a stream of ids.

    Args:
        chunks: The stream, in pieces of any size; documents may run over them.
        eos: The id between documents.
        place: Whether it stands `before` or `after` each document, and belongs to it.
        path: The file, for messages.

    Raises:
        InputError: If a document is too long.
    """
    kept: list[Ids] = []
    length = 0
    for chunk in chunks:
        start = 0
        for first in range(0, len(chunk), IDS_AT_ONCE):
            found = np.flatnonzero(chunk[first : first + IDS_AT_ONCE] == eos) + first + (place == "after")
            for stop in found.tolist():
                if kept or stop > start:
                    refuse_long(length + stop - start, path)
                    yield _joined([*kept, chunk[start:stop]])
                kept, length, start = [], 0, stop
        if start < len(chunk):
            length += len(chunk) - start
            refuse_long(length, path)
            kept.append(chunk[start:])
    if kept:
        yield _joined(kept)


def refuse_long(length: int, path: Path) -> None:
    """Refuse a document that is longer than any, which comes of an id that does not stand between documents.

    Raises:
        InputError: If it has more than `LONGEST_DOCUMENT` ids.
    """
    if length > LONGEST_DOCUMENT:
        rule, fixes = f"one of at most {LONGEST_DOCUMENT:,} is read", "--eos, the id between documents"
        raise InputError(f"a document of {length:,} tokens", rule=rule, fixes=fixes, origin=Origin(str(path)))


def _joined(pieces: list[Ids]) -> Ids:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def ends_facts(ids: Ids, eos: int | None, place: str | None = None) -> dict[str, Any]:
    """Where documents end in a stream of ids: counted, if the id that ends them is known.

    Args:
        ids: The stream.
        eos: The id.
        place: Whether it stands `before` or `after` each document; None looks at both ends of the stream.
    """
    if eos is None:
        return {}
    count = sum(int((ids[first : first + IDS_AT_ONCE] == eos).sum()) for first in range(0, len(ids), IDS_AT_ONCE))
    begins, ends = (bool(len(ids)) and int(ids[at]) == eos for at in (0, -1))
    place = place or ("before" if begins and not ends else "after")
    return {"eot": eos, "eot_count": count, "eot_place": f"{place} each document", "starts_with_eot": begins,
            "ends_with_eot": ends}  # fmt: skip
