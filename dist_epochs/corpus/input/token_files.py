"""What files of tokens have in common: what is known of one, rows of ids, and the documents in a stream of ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.mapped_files import MappedFiles

__all__ = [
    "DTYPES", "NOTHING_MORE", "Facts", "Flat", "Ids", "Reading", "Rows", "Stream", "TokenFormat", "cut",
    "packed_documents", "refuse_long", "unreadable",
]  # fmt: skip

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

    def ids(self, files: MappedFiles, tokens: int) -> Ids:
        """As many ids, read from the disk when they are used."""
        kind = np.dtype(self.dtype).newbyteorder("<")
        return files.map(self.path, kind, offset=self.offset, count=tokens)


def _itself(path: Path) -> tuple[Path, ...]:
    return (path,)


def _nowhere(path: Path, reading: Reading) -> Flat | None:
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenFormat:
    """One format of tokens, as a file of `readers` gives it.

    Attributes:
        NAME: What it is called in messages and JSON.
        facts: What is known of a file: by its index alone, or, if the last argument is true, after all of the index was
            checked.
        documents: The ids of each document, in the order of the file.
        parts: The files that belong to one that was recognised, itself first.
        flat: Where the ids stand, if one after the other as `documents` gives them; else a store copies them.
    """

    NAME: str
    facts: Callable[[Path, Reading, bool], Facts]
    documents: Callable[[Path, Reading], Iterator[Ids]]
    parts: Callable[[Path], tuple[Path, ...]] = _itself
    flat: Callable[[Path, Reading], Flat | None] = _nowhere


def unreadable(name: str, path: Path | str, found: str, rule: str = "", fixes: Iterable[str] | str = ()) -> InputError:
    """The error for a file that is not what its format says."""
    return InputError(f"not {name} that can be read: {found}", rule=rule, fixes=fixes, origin=Origin(str(path)))


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
        for stop in (np.flatnonzero(chunk == eos) + (place == "after")).tolist():
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


@dataclass(slots=True)
class Rows:
    """Rows of ids, such as samples of a data set: what those that were looked at have in common.

    Attributes:
        eos: Id that ends each document in packed rows; None if it is not known.
        rows: How many.
        positions: Their ids, padding included.
        tokens: Those without padding.
        shortest: Ids of the shortest row.
        longest: Ids of the longest one.
        ended: How often `eos` stands in them.
        last: The last id that was seen.
    """

    eos: int | None
    rows: int = 0
    positions: int = 0
    tokens: int = 0
    shortest: int = 2**62
    longest: int = 0
    ended: int = 0
    last: int = -1

    def add(self, rows: int, shortest: int, longest: int, positions: int, tokens: int | None = None) -> None:
        """Add rows by their lengths; without a number of tokens they have no padding."""
        self.rows += rows
        self.positions += positions
        self.tokens += positions if tokens is None else tokens
        if rows:
            self.shortest, self.longest = min(self.shortest, shortest), max(self.longest, longest)

    def look_at(self, ids: Ids) -> None:
        """Count the ends of documents in the ids of some rows, without padding."""
        if self.eos is not None and len(ids):
            self.ended, self.last = self.ended + int((ids == self.eos).sum()), int(ids[-1])

    @property
    def is_even(self) -> bool:
        """Whether several rows have one length, and no padding."""
        return self.rows > 1 and self.shortest == self.longest and self.tokens == self.positions

    def facts(self, what: str, is_packed: bool) -> Facts:
        """What is known of a file that has these rows, and is called packed or not.

        Args:
            what: What its tool calls the rows.
            is_packed: Whether its documents are not its rows.
        """
        more: dict[str, Any] = {what: self.rows, "packed": is_packed}
        notes = []
        if self.tokens != self.positions:
            more |= {"padded": True, "positions": self.positions}
            notes.append(f"{self.positions - self.tokens:,} of {self.positions:,} positions are padding")
        documents: int | None = self.rows
        if is_packed:
            more["sample_tokens"] = self.longest if self.is_even else None
            documents = None if self.eos is None else self.ended + (self.last != self.eos)
            untold = "" if self.eos is not None else " (--eos counts these, if its tool marked them)"
            notes.append(f"its {what} are packed, and no documents{untold}")
            more |= {} if documents is None else {"eot": self.eos, "documents_ended": self.ended}
        return Facts(tokens=self.tokens, documents=documents, more=more, notes=tuple(notes))


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """Ids that stand in a file one after the other, with an id between documents.

    Attributes:
        name: What its format is called.
        flat: Where they stand.
        tokens: How many.
        eos: The id between documents; None if it is not known.
        place: Whether it stands `before` or `after` each document; None where the ends of the stream tell it.
    """

    name: str
    flat: Flat
    tokens: int
    eos: int | None
    place: str | None = None

    def chunks(self) -> Iterator[Ids]:
        """The ids, many at a time."""
        files = MappedFiles()
        ids = self.flat.ids(files, self.tokens)
        for first in range(0, self.tokens, IDS_AT_ONCE):
            yield ids[first : first + IDS_AT_ONCE]
            files.used(IDS_AT_ONCE)

    def facts(self, more: Mapping[str, Any], untold: str) -> Facts:
        """Counts: of documents where the id between them is known, else with a note that they are not."""
        ends = self._ends()
        if not ends:
            return Facts(tokens=self.tokens, documents=None, more=more, notes=(f"documents are not known: {untold}",))
        at = "starts_with_eot" if ends["eot_place"].startswith("before") else "ends_with_eot"
        documents = ends["eot_count"] + (bool(self.tokens) and not ends[at])
        return Facts(tokens=self.tokens, documents=documents, more={**more, **ends})

    def documents(self, usual: str) -> Iterator[Ids]:
        """The documents; the first may be the end of one of the file before.

        Raises:
            InputError: If the id between them is not known, with the flag that says what is usual.
        """
        if self.eos is None:
            raise unreadable(self.name, self.flat.path, "its documents are not known", fixes=usual)
        place = self.place or self._ends()["eot_place"].split()[0]
        return cut(self.chunks(), self.eos, place, self.flat.path)

    def _ends(self) -> dict[str, Any]:
        """Where documents end: counted, if the id that ends them is known."""
        eos = self.eos
        if eos is None:
            return {}
        count, begins, ends = 0, False, False
        for number, ids in enumerate(self.chunks()):
            is_end = ids == eos
            count += int(is_end.sum())
            begins, ends = bool(is_end[0]) if number == 0 else begins, bool(is_end[-1])
        place = self.place or ("before" if begins and not ends else "after")
        return {"eot": eos, "eot_count": count, "eot_place": f"{place} each document", "starts_with_eot": begins,
                "ends_with_eot": ends}  # fmt: skip


def packed_documents(rows: Iterator[Ids], what: str, reading: Reading, name: str, path: Path) -> Iterator[Ids]:
    """The documents in packed rows, which are no documents; `what` is what its tool calls the rows.

    Raises:
        InputError: If the id that ends them is not known.
    """
    if reading.eos is None:
        raise unreadable(name, path, f"its {what} are packed, and its documents not known", fixes="--eos")
    return cut(rows, reading.eos, "after", path)
