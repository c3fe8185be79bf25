"""The `.idx` file of a Megatron corpus, checked.

It has 34 bytes (mark, version, type of the ids, number of sequences, entries of the list of documents), then of each
sequence its tokens (int32) and its first byte (int64), then the first sequence of each document (int64, and the end).
Source: Megatron-LM megatron/core/datasets/indexed_dataset.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dist_epochs.corpus.input.token_files import unreadable
from dist_epochs.errors import InputError
from dist_epochs.settings.files import open_file

__all__ = ["FAIRSEQ", "MARK", "NAME", "Index", "bounds", "damaged", "read_index"]

NAME = "a Megatron corpus (.bin and .idx)"
MARK, FAIRSEQ = b"MMIDIDX\0\0", b"TNTIDX\0\0"
HEADER = struct.Struct("<9sQBQQ")
CODES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 8: "uint16"}
FLOATS = (6, 7)
AT_ONCE = 2**18
"""Entries of the index that are read at once."""


@dataclass(frozen=True, slots=True)
class Index:
    """What stands at the beginning of an index.

    Attributes:
        path: The index.
        dtype: Type of the ids.
        sequences: Sequences of all documents.
        entries: One more than there are documents.
        is_multimodal: Whether sequences may be images.
    """

    path: Path
    dtype: str
    sequences: int
    entries: int
    is_multimodal: bool

    @property
    def itemsize(self) -> int:
        """Bytes of an id."""
        return np.dtype(self.dtype).itemsize

    def part(self, what: str, first: int, stop: int) -> np.ndarray[Any, Any]:
        """Entries of one of the lists: `tokens` of sequences, their `bytes`, or `documents`."""
        kind = np.dtype("<i4" if what == "tokens" else "<i8")
        before = {"tokens": 0, "bytes": 4 * self.sequences, "documents": 12 * self.sequences}[what]
        with open_file(self.path) as file:
            file.seek(HEADER.size + before + first * kind.itemsize)
            return np.frombuffer(file.read((stop - first) * kind.itemsize), kind)

    def tokens(self) -> int:
        """All tokens: where the last sequence ends."""
        if not self.sequences:
            return 0
        at, length = (int(self.part(what, self.sequences - 1, self.sequences)[0]) for what in ("bytes", "tokens"))
        if at < 0 or length < 0 or at % self.itemsize:
            found = f"its last sequence has {length:,} tokens from byte {at:,} on"
            raise damaged(self.path, found, f"a token takes {self.itemsize} bytes")
        return at // self.itemsize + length


def read_index(path: Path) -> Index:
    """Read the beginning of an index, and check that its size and its ends are right.

    Raises:
        InputError: If they are not.
    """
    with open_file(path) as file:
        head = file.read(HEADER.size)
    if head.startswith(FAIRSEQ):
        old = "the index of fairseq's older form (TNTIDX), which Megatron-LM does not write any more"
        raise unreadable(NAME, path, old, fixes="Megatron's tools/preprocess_data.py, which makes a new one")
    if not head.startswith(MARK):
        raise unreadable(NAME, path, f"an .idx file that begins with {head[:9]!r}", f"{MARK!r} must stand there")
    if len(head) < HEADER.size:
        raise damaged(path, f"cut: {len(head)} bytes of {HEADER.size}")
    _, version, code, sequences, entries = HEADER.unpack(head)
    if version != 1:
        raise unreadable(NAME, path, f"version {version}", "version 1 is known")
    if code not in CODES:
        what = "numbers with a fraction, which are no tokens" if code in FLOATS else "no type that is known"
        raise damaged(path, f"type {code} of its ids, {what}")
    size, found = HEADER.size + 12 * sequences + 8 * entries, path.stat().st_size
    if found not in (size, size + sequences):  # multimodal ones have a byte more for each sequence
        raise damaged(path, f"{found:,} bytes, and {sequences:,} sequences and {entries:,} entries take {size:,}")
    index = Index(path, CODES[code], sequences, entries, found > size)
    ends = [int(index.part("documents", at, at + 1)[0]) for at in (0, entries - 1)] if entries else []
    if ends != [0, sequences]:
        found_ends = f"its documents reach from sequence {' to '.join(map(str, ends)) or 'none'}"
        raise damaged(path, found_ends, f"they must reach from 0 to {sequences}")
    return index


def bounds(index: Index, tokens: int) -> Iterator[np.ndarray[Any, Any]]:
    """First token of some documents, and the end of the last of them; all of the index is checked on the way.

    A list of documents is followed by the next, which begins where it ends.
    """
    starts = _checked_starts(index, tokens)
    begin, sequence = next(starts, np.array([0])), 0
    for first in range(0, index.entries - 1, AT_ONCE):
        stop = min(first + AT_ONCE, index.entries - 1)
        entries = index.part("documents", first, stop + 1)
        if (np.diff(entries) < 0).any() or entries[0] < 0 or entries[-1] > index.sequences:
            raise damaged(index.path, f"its documents {first:,} to {stop:,} do not follow each other")
        found, done = np.empty(len(entries), np.int64), 0
        while True:  # `begin` has the first tokens of the sequences from `sequence` on, and the end of the last
            here = int(np.searchsorted(entries, sequence + len(begin), "left"))
            found[done:here] = begin[entries[done:here] - sequence]
            done = here
            if done == len(entries):
                break
            sequence, begin = sequence + len(begin) - 1, next(starts)
        yield found


def _checked_starts(index: Index, tokens: int) -> Iterator[np.ndarray[Any, Any]]:
    """First token of some sequences, and the end of the last of them."""
    at = 0
    for first in range(0, index.sequences, AT_ONCE):
        stop = min(first + AT_ONCE, index.sequences)
        lengths = index.part("tokens", first, stop).astype(np.int64)
        starts = np.concatenate(([at], at + np.cumsum(lengths)))
        wrong = np.flatnonzero((lengths < 0) | (index.part("bytes", first, stop) != starts[:-1] * index.itemsize))
        if len(wrong) or starts[-1] > tokens:
            sequence = first + (int(wrong[0]) if len(wrong) else len(lengths) - 1)
            ill = "does not begin where the one before it ends, or has less than no token"
            raise damaged(index.path, f"sequence {sequence:,} {ill}")
        yield starts
        at = int(starts[-1])


def damaged(path: Path, found: str, rule: str = "") -> InputError:
    """The error for a file of such a corpus that is not as its tool wrote it."""
    return unreadable(NAME, path, found, rule, "the files as their tool wrote them")
