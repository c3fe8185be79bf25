"""What the plan needs to know of a corpus: plain numbers, handed in by whoever counted it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

__all__ = ["CorpusFacts", "SourceFacts"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFacts:
    """Counts of one source, held-out documents excluded.

    Attributes:
        name: The source.
        documents: Entries with at least one token.
        words: Whitespace-separated pieces.
        tokens: Tokens of one pass, special tokens included.
        samples: Samples of one pass, for each sequence length the source is packed at.
    """

    name: str
    documents: int
    words: int
    tokens: int
    samples: Mapping[int, int] = field(default_factory=dict)


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
        return {source.name: source.samples[sequence_length] for source in self.sources}

    def not_packed(self, sequence_lengths: Iterable[int]) -> tuple[int, ...]:
        """Those of some lengths, shortest first, that a source is not packed at, so that its samples are not known."""
        wanted = sorted(set(sequence_lengths))
        return tuple(length for length in wanted if any(length not in source.samples for source in self.sources))
