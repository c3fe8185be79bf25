"""Writes one source of a store: shards of ids and lengths, with counts."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dist_epochs.corpus.referred import refer_to
from dist_epochs.corpus.store import LENGTHS
from dist_epochs.corpus.token_files import Flat
from dist_epochs.runtime.files import make_durable, named_errors

__all__ = ["Draft", "SourceWriter"]


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
        self.lengths: list[list[int]] = []  # per shard; kept for --count-only
        self._folder = folder
        self._token_type = token_type
        self._open: tuple[Any, ...] | None = None
        self._digest = hashlib.sha256()
        self._documents = self._tokens = 0
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
        self._write(raw, np.array([len(ids)], LENGTHS).tobytes())
        self._digest.update(len(ids).to_bytes(8, "little") + raw)
        if self._folder is None:  # --count-only packs from these; a store keeps them on the disk
            if not self._documents:
                self.lengths.append([])
            self.lengths[-1].append(len(ids))
        self._documents += 1
        self._tokens += len(ids)
        draft.documents += 1
        draft.words += len(text.split())
        draft.bytes += len(text.encode())
        draft.tokens += len(ids)

    def close_shard(self) -> None:
        """Make the open shard complete and durable."""
        if not self._documents:
            return
        for file in self._open or ():
            with named_errors(file.name):
                file.flush()
                os.fsync(file.fileno())
                file.close()
        if self._folder is not None:
            make_durable(self._folder)
        shard = {"documents": self._documents, "tokens": self._tokens, "sha256": self._digest.hexdigest()}
        if self.flat is not None:
            shard |= refer_to(self.flat, self.draft.shards)
        self.draft.shards.append(shard)
        self._open, self._digest = None, hashlib.sha256()
        self._documents = self._tokens = 0

    def abandon(self) -> None:
        """Close the files of an unfinished shard."""
        for file in self._open or ():
            with suppress(OSError):  # the disk is full, and that error is being raised already
                file.close()

    def _write(self, tokens: bytes, length: bytes) -> None:
        if self._folder is None:
            return
        if self._open is None:
            stem = self._folder / f"{len(self.draft.shards):05d}"
            written = ("lengths",) if self.flat else ("lengths", "tokens")
            self._open = tuple(open(f"{stem}.{what}", "wb") for what in written)  # noqa: SIM115, PTH123
        for file, data in zip(self._open, (length, tokens), strict=False):
            with named_errors(file.name):
                file.write(data)
