"""What a run draws of each source, and how much of the corpus that reaches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import prod
from typing import Protocol

from dist_epochs.arithmetic.counts import Counts, Draw, PassKey
from dist_epochs.arithmetic.curriculum import Curriculum
from dist_epochs.arithmetic.mixture import shares_within
from dist_epochs.arithmetic.replacement import expected_coverage
from dist_epochs.plan.corpus_facts import CorpusFacts
from dist_epochs.plan.drawn import DrawnSamples
from dist_epochs.plan.foreign_loop import expected_loop_coverage
from dist_epochs.recipe import CorpusRecipe, SourceRecipe

__all__ = ["CorpusCounter", "SourcePlan", "coverage_of", "sources_by_phase", "sources_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SourcePlan:
    """One source's part of the run.

    Attributes:
        name: The source.
        samples: Samples drawn from it.
        tokens: Tokens drawn from it; of a source that was not counted, positions.
        epochs: Samples drawn ÷ samples of the source.
        share: Share of all samples.
        size: Tokens or samples of the source, in the unit of the corpus.
        epochs_at: Of a source that was not counted: epochs at each length.
        fitting_share: Where the recipe caps repeats and this source is beyond: the share that fits.
    """

    name: str
    samples: int
    tokens: int | None
    epochs: Fraction
    share: Fraction
    size: Fraction
    epochs_at: Mapping[int, Fraction] = field(default_factory=dict)
    fitting_share: Fraction | None = None


class CorpusCounter(Protocol):
    """Whoever can count a stretch of a pass exactly."""

    def count(self, draw: Draw) -> Counts:
        """Exact counts of a draw, over all devices."""

    def documents_seen(self, source: str, drawn: Iterable[Draw]) -> int:
        """Documents of a source that the draws touch at least once."""


def sources_of(
    corpus: CorpusRecipe,
    curriculum: Curriculum | None,
    drawn: DrawnSamples,
    draws: Sequence[Draw] | None,
    passes: Mapping[PassKey, Counts] | None,
) -> tuple[SourcePlan, ...]:
    """Samples, tokens and epochs of each source; nothing, where they are not known source by source.

    Args:
        corpus: The recipe's, with the cap on repeats.
        curriculum: How sources are drawn.
        drawn: What the run draws.
        draws: What it draws of each pass of each counted source, if that is known.
        passes: Exact counts of these draws, if there are any.
    """
    found = _planned(corpus, curriculum, drawn, draws, passes, None)
    if curriculum is not None and not curriculum.is_uniform:  # over the run, the shares are what is drawn
        found = tuple(replace(each, share=Fraction(each.samples, drawn.samples)) for each in found)
    cap = corpus.max_epochs
    if cap is None or not any(drawn.goes_beyond(source.epochs, cap) for source in found):
        return found
    sizes = {  # in samples, over all lengths; a source that is not drawn yet fits anyway
        source.name: source.samples / source.epochs if source.epochs else Fraction(drawn.samples) for source in found
    }
    fitted = shares_within({source.name: source.share for source in found}, sizes, Fraction(drawn.samples), cap)
    return found if fitted is None else tuple(replace(each, fitting_share=fitted[each.name]) for each in found)


def sources_by_phase(
    corpus: CorpusRecipe,
    curriculum: Curriculum,
    drawn: DrawnSamples,
    draws: Sequence[Draw] | None,
    passes: Mapping[PassKey, Counts] | None,
) -> tuple[tuple[SourcePlan, ...], ...]:
    """The same for each phase; epochs are of this phase alone."""
    mine: dict[int, list[Draw]] = {}
    for draw in draws or ():
        mine.setdefault(draw.key.phase, []).append(draw)
    return tuple(
        _planned(corpus, curriculum, drawn, None if draws is None else mine[phase], passes, phase)
        for phase in range(len(drawn.phases))
    )


def _planned(
    corpus: CorpusRecipe,
    curriculum: Curriculum | None,
    drawn: DrawnSamples,
    draws: Sequence[Draw] | None,
    passes: Mapping[PassKey, Counts] | None,
    phase: int | None,
) -> tuple[SourcePlan, ...]:
    """What one phase draws of each of its sources, or what all of them draw."""
    if curriculum is None:
        return ()
    shares = curriculum.mixtures[phase or 0].shares
    if phase is None:
        shares = dict.fromkeys(curriculum.names, Fraction(0)) | shares
    if drawn.facts is not None:
        return () if draws is None else _counted_sources(drawn.facts, shares, draws, passes)
    return _stated_sources(corpus.sources, shares, curriculum, drawn, phase) if corpus.sources is not None else ()


def _counted_sources(
    facts: CorpusFacts, shares: Mapping[str, Fraction], draws: Sequence[Draw], passes: Mapping[PassKey, Counts] | None
) -> tuple[SourcePlan, ...]:
    result = []
    for source in facts.sources:
        if source.name not in shares:
            continue
        mine = [draw for draw in draws if draw.key.source == source.name]
        epochs = (Fraction(draw.stop - draw.start, source.samples[draw.key.sequence_length]) for draw in mine)
        result.append(
            SourcePlan(
                name=source.name,
                samples=sum(draw.stop - draw.start for draw in mine),
                tokens=sum(passes[draw.key].tokens for draw in mine) if passes else None,
                epochs=sum(epochs, Fraction(0)),
                share=shares[source.name],
                size=Fraction(source.tokens),
            )
        )
    return tuple(result)


def _stated_sources(
    sources: Mapping[str, SourceRecipe],
    shares: Mapping[str, Fraction],
    curriculum: Curriculum,
    drawn: DrawnSamples,
    phase: int | None,
) -> tuple[SourcePlan, ...]:
    """Sources of stated size: positions are taken for tokens."""
    samples_at: dict[str, dict[int, int]] = {name: {} for name in sources if name in shares}
    for span in curriculum.schedule.spans():
        for name, (start, stop) in curriculum.split(span).items() if phase in (None, span.phase) else ():
            before = samples_at[name].get(span.sequence_length, 0)
            samples_at[name][span.sequence_length] = before + stop - start
    result = []
    for name, by_length in samples_at.items():
        size = sources[name].size
        positions = sum(count * length for length, count in by_length.items())
        epochs_at = {
            length: count * (length if drawn.counts_tokens else 1) / size.value for length, count in by_length.items()
        }
        result.append(
            SourcePlan(
                name=name,
                samples=sum(by_length.values()),
                tokens=positions if drawn.counts_tokens else None,
                epochs=sum(epochs_at.values(), Fraction(0)),
                epochs_at=epochs_at,
                share=shares[name],
                size=size.value,
            )
        )
    return tuple(result)


def coverage_of(
    drawn: DrawnSamples,
    sources: Sequence[SourcePlan],
    draws: Sequence[Draw] | None,
    counter: CorpusCounter | None,
    *,
    replacement: bool,
) -> Fraction | float | None:
    """Share of the documents drawn at least once; of samples, where only those are known.

    Args:
        drawn: What the run draws.
        sources: The same, source by source.
        draws: What it draws of each pass of each counted source, if that is known.
        counter: Looks the documents up.
        replacement: Whether samples are drawn with replacement.
    """
    if draws is not None:
        if counter is None or drawn.facts is None:
            return None
        seen = sum(
            counter.documents_seen(source.name, [draw for draw in draws if draw.key.source == source.name])
            for source in drawn.facts.sources
        )
        return Fraction(seen, drawn.facts.documents)
    if replacement:
        return _coverage_by_chance(drawn, sources)
    if drawn.loop is not None:
        return expected_loop_coverage(drawn.loop)
    return None if drawn.facts is not None else _expected_coverage(drawn, sources)


def _expected_coverage(drawn: DrawnSamples, sources: Sequence[SourcePlan]) -> Fraction | None:
    """Of a stated corpus. Every length has an order of its own, so what one misses another may draw."""
    if sources:
        whole = sum((source.size for source in sources), Fraction(0))
        return 1 - sum((_missed(source.epochs_at.values()) * source.size / whole for source in sources), Fraction(0))
    known = [epochs for length in drawn.lengths if (epochs := drawn.epochs_at(length)) is not None]
    return 1 - _missed(known) if len(known) == len(drawn.lengths) else None


def _missed(epochs: Iterable[Fraction]) -> Fraction:
    """Share that no length draws, each having its own order."""
    return prod((1 - min(Fraction(1), each) for each in epochs), start=Fraction(1))


def _coverage_by_chance(drawn: DrawnSamples, sources: Sequence[SourcePlan]) -> float | None:
    """With replacement: every length draws from its own samples; what all of them miss is never seen."""
    if sources:
        size = sum((source.size for source in sources), Fraction(0))
        seen = (
            expected_coverage(source.samples / source.epochs, source.samples) * float(source.size)
            for source in sources
            if source.epochs
        )
        return sum(seen) / float(size)
    missed = 1.0
    for length in drawn.lengths:
        one_pass = drawn.pass_at(length)
        if one_pass is None:
            return None
        missed *= 1 - expected_coverage(one_pass, drawn.samples_at(length))
    return 1 - missed
