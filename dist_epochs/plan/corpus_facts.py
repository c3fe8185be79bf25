"""What the plan needs to know of a corpus: plain numbers, handed in by whoever counted it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["CorpusFacts", "PackingFacts", "SourceFacts"]


@dataclass(frozen=True, slots=True)
class PackingFacts:
    """What became of documents when they were packed at one length.

    Attributes:
        samples: Samples of one pass.
        tokens: Tokens in them.
        documents_cut: Documents that are not whole in one sample; None where it was not counted.
        tokens_truncated: Tokens in no sample that are the ends of documents longer than a sample.
        tokens_dropped: Tokens in no sample that are the rest of a batch of documents.
    """

    samples: int
    tokens: int
    documents_cut: int | None
    tokens_truncated: int = 0
    tokens_dropped: int = 0

    def __add__(self, other: PackingFacts) -> PackingFacts:
        """Of both."""
        cuts = (self.documents_cut, other.documents_cut)
        return PackingFacts(
            samples=self.samples + other.samples,
            tokens=self.tokens + other.tokens,
            documents_cut=None if None in cuts else sum(filter(None, cuts)),
            tokens_truncated=self.tokens_truncated + other.tokens_truncated,
            tokens_dropped=self.tokens_dropped + other.tokens_dropped,
        )

    def padding(self, sequence_length: int) -> int:
        """Positions of all samples that no token fills."""
        return self.samples * sequence_length - self.tokens

    def to_json(self, packing: str, sequence_length: int) -> dict[str, Any]:
        """As `plan --json` and `tokenize --json` have it."""
        return {
            "packing": packing,
            "sequence_length": sequence_length,
            "samples": self.samples,
            "tokens": self.tokens,
            "padding": self.padding(sequence_length),
            "documents_cut": self.documents_cut,
            "tokens_truncated": self.tokens_truncated,
            "tokens_dropped": self.tokens_dropped,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFacts:
    """Counts of one source, held-out documents excluded.

    Attributes:
        name: The source.
        documents: Entries with at least one token.
        words: Whitespace-separated pieces.
        tokens: Tokens of one pass, special tokens included.
        packed: What became of its documents, for each sequence length the source is packed at.
    """

    name: str
    documents: int
    words: int
    tokens: int
    packed: Mapping[int, PackingFacts] = field(default_factory=dict)

    @property
    def samples(self) -> dict[int, int]:
        """Samples of one pass, for each sequence length."""
        return {length: facts.samples for length, facts in self.packed.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusFacts:
    """Counts of a corpus, source by source.

    Attributes:
        sources: The sources to train on.
        fingerprint: Digest of tokens, document lengths and tokenizer.
        store: Where the corpus lies, for messages.
        packing: Name of the rule by which documents became samples.
        order: Name of the rule by which samples are drawn.
        tokenizer: Digest of the tokenizer alone, and whether special tokens were left out; None where it is not known.
    """

    sources: tuple[SourceFacts, ...]
    fingerprint: str
    store: str
    packing: str
    order: str
    tokenizer: str | None = None

    @property
    def documents(self) -> int:
        """Documents of all sources."""
        return sum(source.documents for source in self.sources)

    @property
    def words(self) -> int:
        """Words of all sources."""
        return sum(source.words for source in self.sources)

    @property
    def tokens(self) -> int:
        """Tokens of one pass over all sources."""
        return sum(source.tokens for source in self.sources)

    def only(self, names: Collection[str]) -> CorpusFacts:
        """The same corpus without the sources that are not named."""
        return replace(self, sources=tuple(source for source in self.sources if source.name in names))

    def samples(self, sequence_length: int) -> dict[str, int]:
        """Samples of one pass of each source at a length it is packed at."""
        return {source.name: source.packed[sequence_length].samples for source in self.sources}

    def packed(self, sequence_length: int) -> PackingFacts:
        """What became of the documents of all sources at a length they are packed at."""
        first, *others = (source.packed[sequence_length] for source in self.sources)
        return sum(others, start=first)

    def not_packed(self, sequence_lengths: Iterable[int]) -> tuple[int, ...]:
        """Those of some lengths, shortest first, that a source is not packed at, so that its samples are not known."""
        wanted = sorted(set(sequence_lengths))
        return tuple(length for length in wanted if any(length not in source.packed for source in self.sources))
