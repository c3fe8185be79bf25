"""The samples of a store of format 1: everything is checked when it is opened, and listed sample by sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dist_epochs.corpus.packing.packed import Integers, Packing, SampleFacts
from dist_epochs.corpus.packing.packing_1 import pack_block
from dist_epochs.corpus.packing.packing_checks import check_packing
from dist_epochs.corpus.stores.damage import check_size, damaged_packing
from dist_epochs.corpus.streaming.order import Order

if TYPE_CHECKING:
    from dist_epochs.corpus.stores.source_store import SourceStore

__all__ = ["ListedPacking", "packed_rows"]

SAMPLES = np.dtype([("first_piece", "<i8"), ("pieces", "<i4"), ("tokens", "<i4"), ("ordinary", "<i4")])
PIECES = np.dtype([("document", "<i8"), ("start", "<i8"), ("length", "<i4")])
BLOCK_SAMPLES = np.dtype("<i8")


class ListedPacking(Packing):
    """The samples and pieces of all blocks in two lists.

    Args:
        source: The documents.
        sequence_length: Positions of a sample.

    Raises:
        InputError: If a file is damaged.
    """

    orders = Order

    def __init__(self, source: SourceStore, sequence_length: int) -> None:
        folder = source.packing_folder(sequence_length)
        counts = source.packing_counts(sequence_length)
        kinds = {"blocks": BLOCK_SAMPLES, "samples": SAMPLES, "pieces": PIECES}
        rows = {"blocks": len(source.blocks), "samples": counts["samples"], "pieces": counts["pieces"]}
        for name, kind in kinds.items():
            check_size(folder / name, rows[name] * kind.itemsize, damaged_packing)
        block_samples, samples, pieces = (source.files.map(folder / name, kind) for name, kind in kinds.items())
        check_packing(folder, sequence_length, (block_samples, samples, pieces), source.blocks, source.lengths)
        super().__init__(source, sequence_length)
        self.block_samples = block_samples
        self._samples, self._pieces = samples, pieces
        self._first = np.cumsum(block_samples) - block_samples

    def pieces_of(self, blocks: Integers, rows: Integers) -> tuple[Integers, Integers, Integers]:
        """Pieces of each sample, and of all these pieces the first token and the length."""
        samples = self._samples[self._first[blocks] + rows]
        count = samples["pieces"].astype(np.int64)
        places = np.arange(int(count.sum())) + np.repeat(samples["first_piece"] - (np.cumsum(count) - count), count)
        pieces = self._pieces[places]
        return count, pieces["start"], pieces["length"].astype(np.int64)

    def facts_of(self, blocks: Integers, rows: Integers) -> SampleFacts:
        """What counting needs to know of samples."""
        samples = self._samples[self._first[blocks] + rows]
        return SampleFacts(*(samples[name].astype(np.int64) for name in ("tokens", "pieces", "ordinary")))


def packed_rows(
    source: SourceStore, block: int, sequence_length: int, special_ids: list[int]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The number of samples, the samples and the pieces of one block; `first_piece` counts from the block's first."""
    first = source.first_document(block)
    packed = pack_block(source.block_lengths(block).tolist(), sequence_length)
    flat = [piece for sample in packed for piece in sample]
    pieces = np.zeros(len(flat), PIECES)
    pieces["document"] = first + np.array([piece.document for piece in flat])
    pieces["start"] = [piece.start for piece in flat]
    pieces["length"] = [piece.length for piece in flat]
    ordinary_before = np.concatenate(([0], np.cumsum(~np.isin(source.tokens(block), special_ids))))
    ordinary = ordinary_before[pieces["start"] + pieces["length"]] - ordinary_before[pieces["start"]]
    samples = np.zeros(len(packed), SAMPLES)
    samples["pieces"] = [len(sample) for sample in packed]
    samples["first_piece"] = np.cumsum(samples["pieces"]) - samples["pieces"]
    samples["tokens"] = np.add.reduceat(pieces["length"], samples["first_piece"])
    samples["ordinary"] = np.add.reduceat(ordinary, samples["first_piece"])
    return np.array([len(samples)], BLOCK_SAMPLES), samples, pieces
