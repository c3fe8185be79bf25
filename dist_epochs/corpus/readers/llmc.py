"""llm.c's and modded-nanogpt's `.bin`: 256 numbers of 4 bytes (mark, version, tokens, zeros), then the ids.

The end-of-text id stands before each document, and documents run over files. Source: llm.c dev/data/data_common.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from dist_epochs.corpus.readers.tokens import Facts, Flat, Ids, Reading, cut, ends_facts, mapped, unreadable
from dist_epochs.settings.files import open_file

__all__ = ["EVALUATION", "MARKS", "NAME", "documents", "facts", "flat", "parts"]

NAME = "tokens of llm.c (.bin)"
MARKS = {(20240520, 1): ("uint16", 50256), (20240801, 7): ("uint32", 128000)}
"""Type of the ids by mark and version, and the end-of-text id of the tokenizer that llm.c takes there."""
EVALUATION = 20240522
HEADER_BYTES = 1024
NOT_TOLD = "documents are not known: the file does not say which id begins them; llm.c's own scripts take --eos {}"


def parts(path: Path) -> tuple[Path, ...]:
    """The file alone."""
    return (path,)


def facts(path: Path, reading: Reading, whole: bool) -> Facts:
    """The header has the tokens; documents are counted where their first id is known."""
    mark, version, tokens = _header(path)
    dtype, usual = MARKS[mark, version]
    ends = ends_facts(mapped(Flat(path, HEADER_BYTES, dtype), tokens), reading.eos, "before")
    more = {"magic": mark, "version": version, "dtype": dtype, "bytes_per_token": int(dtype[4:]) // 8}
    if not ends:
        return Facts(tokens=tokens, documents=None, more=more, notes=(NOT_TOLD.format(usual),))
    begun = bool(tokens) and not ends["starts_with_eot"]
    return Facts(tokens=tokens, documents=ends["eot_count"] + begun, more=more | ends)


def documents(path: Path, reading: Reading) -> Iterator[Ids]:
    """The documents; the first may be the end of one of the file before."""
    mark, version, tokens = _header(path)
    if reading.eos is None:
        raise unreadable(NAME, path, "its documents are not known", fixes=f"--eos {MARKS[mark, version][1]}")
    return cut([mapped(Flat(path, HEADER_BYTES, MARKS[mark, version][0]), tokens)], reading.eos, "before", path)


def flat(path: Path, reading: Reading) -> Flat | None:
    """The ids stand after the header."""
    mark, version, _ = _header(path)
    return Flat(path, HEADER_BYTES, MARKS[mark, version][0])


def _header(path: Path) -> tuple[int, int, int]:
    """Mark, version and tokens."""
    with open_file(path) as file:
        head = file.read(HEADER_BYTES)
    fixes = "the file as its tool wrote it"
    if len(head) < HEADER_BYTES:
        raise unreadable(NAME, path, f"cut: {len(head):,} bytes of a header of {HEADER_BYTES:,}", fixes=fixes)
    mark, version, tokens = struct.unpack_from("<3i", head)
    if mark == EVALUATION:
        raise unreadable(NAME, path, "an evaluation file (HellaSwag)", "it has examples, and no corpus")
    if (mark, version) not in MARKS:
        known = " or ".join(f"{mark} of version {version}" for mark, version in MARKS)
        raise unreadable(NAME, path, f"mark {mark} of version {version}", f"known: {known}", fixes)
    size, found = HEADER_BYTES + tokens * int(MARKS[mark, version][0][4:]) // 8, path.stat().st_size
    if tokens < 0 or size != found:
        raise unreadable(NAME, path, f"{found:,} bytes, and {tokens:,} tokens take {size:,}", fixes=fixes)
    return mark, version, tokens
