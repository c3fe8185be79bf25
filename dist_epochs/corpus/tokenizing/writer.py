"""Writes one source of a store: shards of ids and lengths, with counts."""

from __future__ import annotations

import hashlib
import os
from array import array
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dist_epochs.corpus.input.token_files import Flat
from dist_epochs.corpus.stores import blocks as cutting
from dist_epochs.corpus.stores.referred import refer_to
from dist_epochs.runtime.files import make_durable, named_errors

__all__ = ["LENGTHS", "Draft", "Lengths", "SourceWriter"]

Lengths = NDArray[np.unsignedinteger]
"""Tokens of documents, in the smallest unsigned type."""

LENGTHS = np.dtype("<u4")
"""Lengths of documents as the digest of a shard takes them."""


@dataclass(kw_only=True, slots=True)
class Draft:
    """One source while it is written: counts, and the shards that are complete."""

    name: str
    held_out: bool
    documents: int = 0
    words: int = 0
    bytes: int = 0
    tokens: int = 0
    empty_documents: int = 0
    skipped_documents: int = 0
    shards: list[dict[str, Any]] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """The counts alone."""
        names = (each.name for each in fields(self) if each.name not in ("name", "held_out", "shards"))
        return {name: getattr(self, name) for name in names}


class SourceWriter:
    """Writes (or only counts) what one part of the corpus adds to one source, shard by shard.

    Args:
        draft: Counts, and the shards that are complete.
        folder: The folder of the source; None only counts.
        token_type: How an id is written.
        part: Number of the part, which the names of its shards begin with.
        keeps_lengths: Whether the lengths of complete shards are kept in memory.

    Attributes:
        draft: Counts, and the shards that are complete.
        lengths: Tokens of each document of the complete shards, where they are kept, in the smallest unsigned type.
        flat: The file that the ids stand in already, one document after the other: a shard refers to it then, and
            holds the lengths alone. It must not change within a shard.
    """

    def __init__(
        self,
        draft: Draft,
        folder: Path | None,
        token_type: np.dtype[Any],
        *,
        part: int = 0,
        keeps_lengths: bool = False,
    ) -> None:
        self.draft = draft
        self.flat: Flat | None = None
        self.lengths: list[Lengths] = []
        self._keeps_lengths = keeps_lengths
        self._part = part
        self._folder = folder
        self._token_type = token_type
        self._open: Any = None
        self._digest = hashlib.sha256()
        self._lengths = array("I")
        self._tokens = 0
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def open_tokens(self) -> int:
        """Tokens of the open shard."""
        return self._tokens

    def add(self, ids: NDArray[Any], lengths: NDArray[np.int64]) -> None:
        """Add documents.

        Args:
            ids: Their ids, one after the other.
            lengths: Tokens of each, at least 1.
        """
        if not len(lengths):
            return
        raw = ids.tobytes() if self.flat else ids.astype(self._token_type).tobytes()
        self._write(raw)
        self._digest.update(raw)
        self._lengths.frombytes(lengths.astype(np.uint32).tobytes())
        self._tokens += len(ids)
        self.draft.documents += len(lengths)
        self.draft.tokens += len(ids)

    def close_shard(self) -> None:
        """Make the open shard complete and durable."""
        if not self._lengths:
            return
        lengths = np.array(self._lengths, np.int64)
        length_bytes = next(size for size in (1, 2, 4) if int(lengths.max()) < 256**size)
        written = lengths.astype(f"<u{length_bytes}").tobytes()
        self._digest.update(lengths.astype(LENGTHS).tobytes())
        if self._folder is not None:
            with self._opened("lengths") as file, named_errors(file.name):
                file.write(written)
                _make_whole(file)
            if self._open is not None:
                with named_errors(self._open.name):
                    _make_whole(self._open)
            make_durable(self._folder)
        cuts = cutting.cut_by_tokens(lengths, cutting.BLOCK_TOKENS)
        if self._keeps_lengths:
            self.lengths.append(lengths.astype(f"<u{length_bytes}"))
        blocks = zip(np.diff(cuts).tolist(), np.add.reduceat(lengths, cuts[:-1]).tolist(), strict=True)
        shard = {
            "name": self._name,
            "documents": len(lengths),
            "tokens": self._tokens,
            "sha256": self._digest.hexdigest(),
            "length_bytes": length_bytes,
            "lengths_sha256": hashlib.sha256(written).hexdigest(),
            "blocks": [list(block) for block in blocks],
        }
        if self.flat is not None:
            shard |= refer_to(self.flat, self.draft.shards)
        self.draft.shards.append(shard)
        self._open, self._digest = None, hashlib.sha256()
        self._lengths, self._tokens = array("I"), 0

    def abandon(self) -> None:
        """Close the files of an unfinished shard."""
        if self._open is not None:
            with suppress(OSError):  # the disk is full, and that error is being raised already
                self._open.close()

    def _write(self, tokens: bytes) -> None:
        if self._folder is None or self.flat is not None:
            return
        if self._open is None:
            self._open = self._opened("tokens")
        with named_errors(self._open.name):
            self._open.write(tokens)

    def _opened(self, what: str) -> Any:
        assert self._folder is not None
        return open(f"{self._folder / self._name}.{what}", "wb")  # noqa: PTH123

    @property
    def _name(self) -> str:
        """The name of the files of the shard that is open."""
        return f"{self._part:05d}-{len(self.draft.shards):03d}"


def _make_whole(file: Any) -> None:
    """Close a file that is on the disk then."""
    file.flush()
    os.fsync(file.fileno())
    file.close()
