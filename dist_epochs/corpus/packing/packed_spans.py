"""The samples of the strategies that pack spans instead of the store's blocks: spans are the blocks of their order.

Their index and their sums say more of each block: where its span begins, and the tokens and documents that are in
samples, since some strategies lose some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dist_epochs.corpus.packing.packed import INDEX, SUMS, BlockPacking, Integers
from dist_epochs.corpus.stores.damage import damaged_packing

if TYPE_CHECKING:
    from dist_epochs.corpus.stores.source_store import SourceStore

__all__ = ["SPANS", "SPAN_SUMS", "SpanPacking"]

SPANS = np.dtype([*INDEX.descr, ("first_token", "<u8"), ("first_document", "<u8"), ("before", "<u8")])
"""A block of the index: the beginning of its `Span`, too."""
SPAN_SUMS = np.dtype([*SUMS.descr, ("tokens", "<u8"), ("documents", "<u4")])
"""Tokens in samples, and the documents that they are of, which are the first ones of the span."""


class SpanPacking(BlockPacking):
    """The samples of one source at one length, packed by one of `STRATEGIES`.

    Args:
        source: The documents.
        sequence_length: Positions of a sample.
        strategy: How documents became samples.

    Raises:
        InputError: If a file is missing or cut, or the index cannot be.
    """

    index_type, sums_type = SPANS, SPAN_SUMS

    def __init__(self, source: SourceStore, sequence_length: int, strategy: str) -> None:
        super().__init__(source, sequence_length, strategy)
        self._documents: int = source.packing_counts(sequence_length, strategy)["documents"]

    @property
    def documents(self) -> int:
        """Documents of which at least a part is in a sample."""
        return self._documents

    def documents_of(self, block: int, rows: Integers) -> Integers:
        """Which documents are in some samples of a block, in part or whole, counted from the first of the source."""
        place, documents = self._index[block], int(self._sum_rows(block, 1)["documents"][0])
        first, before = int(place["first_document"]), int(place["before"])
        ends = np.cumsum(self.source.length_range(first, documents)) - before
        _, starts, _ = self.pieces_of(np.full(len(rows), block), rows)
        return first + np.unique(np.searchsorted(ends, starts, side="right"))

    def shards_of_documents(self, blocks: Integers) -> Integers:
        """The shards of whose documents the lengths are read for `documents_of` these blocks, each once."""
        begins = self.source.shard_starts[:-1, 1]
        spans = (self._index["first_document"][at].astype(np.int64) for at in (blocks, blocks + 1))
        first, last = (np.searchsorted(begins, each, side="right") - 1 for each in spans)
        return np.unique(np.concatenate([np.arange(one, other + 1) for one, other in zip(first, last, strict=True)]))

    def documents_in(self, blocks: NDArray[np.bool_]) -> Integers:
        """First document and end of what is in the samples of each block that is chosen."""
        first = self._index["first_document"][:-1][blocks].astype(np.int64)
        return np.stack([first, first + self._sum_rows(0, len(blocks))["documents"][blocks]], axis=1)

    def places_of(
        self, blocks: Integers, count: Integers, starts: Integers, lengths: Integers
    ) -> tuple[Integers, Integers]:
        """Shard of each piece, and its first token there."""
        first = np.repeat(self._index["first_token"][blocks].astype(np.int64), count) + starts
        begins = self.source.shard_starts[:, 0]
        shards = np.searchsorted(begins, first, side="right") - 1
        ends = np.minimum(begins[np.minimum(shards + 1, len(begins) - 1)], np.repeat(self._ends_of(blocks), count))
        if (first + lengths > ends).any():
            raise damaged_packing(self.folder / "pieces", "a piece lies outside its block or shard")
        return shards, first - begins[shards]

    def _ends_of(self, blocks: Integers) -> Integers:
        """Where the next block begins."""
        return self._index["first_token"][np.asarray(blocks) + 1].astype(np.int64)

    def _block_tokens(self, first: int, count: int) -> Integers:
        return self._sum_rows(first, count)["tokens"].astype(np.int64)

    def _checked_index(self, counts: dict[str, Any]) -> NDArray[np.integer]:
        samples = super()._checked_index(counts)
        rows, sums = self._index_rows(0, counts["blocks"] + 1), self._sum_rows(0, counts["blocks"])
        token, document, before = (rows[name].astype(np.int64) for name in ("first_token", "first_document", "before"))
        fits = (np.diff(token) >= sums["tokens"].astype(np.int64)) & (np.diff(document) >= 0)
        fits &= (document[:-1] + sums["documents"] <= document[1:] + (before[1:] > 0)) & (sums["documents"] > 0)
        ends = (self.source.entry["tokens"], self.source.entry["documents"])
        if not fits.all() or (token[-1], document[-1]) != ends:
            raise damaged_packing(self.folder / "blocks", "its blocks are not those of the source")
        return samples
