"""Writes one source of a store: shards of ids and lengths, with counts."""

from __future__ import annotations

import hashlib
import os
import shutil
from array import array
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dist_epochs.corpus import blocks as cutting
from dist_epochs.corpus.referred import refer_to
from dist_epochs.corpus.token_files import Flat
from dist_epochs.runtime.files import make_durable, named_errors

__all__ = ["LENGTHS", "Draft", "SourceWriter"]

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


class SourceWriter:
    """Writes (or only counts) one source, shard by shard.

    Attributes:
        flat: The file that the ids stand in already, one document after the other: a shard refers to it then, and
            holds the lengths alone. It must not change within a shard.
    """

    def __init__(self, draft: Draft, folder: Path | None, token_type: np.dtype[Any]) -> None:
        self.draft = draft
        self.flat: Flat | None = None
        self.lengths: list[np.ndarray[Any, Any]] = []  # per shard; kept for --count-only
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

    def discard_the_rest(self) -> None:
        """Remove what a program that was stopped has left besides the complete shards."""
        if self._folder is None:
            return
        complete = {f"{number:05d}" for number in range(len(self.draft.shards))}
        for path in self._folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.stem not in complete:
                path.unlink()

    def add(self, ids: np.ndarray[Any, Any], text: str = "") -> None:
        """Add one document, of which there may be no text; one without a token is only counted as empty."""
        draft = self.draft
        if not len(ids):
            draft.empty_documents += 1
            return
        raw = ids.tobytes() if self.flat else ids.astype(self._token_type).tobytes()
        self._write(raw)
        self._digest.update(raw)
        self._lengths.append(len(ids))
        self._tokens += len(ids)
        draft.documents += 1
        draft.words += len(text.split())
        draft.bytes += len(text.encode())
        draft.tokens += len(ids)

    def close_shard(self) -> None:
        """Make the open shard complete and durable."""
        if not self._lengths:
            return
        lengths = np.array(self._lengths, np.int64)
        length_bytes = next(size for size in (1, 2, 4) if int(lengths.max()) < 256**size)
        self._digest.update(lengths.astype(LENGTHS).tobytes())
        if self._folder is not None:
            with self._opened("lengths") as file, named_errors(file.name):
                file.write(lengths.astype(f"<u{length_bytes}").tobytes())
                _make_whole(file)
            if self._open is not None:
                with named_errors(self._open.name):
                    _make_whole(self._open)
            make_durable(self._folder)
        else:  # --count-only packs from these; a store keeps them on the disk
            self.lengths.append(lengths)
        cuts = cutting.cut_by_tokens(lengths, cutting.BLOCK_TOKENS)
        blocks = zip(np.diff(cuts).tolist(), np.add.reduceat(lengths, cuts[:-1]).tolist(), strict=True)
        shard = {
            "documents": len(lengths),
            "tokens": self._tokens,
            "sha256": self._digest.hexdigest(),
            "length_bytes": length_bytes,
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
        return open(f"{self._folder / f'{len(self.draft.shards):05d}'}.{what}", "wb")  # noqa: PTH123


def _make_whole(file: Any) -> None:
    """Close a file that is on the disk then."""
    file.flush()
    os.fsync(file.fileno())
    file.close()
