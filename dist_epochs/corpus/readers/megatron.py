"""Megatron-LM's `PREFIX.bin` with `PREFIX.idx` (GPT-NeoX, NeMo, Megatron-DeepSpeed too)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dist_epochs.corpus.input.token_files import Facts, Flat, Ids, Reading, TokenFormat, refuse_long, unreadable
from dist_epochs.corpus.readers.megatron_index import NAME, Index, bounds, damaged, read_index
from dist_epochs.runtime.mapped_files import MappedFiles

__all__ = ["MEGATRON"]

LOOKED_AT = 1000
"""Documents of which the last ids are looked at."""


def parts(path: Path) -> tuple[Path, ...]:
    """The index and the ids, from either; without ids only the index."""
    index, ids = path.with_suffix(".idx"), path.with_suffix(".bin")
    if not index.is_file():
        names = sorted(found.name for found in path.parent.glob("*.idx"))[:3]
        rule = f"{index.name} must stand beside it" + (f", and there is {', '.join(names)}" if names else "")
        raise unreadable(NAME, path, "its index is missing", rule)
    return (index, ids) if ids.is_file() else (index,)


def facts(path: Path, reading: Reading, whole: bool) -> Facts:
    """Counts by the index; no token is read but the last ones of some documents."""
    index = read_index(path)
    tokens, ids = index.tokens(), path.with_suffix(".bin")
    more: dict[str, Any] = {"sequences": index.sequences, "dtype": index.dtype, "idx_bytes": path.stat().st_size}
    notes = []
    if reading.eos is not None:
        notes.append("--eos is not used: its index tells the documents")
    if index.entries - 1 != index.sequences:
        notes.append(f"{index.sequences:,} sequences are {index.entries - 1:,} documents")
    if index.is_multimodal:
        notes.append("it is multimodal: sequences of images count as tokens too")
    if not ids.is_file():
        notes.append(f"{ids.name} is not beside its index, so that their sizes were not compared")
        return Facts(tokens=tokens, documents=index.entries - 1, more=more, notes=tuple(notes))
    _check_size(index, ids, tokens)
    if whole:
        for _ in bounds(index, tokens):
            pass
        ends = [document[-2:].tolist() for document, _ in zip(documents(path, reading), range(LOOKED_AT), strict=False)]
        last = {end[-1] for end in ends if end}
        more["eod"] = last.pop() if len(last) == 1 and len(ends) > 1 else None
        if sum(end == [more["eod"]] * 2 for end in ends) > len(ends) // 2:
            notes.append(f"documents end with {more['eod']} twice, so that each has one token too many")
    more["bin_bytes"] = ids.stat().st_size
    return Facts(tokens=tokens, documents=index.entries - 1, more=more, notes=tuple(notes))


def documents(path: Path, reading: Reading) -> Iterator[Ids]:
    """The documents by the index; those without a token are in it too."""
    index = read_index(path)
    tokens = index.tokens()
    place = flat(path, reading)
    if place is None:
        raise unreadable(NAME, path, f"{path.with_suffix('.bin').name} is not beside it")
    _check_size(index, place.path, tokens)
    files = MappedFiles()
    ids = place.ids(files, tokens)
    for starts in bounds(index, tokens):
        for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            refuse_long(stop - start, path)
            yield ids[start:stop]
        files.used(int(starts[-1] - starts[0]))


def flat(path: Path, reading: Reading) -> Flat | None:
    """The ids stand in the .bin file, without anything before or between them."""
    ids = path.with_suffix(".bin")
    return Flat(ids, 0, read_index(path).dtype) if ids.is_file() else None


def _check_size(index: Index, ids: Path, tokens: int) -> None:
    """Check that the file of ids has as many as its index says."""
    found, size = ids.stat().st_size, tokens * index.itemsize
    if found != size:
        said = f"its index says {tokens:,} tokens of {index.itemsize} bytes each"
        raise damaged(ids, f"{found:,} bytes, and {said}", f"{size:,} bytes")


MEGATRON = TokenFormat(NAME=NAME, facts=facts, documents=documents, parts=parts, flat=flat)
