"""Packs a source at one more length."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
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
from dist_epochs.corpus.workers import in_order
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import lock, named_errors, new_folder

__all__ = ["pack_source"]

Rows = tuple[NDArray[Any], ...]


def pack_source(source: SourceStore, sequence_length: int, special_ids: list[int], workers: int = 1) -> None:
    """Pack a source at one more length, as its store's format has it.

    The folder gets its name when it is complete.

    Args:
        source: The source.
        sequence_length: Positions of a sample.
        special_ids: Ids that are never masked.
        workers: Processes that pack blocks; what is written does not depend on them.

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
            for rows in _all_rows(
                _Packer(source, sequence_length, special_ids, counts.get(PIECE_BYTES, 0)), counts, workers
            ):
                for name, written in zip(names, rows, strict=True):
                    data = written.tobytes()
                    with named_errors(folder / name):
                        files[name].write(data)
                    found[name].update(data)
        content = {**counts, DIGESTS: {name: digest.hexdigest() for name, digest in found.items()}}
        (folder / "packing.json").write_text(json.dumps(content), encoding="utf-8")


def _all_rows(packer: _Packer, counts: dict[str, int], workers: int) -> Iterator[Rows]:
    """What each block adds to each file; samples and pieces are counted."""
    tokens = 0
    for rows, packed in in_order(packer, range(len(packer.source.blocks)), workers):
        start = np.array([(counts["samples"], counts["pieces"])], INDEX)
        if packer.source.version == 1:
            rows[1]["first_piece"] += counts["pieces"]
        yield rows if packer.source.version == 1 else (start, *rows)
        counts["samples"] += len(rows[-2])
        counts["pieces"] += len(rows[-1])
        tokens += packed
    if tokens != counts["tokens"]:
        raise AssertionError(f"packing holds {tokens} of {counts['tokens']} tokens")
    if packer.source.version > 1:
        nothing = np.zeros(0, np.uint8)
        yield np.array([(counts["samples"], counts["pieces"])], INDEX), nothing, nothing, nothing


@dataclass(frozen=True, slots=True, eq=False)
class _Packer:
    """Packs one block after the other: what it adds to the files, and its tokens."""

    source: SourceStore
    sequence_length: int
    special_ids: list[int]
    piece_bytes: int

    def __call__(self, block: int, _: object) -> tuple[Rows, int]:
        if self.source.version == 1:
            rows: Rows = packed_rows(self.source, block, self.sequence_length, self.special_ids)
            return rows, int(rows[1]["tokens"].sum())
        packed = pack_block(self.source.block_lengths(block), self.sequence_length)
        rows = _rows(self.source, block, packed, self.sequence_length, self.special_ids, self.piece_bytes)
        return rows, int(packed.lengths.sum())


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
