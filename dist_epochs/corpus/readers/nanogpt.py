"""nanoGPT's `train.bin` and `val.bin`, and other files of ids with nothing before them.

Nothing in such a file says what it is. nanoGPT writes uint16; its openwebtext ends each document with 50256, and its
other examples mark no documents. Source: nanoGPT data/openwebtext/prepare.py, train.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dist_epochs.corpus.readers.tokens import Facts, Flat, Ids, Reading, cut, ends_facts, mapped, unreadable

__all__ = ["NAME", "NAMES", "documents", "facts", "flat", "parts"]

NAME = "ids without a header (.bin, as nanoGPT writes them)"
NAMES = ("train.bin", "val.bin")
DTYPE = "uint16"
LOOKED_AT = 2**14
"""Ids at the beginning of a file that are looked at."""
SMALL_VOCABULARY = 3
"""Upper halves of 32-bit ids are below this with any vocabulary up to 196,608."""


def parts(path: Path) -> tuple[Path, ...]:
    """The file alone."""
    return (path,)


def facts(path: Path, reading: Reading, whole: bool) -> Facts:
    """The size has the tokens; documents are counted where the id that ends them is known."""
    ids, dtype = _ids(path, reading)
    more = {"dtype": dtype, "bytes_per_token": ids.itemsize}
    if reading.eos is None:
        untold = (
            "documents are not known: the file does not say which id ends them (--eos; nanoGPT's openwebtext: 50256)"
        )
        return Facts(tokens=len(ids), documents=None, more=more, notes=(untold,))
    ends = ends_facts(ids, reading.eos)
    is_whole = ends["starts_with_eot"] if ends["eot_place"].startswith("before") else ends["ends_with_eot"]
    return Facts(tokens=len(ids), documents=ends["eot_count"] + (not is_whole), more=more | ends)


def documents(path: Path, reading: Reading) -> Iterator[Ids]:
    """The documents, if the id that ends them is known."""
    ids, _ = _ids(path, reading)
    if reading.eos is None:
        raise unreadable(NAME, path, "its documents are not known", fixes="--eos, the id that ends each (often 50256)")
    return cut([ids], reading.eos, ends_facts(ids, reading.eos)["eot_place"].split()[0], path)


def flat(path: Path, reading: Reading) -> Flat | None:
    """The ids are the file."""
    return Flat(path, 0, _ids(path, reading)[1])


def _ids(path: Path, reading: Reading) -> tuple[Ids, str]:
    dtype = reading.dtype or DTYPE
    size, itemsize = path.stat().st_size, np.dtype(dtype).itemsize
    if not size or size % itemsize:
        fixes = ("the file as its tool wrote it", "--dtype")
        raise unreadable(NAME, path, f"{size:,} bytes", f"{dtype} ids take {itemsize} each", fixes)
    ids = mapped(Flat(path, 0, dtype), size // itemsize)
    first = ids[:LOOKED_AT]
    if reading.dtype is None and size % 4 == 0 and len(first) > 3 and (first[1::2] < SMALL_VOCABULARY).all():
        found = f"every second number at its beginning is below {SMALL_VOCABULARY}"
        rule = "ids of four bytes each look so, read by two"
        raise unreadable(NAME, path, found, rule, ("--dtype uint32", "--dtype uint16, if it has these ids"))
    return ids, dtype
