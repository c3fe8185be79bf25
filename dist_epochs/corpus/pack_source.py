"""Packs a source at one more length."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dist_epochs.corpus.digests import digests
from dist_epochs.corpus.objective import masked_tokens
from dist_epochs.corpus.packed import INDEX, STORED_PROBABILITY, SUMS, sample_type
from dist_epochs.corpus.packed_1 import packed_rows
from dist_epochs.corpus.packing import Packed, pack_block
from dist_epochs.corpus.packing_checks import DIGESTS, FILES, PIECE_BYTES
from dist_epochs.corpus.source_store import SourceStore
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import lock, named_errors, new_folder

__all__ = ["pack_source"]

Rows = tuple[NDArray[Any], ...]


def pack_source(source: SourceStore, sequence_length: int, special_ids: list[int]) -> None:
    """Pack a source at one more length, as its store's format has it.

    The folder gets its name when it is complete.

    Raises:
        InputError: If another process is packing the source.
    """
    taken = InputError("another process is packing this source", origin=Origin(str(source.folder)))
    names = FILES[source.version]
    counts = {"sequence_length": sequence_length, "samples": 0, "pieces": 0, "tokens": source.entry["tokens"]}
    if source.version > 1:
        most = source.largest_block() << (sequence_length - 1).bit_length()
        counts[PIECE_BYTES] = 4 if most <= 2**32 else 8
    with lock(source.folder, taken), new_folder(source.packing_folder(sequence_length)) as folder:
        found = {name: hashlib.sha256() for name in names}
        with ExitStack() as stack:
            files = {name: stack.enter_context((folder / name).open("wb")) for name in names}
            for rows in _rows_of_blocks(source, counts, special_ids):
                for name, written in zip(names, rows, strict=True):
                    data = written.tobytes()
                    with named_errors(folder / name):
                        files[name].write(data)
                    found[name].update(data)
        content = {**counts, DIGESTS: {name: digest.hexdigest() for name, digest in found.items()}}
        (folder / "packing.json").write_text(json.dumps(content), encoding="utf-8")


def _rows_of_blocks(source: SourceStore, counts: dict[str, int], special_ids: list[int]) -> Iterator[Rows]:
    """What each block adds to each file; samples and pieces are counted."""
    length = counts["sequence_length"]
    tokens = 0
    for block in range(len(source.blocks)):
        if source.version == 1:
            rows: Rows = packed_rows(source, block, length, special_ids)
            rows[1]["first_piece"] += counts["pieces"]
            tokens += int(rows[1]["tokens"].sum())
        else:
            packed = pack_block(source.block_lengths(block), length)
            start = np.array([(counts["samples"], counts["pieces"])], INDEX)
            rows = (start, *_rows(source, block, packed, length, special_ids, counts[PIECE_BYTES]))
            tokens += int(packed.lengths.sum())
        yield rows
        counts["samples"] += len(rows[-2])
        counts["pieces"] += len(rows[-1])
    if tokens != counts["tokens"]:
        raise AssertionError(f"packing holds {tokens} of {counts['tokens']} tokens")
    if source.version > 1:
        nothing = np.zeros(0, np.uint8)
        yield np.array([(counts["samples"], counts["pieces"])], INDEX), nothing, nothing, nothing


def _rows(
    source: SourceStore, block: int, packed: Packed, length: int, special_ids: list[int], piece_bytes: int
) -> Rows:
    """Sums, samples and pieces of one block."""
    special = np.flatnonzero(np.isin(source.tokens(block), special_ids))
    is_ordinary = packed.lengths - (
        np.searchsorted(special, packed.starts + packed.lengths) - np.searchsorted(special, packed.starts)
    )
    samples = np.zeros(packed.samples, sample_type(length))
    samples["first_piece"] = packed.first_piece[:-1]
    ordinary = np.add.reduceat(is_ordinary, packed.first_piece[:-1])
    samples["ordinary"] = ordinary
    high, low = digests(source.name, length, np.full(packed.samples, block), np.arange(packed.samples))
    masked = masked_tokens(ordinary, STORED_PROBABILITY)
    sums = np.array([(high.sum(), low.sum(), masked.sum())], SUMS)
    bits = (length - 1).bit_length()
    pieces = (packed.starts << bits | (packed.lengths - 1)).astype(f"<u{piece_bytes}")
    return sums, samples, pieces
