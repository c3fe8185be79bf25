"""The samples of one source at one length: an index of blocks, which is all that is read at once, and the rest on disk.

packed-128/packing.json   samples, pieces and tokens in all, bytes of a piece; SHA-256 of the four files
packed-128/blocks         first sample and first piece of each block, and of the end
packed-128/sums           of each block, what its samples add to the digest, and their masked tokens
packed-128/samples        of each sample, its first piece within the block and its ordinary (not special) tokens
packed-128/pieces         of each piece, its first token within the block and its length, as one number
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dist_epochs.corpus.damage import damaged_packing
from dist_epochs.corpus.digests import digests
from dist_epochs.corpus.mapped import check_size, mapped
from dist_epochs.corpus.objective import Causal, Masked, Objective, StoredIds
from dist_epochs.corpus.order import Order, PointwiseOrder

if TYPE_CHECKING:
    from dist_epochs.corpus.source_store import SourceStore

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
    """

    orders: type[Order]

    def __init__(self, source: SourceStore, sequence_length: int, block_samples: NDArray[np.integer]) -> None:
        self.source = source
        self.sequence_length = sequence_length
        self.block_samples = block_samples

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
        high, low = digests(self.source.name, self.sequence_length, blocks, rows)
        return np.stack([facts.tokens.astype(np.uint64), loss.astype(np.uint64), high, low], axis=1)

    def documents_of(self, block: int, rows: Integers) -> Integers:
        """Which documents of a block are in some of its samples, in part or whole."""
        ends = np.cumsum(self.source.block_lengths(block))
        _, starts, _ = self.pieces_of(np.full(len(rows), block), rows)
        return np.unique(np.searchsorted(ends, starts, side="right"))

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
        shards, places, sizes = self.source.places_of(blocks)
        after = np.cumsum(count)
        padding = self.sequence_length - np.add.reduceat(lengths, after - count)
        if (padding < 0).any() or (starts + lengths > np.repeat(sizes, count)).any():
            raise damaged_packing(self.folder / "pieces", "a piece lies outside its block, or its sample")
        numbers = np.arange(len(lengths)) - np.repeat(after - count, count) + 1
        # padding is one more piece of each sample, of any tokens, which are then replaced
        lengths, starts, numbers = (
            np.insert(of_pieces, after, of_padding)
            for of_pieces, of_padding in ((lengths, padding), (np.repeat(places, count) + starts, 0), (numbers, 0))
        )
        shape = (len(blocks), self.sequence_length)
        segments = np.repeat(numbers, lengths).reshape(shape)
        tokens = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        tokens += np.arange(len(tokens))
        tokens = tokens.reshape(shape)
        ends = [*(np.flatnonzero(np.diff(shards)) + 1).tolist(), len(shards)]
        ids = np.concatenate(
            [
                self.source.shard_tokens(int(shards[first])).take(tokens[first:end], mode="clip")
                for first, end in pairwise([0, *ends])
            ]
        )
        ids = np.where(segments > 0, ids, np.array(pad, np.min_scalar_type(pad)))
        return ids, segments

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self.source.packing_folder(self.sequence_length)


def sample_type(sequence_length: int) -> np.dtype[Any]:
    """How a sample stands in the file."""
    return np.dtype([("first_piece", "<u4"), ("ordinary", "<u2" if sequence_length < 2**16 else "<u4")])


class BlockPacking(Packing):
    """The samples as stores have them since format 2: the index of blocks is checked, the rest when it is used.

    Args:
        source: The documents.
        sequence_length: Positions of a sample.

    Raises:
        InputError: If a file is missing or cut, or the index cannot be.
    """

    orders = PointwiseOrder

    def __init__(self, source: SourceStore, sequence_length: int) -> None:
        folder = source.packing_folder(sequence_length)
        counts = source.packing_counts(sequence_length)
        blocks = len(source.blocks)
        sizes = {"blocks": (blocks + 1) * INDEX.itemsize, "sums": blocks * SUMS.itemsize}
        sizes |= {"samples": counts["samples"] * sample_type(sequence_length).itemsize}
        sizes |= {"pieces": counts["pieces"] * counts["piece_bytes"]}
        for name, size in sizes.items():
            check_size(folder / name, size, damaged_packing)
        super().__init__(source, sequence_length, _checked_index(folder, source, sequence_length, counts))
        self._index = mapped(folder / "blocks", INDEX)
        self._samples = mapped(folder / "samples", sample_type(sequence_length))
        self._pieces = mapped(folder / "pieces", np.dtype(f"<u{counts['piece_bytes']}"))
        self._bits = np.uint64((sequence_length - 1).bit_length())

    def pieces_of(self, blocks: Integers, rows: Integers) -> tuple[Integers, Integers, Integers]:
        """Pieces of each sample, and of all these pieces the first token and the length."""
        _, first, count = self._places(blocks, rows)
        places = np.arange(int(count.sum())) + np.repeat(first - (np.cumsum(count) - count), count)
        packed = self._pieces[places].astype(np.uint64)
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
            stored = np.fromfile(self.folder / "sums", SUMS, count, offset=first * SUMS.itemsize)
            tokens = self.source.block_tokens(first, count)
            loss = stored["masked"]
            if isinstance(objective, Causal):
                index = np.fromfile(self.folder / "blocks", INDEX, count + 1, offset=first * INDEX.itemsize)
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


def _checked_index(
    folder: Path, source: SourceStore, sequence_length: int, counts: dict[str, Any]
) -> NDArray[np.integer]:
    """Samples of each block, after the index was checked."""
    path = folder / "blocks"
    blocks = len(source.blocks)
    samples = np.zeros(blocks, np.uint32)
    at = np.zeros(2, np.int64)
    for first in range(0, blocks, BLOCKS_AT_ONCE):
        count = min(BLOCKS_AT_ONCE, blocks - first)
        rows = np.fromfile(path, INDEX, count + 1, offset=first * INDEX.itemsize)
        both = np.stack([rows["first_sample"], rows["first_piece"]]).astype(np.int64)
        own = np.diff(both, axis=1)
        fits = (own[0] >= 1) & (own[0] <= own[1]) & (own[0] * sequence_length >= source.block_tokens(first, count))
        if not fits.all() or (both[:, 0] != at).any():
            number = first + (int(np.flatnonzero(~fits)[0]) if not fits.all() else 0)
            raise damaged_packing(path, f"block {number:,} is impossible")
        samples[first : first + count] = own[0]
        at = both[:, -1]
    for found, name in zip(at.tolist(), ("samples", "pieces"), strict=True):
        if found != counts[name]:
            raise damaged_packing(path, f"its blocks have {found:,} {name}, and packing.json says {counts[name]:,}")
    return samples
