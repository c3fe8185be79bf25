"""llm.c's and modded-nanogpt's `.bin`: 256 numbers of 4 bytes (mark, version, tokens, zeros), then the ids.

The end-of-text id stands before each document, and documents run over files. Source: llm.c dev/data/data_common.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from dist_epochs.corpus.input.token_files import Facts, Flat, Ids, Reading, Stream, TokenFormat, unreadable
from dist_epochs.settings.files import open_file

__all__ = ["EVALUATION", "LLMC", "MARKS"]

NAME = "tokens of llm.c (.bin)"
MARKS = {(20240520, 1): ("uint16", 50256), (20240801, 7): ("uint32", 128000)}
"""Type of the ids by mark and version, and the end-of-text id of the tokenizer that llm.c takes there."""
EVALUATION = 20240522
HEADER = struct.Struct("<3i1012x")
NOT_TOLD = "the file does not say which id begins them; llm.c's own scripts take --eos"


def facts(path: Path, reading: Reading, whole: bool) -> Facts:
    """The header has the tokens; documents are counted where their first id is known."""
    (mark, version), stream = _read(path, reading)
    dtype, usual = MARKS[mark, version]
    more = {"magic": mark, "version": version, "dtype": dtype, "bytes_per_token": int(dtype[4:]) // 8}
    return stream.facts(more, f"{NOT_TOLD} {usual}")


def documents(path: Path, reading: Reading) -> Iterator[Ids]:
    """The documents; the first may be the end of one of the file before."""
    mark, stream = _read(path, reading)
    return stream.documents(f"--eos {MARKS[mark][1]}")


def flat(path: Path, reading: Reading) -> Flat | None:
    """The ids stand after the header."""
    return _read(path, reading)[1].flat


def _read(path: Path, reading: Reading) -> tuple[tuple[int, int], Stream]:
    """Mark and version, and the ids."""
    with open_file(path) as file:
        head = file.read(HEADER.size)
    fixes = "the file as its tool wrote it"
    if len(head) < HEADER.size:
        raise unreadable(NAME, path, f"cut: {len(head):,} bytes of a header of {HEADER.size:,}", fixes=fixes)
    mark, version, tokens = HEADER.unpack(head)
    if mark == EVALUATION:
        raise unreadable(NAME, path, "an evaluation file (HellaSwag)", "it has examples, and no corpus")
    if (mark, version) not in MARKS:
        known = " or ".join(f"{mark} of version {version}" for mark, version in MARKS)
        raise unreadable(NAME, path, f"mark {mark} of version {version}", f"known: {known}", fixes)
    ids = Flat(path, HEADER.size, MARKS[mark, version][0])
    size, found = HEADER.size + tokens * int(ids.dtype[4:]) // 8, path.stat().st_size
    if tokens < 0 or size != found:
        raise unreadable(NAME, path, f"{found:,} bytes, and {tokens:,} tokens take {size:,}", fixes=fixes)
    return (mark, version), Stream(name=NAME, flat=ids, tokens=tokens, eos=reading.eos, place="before")


LLMC = TokenFormat(NAME=NAME, facts=facts, documents=documents, flat=flat)
