"""MosaicML Streaming's MDS: `index.json` and shards, with a column of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dist_epochs.corpus.input.token_files import Facts, Ids, Reading, Rows, TokenFormat, packed_documents
from dist_epochs.corpus.readers.mds_index import NAME, check_files, files_of, shards_of
from dist_epochs.corpus.readers.mds_shards import samples_of

__all__ = ["MDS"]


def parts(path: Path) -> tuple[Path, ...]:
    """The index, and the shards that are there."""
    return (path, *(file for shard in shards_of(path) for file in files_of(shard) if file.is_file()))


def facts(path: Path, reading: Reading, whole: bool) -> Facts:
    """Counts by the index where the size of a sample tells its tokens; else shards are opened."""
    found = Rows(reading.eos)
    for shard in shards_of(path, reading.dtype):
        if whole:
            check_files(shard)
        if shard.fixed is not None and reading.eos is None:
            found.add(shard.samples, shard.fixed, shard.fixed, shard.samples * shard.fixed)
            continue
        lengths = []
        for ids in samples_of(shard):
            lengths.append(len(ids))
            if reading.eos is not None:
                found.look_at(ids)
        found.add(len(lengths), min(lengths, default=0), max(lengths, default=0), sum(lengths))
    return found.facts("samples", found.is_even)


def documents(path: Path, reading: Reading) -> Iterator[Ids]:
    """The samples; the documents that the id ends, where samples are packed."""
    samples = (ids for shard in shards_of(path, reading.dtype) for ids in samples_of(shard))
    is_packed = facts(path, Reading(dtype=reading.dtype), False).more["packed"]
    return packed_documents(samples, "samples", reading, NAME, path) if is_packed else samples


MDS = TokenFormat(NAME=NAME, facts=facts, documents=documents, parts=parts)
