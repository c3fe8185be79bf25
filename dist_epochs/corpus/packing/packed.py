"""The samples of one source at one length: an index of blocks, which is all that is read at once, and the rest on disk.

packed-128/packing.json   samples, pieces and tokens in all, bytes of a piece; SHA-256 of the four files
packed-128/blocks         first sample and first piece of each block, and of the end
packed-128/sums           of each block, what its samples add to the digest, and their masked tokens
packed-128/samples        of each sample, its first piece within the block and its ordinary (not special) tokens
packed-128/pieces         of each piece, its first token within the block and its length, as one number
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dist_epochs.arithmetic.packings import BEST_FIT
from dist_epochs.corpus.stores.damage import check_size, damaged_packing
from dist_epochs.corpus.streaming.digests import digests
from dist_epochs.corpus.streaming.hashing import Hashes
from dist_epochs.corpus.streaming.objective import Causal, Masked, Objective, StoredIds
from dist_epochs.corpus.streaming.order import Order, PointwiseOrder

if TYPE_CHECKING:
    from dist_epochs.corpus.stores.source_store import SourceStore

__all__ = ["INDEX", "STORED_PROBABILITY", "SUMS", "BlockPacking", "Packing", "SampleFacts", "Sums", "sample_type"]

INDEX = np.dtype([("first_sample", "<u8"), ("first_piece", "<u8")])
SUMS = np.dtype([("high", "<u8"), ("low", "<u8"), ("masked", "<u4")])
STORED_PROBABILITY = Fraction(3, 20)
"""Probability of a mask that the stored numbers of masked tokens are for: BERT's."""

BLOCKS_AT_ONCE = 2**16
"""Blocks of which the index is read at once."""
SAMPLES_AT_ONCE = 2**20
"""Samples that are counted at once, but for those of a block."""

Integers = NDArray[np.int64]
Sums = NDArray[np.uint64]
"""Tokens, loss tokens and both halves of the digest, one line for each block."""


class SampleFacts(NamedTuple):
    """What counting needs to know of samples.

    Attributes:
        tokens: Tokens of each, padding not included.
        pieces: Pieces of each.
        ordinary: Tokens of each that are not special.
    """

    tokens: Integers
    pieces: Integers
    ordinary: Integers


class Packing(ABC):
    """The samples of one source at one length, in corpus order.

    Attributes:
        sequence_length: Positions of a sample.
        source: The documents.
        block_samples: Samples of each block.
        strategy: How documents became samples.
    """

    orders: type[Order]
    block_samples: NDArray[np.integer]

    def __init__(self, source: SourceStore, sequence_length: int, strategy: str = BEST_FIT) -> None:
        self.source = source
        self.sequence_length = sequence_length
        self.strategy = strategy

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return int(self.block_samples.sum(dtype=np.int64))

    def order(self, seed: int, lanes: int) -> Order:
        """The order in which a run draws these samples."""
        return self.orders(
            seed=seed,
            source=self.source.name,
            sequence_length=self.sequence_length,
            block_samples=self.block_samples,
            lanes=lanes,
        )

    @abstractmethod
    def pieces_of(self, blocks: Integers, rows: Integers) -> tuple[Integers, Integers, Integers]:
        """Pieces of each sample, and of all these pieces the first token and the length.

        Args:
            blocks: Block of each sample.
            rows: Which sample of its block it is.

        Returns:
            How many pieces each has; then, one after the other, the first token of each piece, counted from the start
            of the block, and its tokens.
        """

    @abstractmethod
    def facts_of(self, blocks: Integers, rows: Integers) -> SampleFacts:
        """What counting needs to know of samples."""

    def has_sums(self, objective: Objective) -> bool:
        """Whether sums over the samples of each block stand in a file."""
        return False

    def sums(self, objective: Objective) -> Iterator[tuple[int, Sums]]:
        """Sums over the samples of each block, many blocks at a time, with the first of them."""
        sizes = self.block_samples
        ends = np.cumsum(sizes, dtype=np.int64)
        first = 0
        while first < len(sizes):
            before = int(ends[first] - sizes[first])
            stop = max(first + 1, int(np.searchsorted(ends, before + SAMPLES_AT_ONCE, side="right")))
            count = sizes[first:stop]
            starts = ends[first:stop] - count - before
            blocks = np.repeat(np.arange(first, stop), count)
            rows = np.arange(len(blocks)) - np.repeat(starts, count)
            yield first, np.add.reduceat(self.columns(objective, blocks, rows), starts, axis=0)
            first = stop

    def columns(self, objective: Objective, blocks: Integers, rows: Integers) -> Sums:
        """Tokens, loss tokens and digest halves of samples, one line for each."""
        facts = self.facts_of(blocks, rows)
        loss = objective.loss_tokens(*facts)
        high, low = self.digests(blocks, rows)
        return np.stack([facts.tokens.astype(np.uint64), loss.astype(np.uint64), high, low], axis=1)

    def digests(self, blocks: Integers, rows: Integers) -> tuple[Hashes, Hashes]:
        """What each of some samples adds to the digest."""
        return digests(self.source.name, self.sequence_length, self.strategy, blocks, rows)

    @property
    def documents(self) -> int:
        """Documents of which at least a part is in a sample."""
        documents: int = self.source.entry["documents"]
        return documents

    def documents_of(self, block: int, rows: Integers) -> Integers:
        """Which documents are in some samples of a block, in part or whole, counted from the first of the source."""
        ends = np.cumsum(self.source.block_lengths(block))
        _, starts, _ = self.pieces_of(np.full(len(rows), block), rows)
        return self.source.first_document(block) + np.unique(np.searchsorted(ends, starts, side="right"))

    def documents_in(self, blocks: NDArray[np.bool_]) -> Integers:
        """First document and end of what is in the samples of each block that is chosen."""
        return self.source.documents_in(blocks)

    def shards_of(self, blocks: Integers, rows: Integers) -> Integers:
        """The shards that samples are in, each once."""
        count, starts, lengths = self.pieces_of(blocks, rows)
        return np.unique(self.places_of(blocks, count, starts, lengths)[0])

    def shards_of_documents(self, blocks: Integers) -> Integers:
        """The shards of whose documents the lengths are read for `documents_of` these blocks, each once."""
        return np.unique(self.source.places_of(blocks)[0])

    def read(self, blocks: Integers, rows: Integers, pad: int) -> tuple[StoredIds, Integers]:
        """Ids and segments of samples.

        Args:
            blocks: Block of each sample.
            rows: Which sample of its block it is.
            pad: Id that fills the rest.

        Returns:
            Ids, in the smallest type that holds them, and segment numbers (0 for padding, 1 for the first piece),
            shape (samples, length).
        """
        count, starts, lengths = self.pieces_of(blocks, rows)
        shards, first = self.places_of(blocks, count, starts, lengths)
        after = np.cumsum(count)
        padding = self.sequence_length - np.add.reduceat(lengths, after - count)
        if (padding < 0).any():
            raise damaged_packing(self.folder / "pieces", "the pieces of a sample are longer than it")
        numbers = np.arange(len(lengths)) - np.repeat(after - count, count) + 1
        # padding is one more piece of each sample, of any tokens, which are then replaced
        lengths, first, numbers, shards = (
            np.insert(of_pieces, after, of_padding)
            for of_pieces, of_padding in ((lengths, padding), (first, 0), (numbers, 0), (shards, shards[after - 1]))
        )
        shape = (len(blocks), self.sequence_length)
        segments = np.repeat(numbers, lengths).reshape(shape)
        ends = np.cumsum(lengths)
        tokens = np.repeat(first - (ends - lengths), lengths)
        tokens += np.arange(len(tokens))
        begins = [0, *(np.flatnonzero(np.diff(shards)) + 1).tolist()]
        places = [*(ends - lengths)[begins].tolist(), len(tokens)]
        ids = np.concatenate(
            [
                self.source.shard_tokens(int(shards[piece])).take(tokens[place:end], mode="clip")
                for piece, (place, end) in zip(begins, pairwise(places), strict=True)
            ]
        ).reshape(shape)
        self.source.files.used(ids.size)
        ids = np.where(segments > 0, ids, np.array(pad, np.min_scalar_type(pad)))
        return ids, segments

    def places_of(
        self, blocks: Integers, count: Integers, starts: Integers, lengths: Integers
    ) -> tuple[Integers, Integers]:
        """Shard of each piece, and its first token there.

        Args:
            blocks: Block of each sample.
            count: How many pieces each sample has.
            starts: First token of each piece, counted from the start of the block.
            lengths: Tokens of each piece.

        Raises:
            InputError: If a piece lies outside its block.
        """
        shards, places, sizes = self.source.places_of(blocks)
        if (starts + lengths > np.repeat(sizes, count)).any():
            raise damaged_packing(self.folder / "pieces", "a piece lies outside its block")
        return np.repeat(shards, count), np.repeat(places, count) + starts

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self.source.packing_folder(self.sequence_length, self.strategy)


def sample_type(sequence_length: int) -> np.dtype[Any]:
    """How a sample stands in the file."""
    return np.dtype([("first_piece", "<u4"), ("ordinary", "<u2" if sequence_length < 2**16 else "<u4")])


class BlockPacking(Packing):
    """The samples as stores have them since format 2: the index of blocks is checked, the rest when it is used.

    Args:
        source: The documents.
        sequence_length: Positions of a sample.
        strategy: How documents became samples.

    Raises:
        InputError: If a file is missing or cut, or the index cannot be.
    """

    orders = PointwiseOrder
    index_type, sums_type = INDEX, SUMS

    def __init__(self, source: SourceStore, sequence_length: int, strategy: str = BEST_FIT) -> None:
        super().__init__(source, sequence_length, strategy)
        folder, counts = self.folder, source.packing_counts(sequence_length, strategy)
        for name, size in self.sizes(counts).items():
            check_size(folder / name, size, damaged_packing)
        self.block_samples = self._checked_index(counts)
        self._index = source.files.map(folder / "blocks", self.index_type)
        self._samples = source.files.map(folder / "samples", sample_type(sequence_length))
        self._pieces = source.files.map(folder / "pieces", np.dtype(f"<u{counts['piece_bytes']}"))
        self._bits = np.uint64((sequence_length - 1).bit_length())

    @classmethod
    def sizes(cls, counts: Mapping[str, Any]) -> dict[str, int]:
        """Bytes of each of its files, by what packing.json says."""
        return {
            "blocks": (counts["blocks"] + 1) * cls.index_type.itemsize,
            "sums": counts["blocks"] * cls.sums_type.itemsize,
            "samples": counts["samples"] * sample_type(counts["sequence_length"]).itemsize,
            "pieces": counts["pieces"] * counts["piece_bytes"],
        }

    def pieces_of(self, blocks: Integers, rows: Integers) -> tuple[Integers, Integers, Integers]:
        """Pieces of each sample, and of all these pieces the first token and the length."""
        _, first, count = self._places(blocks, rows)
        places = np.arange(int(count.sum())) + np.repeat(first - (np.cumsum(count) - count), count)
        packed = self._pieces[places].astype(np.uint64)
        self.source.files.used(len(places))
        lengths = (packed & ((np.uint64(1) << self._bits) - np.uint64(1))).astype(np.int64) + 1
        return count, (packed >> self._bits).astype(np.int64), lengths

    def facts_of(self, blocks: Integers, rows: Integers) -> SampleFacts:
        """What counting needs to know of samples."""
        samples, _, _ = self._places(blocks, rows)
        count, _, lengths = self.pieces_of(blocks, rows)
        tokens = np.add.reduceat(lengths, np.cumsum(count) - count)
        return SampleFacts(tokens, count, self._samples["ordinary"][samples].astype(np.int64))

    def has_sums(self, objective: Objective) -> bool:
        """Whether the stored sums are for this objective."""
        return isinstance(objective, Causal) or (
            isinstance(objective, Masked) and objective.probability == STORED_PROBABILITY
        )

    def sums(self, objective: Objective) -> Iterator[tuple[int, Sums]]:
        """Sums over the samples of each block: the stored ones, if the objective is one that they are for."""
        if not self.has_sums(objective):
            yield from super().sums(objective)
            return
        for first in range(0, len(self.block_samples), BLOCKS_AT_ONCE):
            count = min(BLOCKS_AT_ONCE, len(self.block_samples) - first)
            stored, tokens = self._sum_rows(first, count), self._block_tokens(first, count)
            loss = stored["masked"]
            if isinstance(objective, Causal):
                index = self._index_rows(first, count + 1)
                loss = tokens - np.diff(index["first_piece"].astype(np.int64))
            columns = (tokens, loss, stored["high"], stored["low"])
            yield first, np.stack([column.astype(np.uint64) for column in columns], axis=1)

    def _places(self, blocks: Integers, rows: Integers) -> tuple[Integers, Integers, Integers]:
        """Number, first piece and pieces of samples."""
        here, after = self._index[blocks], self._index[np.asarray(blocks) + 1]
        samples = here["first_sample"].astype(np.int64) + rows
        inside = self._samples["first_piece"][samples].astype(np.int64)
        is_last = samples + 1 == after["first_sample"].astype(np.int64)
        following = self._samples["first_piece"][np.minimum(samples + 1, len(self._samples) - 1)].astype(np.int64)
        pieces = (after["first_piece"] - here["first_piece"]).astype(np.int64)
        count = np.where(is_last, pieces, following) - inside
        if (count < 1).any() or (inside + count > pieces).any():
            raise damaged_packing(self.folder / "samples", "the pieces of a sample lie outside its block")
        return samples, here["first_piece"].astype(np.int64) + inside, count

    def _index_rows(self, first: int, count: int) -> NDArray[Any]:
        """Some neighbouring rows of the index; read, as what is mapped stays in memory."""
        kind = self.index_type
        return np.fromfile(self.folder / "blocks", kind, count, offset=first * kind.itemsize)

    def _sum_rows(self, first: int, count: int) -> NDArray[Any]:
        kind = self.sums_type
        return np.fromfile(self.folder / "sums", kind, count, offset=first * kind.itemsize)

    def _block_tokens(self, first: int, count: int) -> Integers:
        """Tokens in the samples of some neighbouring blocks."""
        return self.source.block_tokens(first, count)

    def _checked_index(self, counts: dict[str, Any]) -> NDArray[np.integer]:
        """Samples of each block, after the index was checked."""
        path = self.folder / "blocks"
        blocks = counts["blocks"]
        samples = np.zeros(blocks, np.uint32)
        at = np.zeros(3, np.int64)  # samples, pieces and tokens
        for first in range(0, blocks, BLOCKS_AT_ONCE):
            count = min(BLOCKS_AT_ONCE, blocks - first)
            rows, tokens = self._index_rows(first, count + 1), self._block_tokens(first, count)
            if len(tokens) < count:
                raise damaged_packing(path, f"there are {blocks:,} blocks, which the source has not")
            both = np.stack([rows["first_sample"], rows["first_piece"]]).astype(np.int64)
            own = np.diff(both, axis=1)
            fits = (own[0] >= 1) & (own[0] <= own[1]) & (own[0] * self.sequence_length >= tokens)
            if not fits.all() or (both[:, 0] != at[:2]).any():
                number = first + (int(np.flatnonzero(~fits)[0]) if not fits.all() else 0)
                raise damaged_packing(path, f"block {number:,} is impossible")
            samples[first : first + count] = own[0]
            at = np.append(both[:, -1], at[2] + tokens.sum())
        for found, name in zip(at.tolist(), ("samples", "pieces", "tokens"), strict=True):
            if found != counts[name]:
                raise damaged_packing(path, f"its blocks have {found:,} {name}, and packing.json says {counts[name]:,}")
        return samples
