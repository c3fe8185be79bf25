"""The strategies of `PACKINGS`: which documents are packed together, and how their lengths become samples.

TRL's are those of `trl.pack_dataset` (1.16) and `group_texts` is that of transformers' `run_clm.py` and `run_mlm.py`.
Both are mapped over batches of 1,000 rows by `datasets.map`, in the order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dist_epochs.arithmetic.packings import BEST_FIT
from dist_epochs.corpus.packing.packing import Packed, best_fit, cut, pack_block
from dist_epochs.corpus.packing.spans import Span, by_documents, by_tokens
from dist_epochs.corpus.stores.blocks import cut_by_tokens
from dist_epochs.plan.corpus_facts import PackingFacts

__all__ = ["STRATEGIES", "PackingCounts", "Strategy", "count_packing", "counts_of"]

BATCH_DOCUMENTS = 1000
"""Rows that `datasets.map` hands to a function at once, if it is not told otherwise."""

Integers = NDArray[np.int64]
Parts = Iterable[Integers]
"""Tokens of each document of a source, some documents at a time."""


@dataclass(frozen=True, slots=True)
class PackingCounts:
    """What becomes of documents when they are packed.

    Attributes:
        samples: Samples.
        pieces: Pieces of documents in them.
        tokens: Tokens in them.
        documents: Documents of which at least a part is in them.
        documents_cut: Of these, those that are not whole in one sample.
        tokens_truncated: Tokens in no sample that are the ends of documents longer than a sample.
        tokens_dropped: Tokens in no sample that are the rest of a batch of documents.
    """

    samples: int = 0
    pieces: int = 0
    tokens: int = 0
    documents: int = 0
    documents_cut: int = 0
    tokens_truncated: int = 0
    tokens_dropped: int = 0

    def facts(self) -> PackingFacts:
        """What a plan needs to know of them."""
        return PackingFacts(
            samples=self.samples,
            tokens=self.tokens,
            documents_cut=self.documents_cut,
            tokens_truncated=self.tokens_truncated,
            tokens_dropped=self.tokens_dropped,
        )

    def __add__(self, other: PackingCounts) -> PackingCounts:
        """The counts of both."""
        return PackingCounts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Strategy:
    """A way to make samples of documents.

    Attributes:
        spans: Which documents are packed together, from the lengths of all, the sequence length and the tokens of a
            block.
        pack: The samples, from the documents' lengths and the sequence length.
        cause: What becomes of tokens that are in no sample: `truncated`, the ends of documents, or `dropped`.
        first_is_largest: Whether no span has more tokens than the first.
    """

    spans: Callable[[Parts, int, int], Iterator[Span]]
    pack: Callable[[Integers, int], Packed]
    cause: str = "dropped"
    first_is_largest: bool = False


def one_after_the_other(lengths: Integers, sequence_length: int) -> Packed:
    """All documents in one row, cut at each length; the last sample has what is left.

    Examples:
        >>> packed = one_after_the_other(np.array([5, 2, 3]), 4)
        >>> packed.first_piece.tolist(), packed.starts.tolist(), packed.lengths.tolist()
        ([0, 1, 4, 5], [0, 4, 5, 7, 8], [4, 1, 2, 1, 2])
    """
    ends = np.cumsum(lengths)
    samples = np.arange(0, int(ends[-1]), sequence_length)
    cuts = np.union1d(samples, ends)
    starts = cuts[:-1]
    return Packed(np.append(np.searchsorted(starts, samples), len(starts)), starts, np.diff(cuts))


def without_the_rest(lengths: Integers, sequence_length: int) -> Packed:
    """The same without a last sample that is not full."""
    packed = one_after_the_other(lengths, sequence_length)
    samples = int(lengths.sum()) // sequence_length
    pieces = int(packed.first_piece[samples])
    return Packed(packed.first_piece[: samples + 1], packed.starts[:pieces], packed.lengths[:pieces])


def one_each(lengths: Integers, sequence_length: int) -> Packed:
    """A sample of each document, which loses what is longer."""
    return Packed(np.arange(len(lengths) + 1), np.cumsum(lengths) - lengths, np.minimum(lengths, sequence_length))


def trl_bfd(lengths: Integers, sequence_length: int) -> Packed:
    """TRL's `bfd`: best-fit-decreasing of documents that lose what is longer than a sample."""
    starts = np.cumsum(lengths) - lengths
    return best_fit(starts, np.minimum(lengths, sequence_length), sequence_length, oldest_first=True)


def trl_bfd_split(lengths: Integers, sequence_length: int) -> Packed:
    """TRL's `bfd_split`, earlier `bfd-requeue`: the same of documents that are cut, and lose nothing."""
    return best_fit(*cut(lengths, sequence_length), sequence_length, oldest_first=True)


def _batches(parts: Parts, sequence_length: int, block_tokens: int) -> Iterator[Span]:
    return by_documents(parts, BATCH_DOCUMENTS)


def _whole_samples(parts: Parts, sequence_length: int, block_tokens: int) -> Iterator[Span]:
    """As many tokens as fill some samples, so that each sample is in one span although documents are not."""
    return by_tokens(parts, max(1, block_tokens // sequence_length) * sequence_length)


def _blocks(parts: Parts, sequence_length: int, block_tokens: int) -> Iterator[Span]:
    """The blocks of a store, of which each part is a shard."""
    token = document = 0
    for part in parts:
        for block in np.split(part, cut_by_tokens(part, block_tokens)[1:-1]):
            span = Span(token, document, 0, block)
            yield span
            token, document = token + span.tokens, document + len(block)


STRATEGIES: Mapping[str, Strategy] = {
    BEST_FIT: Strategy(_blocks, pack_block),
    "concatenate": Strategy(_whole_samples, one_after_the_other, first_is_largest=True),
    "truncate": Strategy(_batches, one_each, "truncated"),
    "group_texts": Strategy(_batches, without_the_rest),
    "bfd": Strategy(_batches, trl_bfd, "truncated"),
    "bfd_split": Strategy(_batches, trl_bfd_split),
    "wrapped": Strategy(_batches, one_after_the_other),
}
"""All of `PACKINGS`."""


def counts_of(span: Span, packed: Packed, cause: str) -> PackingCounts:
    """What became of the documents of one span.

    Args:
        span: The documents.
        packed: Their samples.
        cause: What became of tokens that are in none: the strategy's.
    """
    tokens = int(packed.lengths.sum())
    lost = {f"tokens_{cause}": span.tokens - tokens}
    if not packed.samples:
        return PackingCounts(**lost)
    document = np.searchsorted(np.cumsum(span.lengths), packed.starts, side="right")
    is_cut = np.zeros(int(document.max()) + 1, np.bool_)
    is_cut[document[packed.lengths < span.lengths[document]]] = True
    is_cut[-1] |= span.goes_on and len(is_cut) == len(span.lengths)
    here = is_cut[int(span.before > 0) :]  # an earlier span counts the other
    return PackingCounts(
        samples=packed.samples,
        pieces=len(packed.lengths),
        tokens=tokens,
        documents=len(here),
        documents_cut=int(here.sum()),
        **lost,
    )


def count_packing(packing: str, parts: Parts, sequence_length: int, block_tokens: int) -> PackingCounts:
    """What becomes of documents, from their lengths alone.

    Args:
        packing: One of `PACKINGS`.
        parts: Tokens of each document, shard by shard.
        sequence_length: Positions of a sample.
        block_tokens: Tokens of a block of a store.
    """
    strategy = STRATEGIES[packing]
    spans = strategy.spans(parts, sequence_length, block_tokens)
    each = (counts_of(span, strategy.pack(span.lengths, sequence_length), strategy.cause) for span in spans)
    return sum(each, PackingCounts())
