"""MosaicML Streaming's MDS: `index.json` and shards, with a column of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dist_epochs.corpus.readers.mds_shards import NAME, check_files, files_of, is_index, samples_of, shards_of
from dist_epochs.corpus.readers.tokens import Facts, Flat, Ids, Reading, cut, unreadable

__all__ = ["NAME", "documents", "facts", "flat", "is_index", "parts"]


def parts(path: Path) -> tuple[Path, ...]:
    """The index, and the shards that are there."""
    return (path, *(file for shard in shards_of(path) for file in files_of(shard) if file.is_file()))


def facts(path: Path, reading: Reading, whole: bool) -> Facts:
    """Counts by the index where the size of a sample tells its tokens; else shards are opened."""
    shards = shards_of(path, reading.dtype)
    tokens, ended, last = 0, 0, -1
    lengths: set[int] = set()
    for shard in shards:
        if whole:
            check_files(shard)
        if shard.fixed is not None and reading.eos is None:
            tokens += shard.samples * shard.fixed
            lengths.add(shard.fixed)
            continue
        for ids in samples_of(shard):
            tokens += len(ids)
            lengths.add(len(ids))
            if reading.eos is not None and len(ids):
                ended, last = ended + int((ids == reading.eos).sum()), int(ids[-1])
    samples = sum(shard.samples for shard in shards)
    if len(lengths) != 1 or samples < 2:
        return Facts(tokens=tokens, documents=samples, more={"samples": samples, "packed": False})
    more: dict[str, Any] = {"samples": samples, "packed": True, "sample_tokens": lengths.pop()}
    if reading.eos is None:
        untold = "its samples are packed, and no documents (--eos counts these, if its tool was asked to mark them)"
        return Facts(tokens=tokens, documents=None, more=more, notes=(untold,))
    more |= {"eot": reading.eos, "documents_ended": ended}
    return Facts(tokens=tokens, documents=ended + (last != reading.eos), more=more)


def documents(path: Path, reading: Reading) -> Iterator[Ids]:
    """The samples; the documents that the id ends, where samples are packed."""
    samples = (ids for shard in shards_of(path, reading.dtype) for ids in samples_of(shard))
    if not facts(path, Reading(dtype=reading.dtype), False).more["packed"]:
        return samples
    if reading.eos is None:
        raise unreadable(NAME, path, "its samples are packed, and its documents not known", fixes="--eos")
    return cut(samples, reading.eos, "after", path)


def flat(path: Path, reading: Reading) -> Flat | None:
    """A store copies the ids: other bytes stand between samples."""
    return None
