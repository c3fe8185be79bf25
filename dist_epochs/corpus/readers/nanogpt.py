"""nanoGPT's `train.bin` and `val.bin`, and other files of ids with nothing before them.

Nothing in such a file says what it is. nanoGPT writes uint16; its openwebtext ends each document with 50256, and its
other examples mark no documents. Source: nanoGPT data/openwebtext/prepare.py, train.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dist_epochs.corpus.input.token_files import Facts, Flat, Ids, Reading, Stream, TokenFormat, unreadable
from dist_epochs.runtime.mapped_files import MappedFiles

__all__ = ["NAMES", "NANOGPT"]

NAME = "ids without a header (.bin, as nanoGPT writes them)"
NAMES = ("train.bin", "val.bin")
DTYPE = "uint16"
LOOKED_AT = 2**14
"""Ids at the beginning of a file that are looked at."""
SMALL_VOCABULARY = 3
"""Upper halves of 32-bit ids are below this with any vocabulary up to 196,608."""
NOT_TOLD = "the file does not say which id ends them (--eos; nanoGPT's openwebtext: 50256)"


def facts(path: Path, reading: Reading, whole: bool) -> Facts:
    """The size has the tokens; documents are counted where the id that ends them is known."""
    stream = _read(path, reading)
    more = {"dtype": stream.flat.dtype, "bytes_per_token": np.dtype(stream.flat.dtype).itemsize}
    return stream.facts(more, NOT_TOLD)


def documents(path: Path, reading: Reading) -> Iterator[Ids]:
    """The documents, if the id that ends them is known."""
    return _read(path, reading).documents("--eos, the id that ends each (often 50256)")


def flat(path: Path, reading: Reading) -> Flat | None:
    """The ids are the file."""
    return _read(path, reading).flat


def _read(path: Path, reading: Reading) -> Stream:
    ids = Flat(path, 0, reading.dtype or DTYPE)
    size, itemsize = path.stat().st_size, np.dtype(ids.dtype).itemsize
    if not size or size % itemsize:
        fixes = ("the file as its tool wrote it", "--dtype")
        raise unreadable(NAME, path, f"{size:,} bytes", f"{ids.dtype} ids take {itemsize} each", fixes)
    stream = Stream(name=NAME, flat=ids, tokens=size // itemsize, eos=reading.eos)
    first = ids.ids(MappedFiles(), min(LOOKED_AT, stream.tokens))
    if reading.dtype is None and size % 4 == 0 and len(first) > 3 and (first[1::2] < SMALL_VOCABULARY).all():
        found = f"every second number at its beginning is below {SMALL_VOCABULARY}"
        rule = "ids of four bytes each look so, read by two"
        raise unreadable(NAME, path, found, rule, ("--dtype uint32", "--dtype uint16, if it has these ids"))
    return stream


NANOGPT = TokenFormat(NAME=NAME, facts=facts, documents=documents, flat=flat)
