"""What a plan draws of each source, and how much of the corpus that reaches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Protocol

from dist_epochs.arithmetic.counts import Counts, Draw
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.replacement import expected_coverage
from dist_epochs.arithmetic.schedule import Schedule
from dist_epochs.plan.foreign_loop import expected_loop_coverage
from dist_epochs.plan.mixing import shares_within
from dist_epochs.plan.plan import Plan, SourcePlan

__all__ = ["CorpusCounter", "coverage_of", "sources_of"]


class CorpusCounter(Protocol):
    """Whoever can count a stretch of a pass exactly."""

    def count(self, draw: Draw) -> Counts:
        """Exact counts of a draw, over all devices."""

    def documents_seen(self, source: str, drawn: Iterable[Draw]) -> int:
        """Documents of a source that the draws touch at least once."""


def sources_of(plan: Plan, mixture: Mixture | None, drawn: tuple[Draw, ...] | None) -> tuple[SourcePlan, ...]:
    """Samples, tokens and epochs of each source; nothing, where they are not known source by source.

    Args:
        plan: The plan so far.
        mixture: How sources are drawn.
        drawn: What is drawn of each pass of each counted source.
    """
    if mixture is None or (plan.facts is not None and drawn is None):
        return ()
    found = _counted_sources(plan, mixture, drawn) if drawn is not None else _stated_sources(plan, mixture)
    cap = plan.recipe.corpus.max_epochs
    over = cap is not None and any(plan.goes_beyond(source.epochs, cap) for source in found)
    if cap is None or not over:
        return found
    sizes = {  # in samples, over all lengths; a source that is not drawn yet fits anyway
        source.name: source.samples / source.epochs if source.epochs else Fraction(plan.samples) for source in found
    }
    fitted = shares_within({source.name: source.share for source in found}, sizes, Fraction(plan.samples), cap)
    if fitted is None:
        return found
    return tuple(replace(source, fitting_share=fitted[source.name]) for source in found)


def _counted_sources(plan: Plan, mixture: Mixture, drawn: tuple[Draw, ...]) -> tuple[SourcePlan, ...]:
    assert plan.facts is not None
    result = []
    for source, weight in zip(plan.facts.sources, mixture.weights, strict=True):
        mine = [draw for draw in drawn if draw.key.source == source.name]
        epochs = (Fraction(draw.stop - draw.start, source.samples[draw.key.sequence_length]) for draw in mine)
        result.append(
            SourcePlan(
                name=source.name,
                samples=sum(draw.stop - draw.start for draw in mine),
                tokens=sum(plan.passes[draw.key].tokens for draw in mine) if plan.passes else None,
                epochs=sum(epochs, Fraction(0)),
                share=Fraction(weight, mixture.period),
                size=Fraction(source.tokens),
            )
        )
    return tuple(result)


def _stated_sources(plan: Plan, mixture: Mixture) -> tuple[SourcePlan, ...]:
    """Sources of stated size: positions are taken for tokens."""
    sources = plan.recipe.corpus.sources
    assert sources is not None
    spans = Schedule(plan.phases).spans()
    result = []
    for number, name in enumerate(mixture.names):
        size = sources[name].size
        drawn: dict[int, int] = {}
        for span in spans:
            count = mixture.drawn(number, span.stop) - mixture.drawn(number, span.start)
            drawn[span.sequence_length] = drawn.get(span.sequence_length, 0) + count
        samples = sum(drawn.values())
        positions = sum(count * length for length, count in drawn.items())
        epochs_at = {
            length: count * (length if plan.counts_tokens else 1) / size.value for length, count in drawn.items()
        }
        result.append(
            SourcePlan(
                name=name,
                samples=samples,
                tokens=positions if plan.counts_tokens else None,
                epochs=sum(epochs_at.values(), Fraction(0)),
                epochs_at=epochs_at,
                share=Fraction(mixture.weights[number], mixture.period),
                size=size.value,
            )
        )
    return tuple(result)


def coverage_of(plan: Plan, drawn: tuple[Draw, ...] | None, counter: CorpusCounter | None) -> Fraction | float | None:
    """Share of the documents drawn at least once; of samples, where only those are known.

    Args:
        plan: The plan so far.
        drawn: What is drawn of each pass of each counted source.
        counter: Looks the documents up.
    """
    if drawn is not None:
        if counter is None or plan.facts is None:
            return None
        seen = sum(
            counter.documents_seen(source.name, [draw for draw in drawn if draw.key.source == source.name])
            for source in plan.facts.sources
        )
        return Fraction(seen, plan.facts.documents)
    if plan.recipe.batch.replacement:
        return _coverage_by_chance(plan)
    if plan.loop is not None:
        return expected_loop_coverage(plan.loop)
    return None if plan.facts is not None else _expected_coverage(plan)


def _expected_coverage(plan: Plan) -> Fraction | None:
    """Of a stated corpus. Every length has an order of its own, so what one misses another may draw."""
    missed = Fraction(0)
    whole = sum((source.size for source in plan.sources), Fraction(0))
    for source in plan.sources:
        missed += _missed(source.epochs_at.values()) * source.size / whole
    if plan.sources:
        return 1 - missed
    known = [epochs for length in plan.lengths if (epochs := plan.epochs_at(length)) is not None]
    return 1 - _missed(known) if len(known) == len(plan.lengths) else None


def _missed(epochs: Iterable[Fraction]) -> Fraction:
    """Share that no length draws, each having its own order."""
    return prod((1 - min(Fraction(1), each) for each in epochs), start=Fraction(1))


def _coverage_by_chance(plan: Plan) -> float | None:
    """With replacement: every length draws from its own samples; what all of them miss is never seen."""
    if plan.sources:
        size = sum((source.size for source in plan.sources), Fraction(0))
        seen = (
            expected_coverage(source.samples / source.epochs, source.samples) * float(source.size)
            for source in plan.sources
            if source.epochs
        )
        return sum(seen) / float(size)
    missed = 1.0
    for length in plan.lengths:
        one_pass = plan.pass_at(length)
        if one_pass is None:
            return None
        missed *= 1 - expected_coverage(one_pass, plan.samples_at(length))
    return 1 - missed
