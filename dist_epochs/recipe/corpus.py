"""What is drawn: a counted store, or, before anything is counted, stated sizes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

from dist_epochs.arithmetic.packings import BEST_FIT, PACKINGS
from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.arithmetic.text import rounded
from dist_epochs.errors import InputError
from dist_epochs.recipe.values import BYTES, FILE, POSITIVE, RATIO, STORE, quantity
from dist_epochs.settings.fields import Choice, Part, Table, key

__all__ = ["CacheRecipe", "CorpusRecipe", "MixtureRecipe", "SourceRecipe"]


@dataclass(frozen=True, kw_only=True)
class SourceRecipe:
    """One source of a mixture, by its stated size."""

    tokens: Quantity | None = key(quantity(Unit.TOKEN), None)
    """Tokens of the source."""
    words: Quantity | None = key(quantity(Unit.WORD), None)
    """Words of the source; needs `tokens_per_word`."""
    tokens_per_word: Quantity | None = key(RATIO, None)
    """Tokens for one word."""
    samples: Quantity | None = key(quantity(Unit.SAMPLE), None)
    """Samples of the source."""
    weight: Fraction | None = key(POSITIVE, None, also="share")
    """Share of the samples drawn from it, in any proportion: `60%`, or 3 beside another source's 2."""

    def __post_init__(self) -> None:
        _one_of(self, "tokens", "words", "samples")
        if (self.words is None) != (self.tokens_per_word is None):
            raise _without_ratio() if self.tokens_per_word is None else _without_words()

    @property
    def size(self) -> Quantity:
        """Its size, in tokens or samples."""
        if self.words is not None and self.tokens_per_word is not None:
            return self.words * self.tokens_per_word.exactly().counted_in(Unit.TOKEN, per=Unit.WORD)
        if self.samples is not None:
            return self.samples
        assert self.tokens is not None
        return self.tokens


@dataclass(frozen=True, kw_only=True)
class CacheRecipe:
    """Where each machine keeps what it fetched of a store at an address."""

    folder: str | None = key(FILE, None)
    """A folder on a disk of the machine, relative to the recipe. Default: `dist-epochs` in the user's cache folder."""
    limit: str = key(BYTES, "100GB")
    """Size of the shards that are kept, of all stores together; those that were not used for longest are removed."""


@dataclass(frozen=True, kw_only=True)
class CorpusRecipe:
    """What is drawn: a token store, or, to plan before anything is counted, a size; nothing, if it is not known."""

    store: str | None = key(STORE, None)
    """Folder written by `dist-epochs tokenize`, relative to the recipe, or its address: `https://…`, `s3://…`."""
    cache: CacheRecipe | None = key(Part(CacheRecipe), None)
    """What is kept of a store at an address, and where. Default: 100GB in the user's cache folder."""
    packing: str = key(Choice(PACKINGS), BEST_FIT)
    """How documents become samples: `best-fit` loses nothing and cuts only what is longer than a sample; the others
    reproduce what other tools do, with their padding, cuts and losses known before the run."""
    tokens: Quantity | None = key(quantity(Unit.TOKEN), None)
    """Tokens of the corpus, where nothing was counted."""
    words: Quantity | None = key(quantity(Unit.WORD), None)
    """Words of the corpus, where nothing was counted; needs `tokens_per_word`."""
    tokens_per_word: Quantity | None = key(RATIO, None)
    """Tokens for one word."""
    samples: Quantity | None = key(quantity(Unit.SAMPLE), None)
    """Samples of the corpus: rows, images, or sequences that are packed already."""
    sources: Mapping[str, SourceRecipe] | None = key(Table(Part(SourceRecipe)), None)
    """A mixture of stated sources, by name."""
    weights: Mapping[str, Fraction] | None = key(Table(POSITIVE), None)
    """Share of the samples drawn from each source of a store, in any proportion. Needed with several sources."""
    temperature: Fraction | None = key(POSITIVE, None)
    """Instead of weights: each source's size to the power of 1 ÷ temperature; 1 mixes by size."""
    max_epochs: Fraction | None = key(POSITIVE, None)
    """Cap on how often a source may be repeated; sources beyond it are named, with the weight that fits."""

    def __post_init__(self) -> None:
        _one_of(self, "store", "tokens", "words", "samples", "sources", needed=False)
        if (self.words is None) != (self.tokens_per_word is None):
            raise _without_ratio() if self.tokens_per_word is None else _without_words()
        if self.sources is not None:
            self._check_sources(self.sources)
        elif self.store is None and (self.weights is not None or self.temperature is not None):
            raise InputError(
                "weights and temperature mix sources, and this corpus has one",
                fixes=("leaving them out", "corpus.sources, with the size of each", "corpus.store"),
            )
        self._check_whole(self.size)
        if self.temperature is not None and self.weights is not None:
            raise InputError("weights and temperature both say how sources are mixed", fixes="one of them")

    def _check_whole(self, size: Quantity | None) -> None:
        if size is not None and (size.value < 1 or (size.unit is Unit.SAMPLE and size.value.denominator != 1)):
            raise InputError(
                f"the corpus has {rounded(size.value)} {size.unit}s", rule="it must have whole ones, at least one"
            )

    def _check_sources(self, sources: Mapping[str, SourceRecipe]) -> None:
        if self.weights is not None:
            raise InputError("weights are for the sources of a store", fixes="a `weight` of each source")
        units = {source.size.unit for source in sources.values()}
        if len(units) > 1:
            raise InputError(
                "some sources are counted in tokens and some in samples",
                fixes="one way to count all of them the same way",
            )
        weighted = [name for name, source in sources.items() if source.weight is not None]
        if weighted and self.temperature is not None:
            raise InputError("weight and temperature both say how sources are mixed", fixes="one of them")
        if weighted and len(weighted) < len(sources):
            missing = ", ".join(name for name in sources if name not in weighted)
            raise InputError(f"{missing} has no weight, and the others have one", fixes="weights for all, or for none")

    @property
    def size(self) -> Quantity | None:
        """The stated size, in tokens or samples; None for a store, or if nothing is stated."""
        return self.size_of(None)

    def size_of(self, names: Collection[str] | None) -> Quantity | None:
        """The stated size of some sources; without names, of the whole corpus."""
        if self.sources is not None:
            first, *others = (self.sources[name].size for name in names or self.sources)
            return sum(others, start=first)
        if self.words is not None and self.tokens_per_word is not None:
            return self.words * self.tokens_per_word.exactly().counted_in(Unit.TOKEN, per=Unit.WORD)
        if self.samples is not None:
            return self.samples
        return self.tokens


@dataclass(frozen=True, kw_only=True)
class MixtureRecipe:
    """How the sources of the corpus are mixed, where no weights are stated."""

    temperature: Fraction = key(POSITIVE)
    """The same as `corpus.temperature`: each source's size to the power of 1 ÷ temperature."""


def _one_of(part: object, *names: str, needed: bool = True) -> None:
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) > 1 or (needed and not given):
        choices = f"{', '.join(names[:-1])} and {names[-1]}"
        raise InputError(f"give one of {choices}, not {' and '.join(given) or 'none'}")


def _without_ratio() -> InputError:
    return InputError(
        "words and tokens_per_word go together",
        rule="words do not turn into tokens without a ratio (papers count 1; BERT's pieces on WikiText-2 are 1.24)",
        fixes=("--tokens-per-word", "corpus.tokens_per_word"),
    )


def _without_words() -> InputError:
    return InputError(
        "tokens_per_word is the ratio of a corpus in words, and this one is not counted in words",
        fixes="leaving it out",
    )
