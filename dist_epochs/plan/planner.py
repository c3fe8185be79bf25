"""The plan: what a recipe will draw and cost, as integers, before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Protocol

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.counts import Counts, Draw, draws
from dist_epochs.arithmetic.layout import Layout
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.arithmetic.replacement import expected_coverage
from dist_epochs.arithmetic.schedule import Phase, Schedule
from dist_epochs.errors import InputError
from dist_epochs.plan.corpus_facts import CorpusFacts
from dist_epochs.plan.cost.memory import Memory, device_memory
from dist_epochs.plan.cost.pricing import USUAL_PRECISION, ModelCost, Speed, price, speed_of
from dist_epochs.plan.global_batch import lay_over_devices
from dist_epochs.plan.loops import expected_loop_coverage, loop_of
from dist_epochs.plan.mixing import shares_of, shares_within
from dist_epochs.plan.models import architecture_of, check_positions, model_cost
from dist_epochs.plan.plan import Loop, Plan, SourcePlan
from dist_epochs.plan.recipe import Recipe
from dist_epochs.plan.rules import check
from dist_epochs.plan.scheduling import PositionsFor, layout_of

__all__ = ["CorpusCounter", "fingerprint", "make_plan", "mixture_of"]

PACKING = "best-fit-decreasing in blocks, 1"
ORDER = "blocks and rows by hash, over lanes, 1"
MASKS = "fixed count by hash, 1"
MOST_PASSES = 1_000_000


class CorpusCounter(Protocol):
    """Whoever can count a stretch of a pass exactly."""

    def count(self, draw: Draw) -> Counts:
        """Exact counts of a draw, over all devices."""

    def documents_seen(self, source: str, drawn: Iterable[Draw]) -> int:
        """Documents of a source that the draws touch at least once."""


def make_plan(
    recipe: Recipe,
    *,
    facts: CorpusFacts | None = None,
    counter: CorpusCounter | None = None,
    data_parallel_size: int | None = None,
    model: ModelCost | None = None,
) -> Plan:
    """Work out what a recipe draws and costs.

    Args:
        recipe: The recipe.
        facts: The counted corpus; without it, the stated size, and samples per pass are estimates.
        counter: Counts stretches of a pass; without it, tokens and loss tokens are unknown.
        data_parallel_size: Devices that see different data; default, what the recipe states, or one.
        model: The model's cost, where it was measured; default, by closed form.

    Raises:
        BatchError: If the devices cannot build a phase's global batch.
        InputError: If the recipe does not fit the corpus, or cannot be priced as it asks.
    """
    check_positions(recipe)
    mixture = mixture_of(recipe, facts)
    if facts is not None and mixture is not None:
        facts = facts.only(mixture.names)
    model = model or model_cost(recipe.model)
    speed = speed_of(recipe.hardware, recipe.batch, recipe.precision)
    positions_for = _positions_for(recipe, model, speed)
    size = data_parallel_size or recipe.batch.data_parallel_size or 1
    loop = loop_of(recipe, facts, size, positions_for)
    layout = _loop_layout(loop, recipe) if loop else layout_of(recipe, facts, positions_for)
    batches = tuple(
        _batch_of_loop(recipe, loop)
        if loop
        else lay_over_devices(recipe.batch, phase.global_batch, size, partial=layout.is_partial(index))
        for index, phase in enumerate(layout.phases)
    )
    drawn = _draws(layout, mixture, facts) if not loop and not recipe.batch.replacement else None
    passes = {draw.key: counter.count(draw) for draw in drawn} if drawn and counter else None
    plan = Plan(
        recipe=recipe,
        phases=layout.phases,
        stretches=layout.stretches,
        batches=batches,
        excess=layout.excess,
        excess_unit=layout.unit,
        loop=loop,
        facts=facts,
        corpus_size=Quantity.exact(facts.tokens, Unit.TOKEN) if facts else recipe.corpus.size,
        passes=passes,
        sources=(),
        coverage=None,
        cost=price(_priced(layout, loop), model, speed, _memory(recipe, batches, layout.phases)),
        fingerprint=fingerprint(recipe, layout.phases, facts, mixture),
    )
    plan = replace(plan, sources=_sources(plan, mixture, drawn))
    plan = replace(plan, coverage=_coverage(plan, drawn, counter))
    return replace(plan, warnings=check(plan, data_parallel_size))


def mixture_of(recipe: Recipe, facts: CorpusFacts | None) -> Mixture | None:
    """How the recipe draws from its sources; None for one source of stated size.

    Raises:
        InputError: If several sources have no weights, or weights name no source.
    """
    corpus = recipe.corpus
    if facts is not None:
        sizes = {source.name: Fraction(source.tokens) for source in facts.sources}
        weights, where, key = corpus.weights, facts.store, "corpus.weights"
    elif corpus.sources is not None:
        sizes = {name: source.size.value for name, source in corpus.sources.items()}
        stated = {name: source.weight for name, source in corpus.sources.items() if source.weight is not None}
        weights, where, key = stated or None, "corpus.sources", "weight"
    else:
        return None
    return Mixture.of(shares_of(weights, corpus.temperature, sizes, where=where, key=key))


def fingerprint(recipe: Recipe, phases: Iterable[Phase], facts: CorpusFacts | None, mixture: Mixture | None) -> str:
    """Digest of all that decides which samples are drawn, with which masks; never of the devices."""
    model = recipe.model
    decisive = {
        "corpus": facts.fingerprint if facts else None,
        "packing": PACKING,
        "order": ORDER,
        "masks": [MASKS, model.objective, str(model.mask_probability)] if model else None,
        "seed": recipe.seed,
        "mixture": list(zip(mixture.names, mixture.weights, strict=True)) if mixture else None,
        "phases": [[phase.steps, phase.sequence_length, phase.global_batch] for phase in phases],
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _positions_for(recipe: Recipe, model: ModelCost | None, speed: Speed | None) -> PositionsFor | None:
    """Prices positions in hours, FLOPs or money, where the recipe states enough."""

    def positions_for(unit: str, amount: Fraction, length: int) -> Fraction:
        per_token = Fraction(model.flops_per_token(length)) if model else None
        if unit == "flops":
            if per_token is None:
                raise InputError("a budget in FLOPs needs the model they are spent on: give model.config or parameters")
            return amount / per_token
        devices = recipe.batch.devices
        assert recipe.budget is not None  # hours and money stand nowhere else
        rate = speed.hardware.price if speed else None
        if unit == "money" and rate is None:
            raise InputError("a budget in money needs hardware.price, the price of one device for one hour")
        if devices is None:
            raise InputError(
                f"a budget in {unit} needs batch.devices: hours are counted from start to end on all of them"
            )
        hours_per_unit = Fraction(1) if unit == "hours" or rate is None else 1 / (rate * devices)
        whole = recipe.budget.amount[1] * hours_per_unit
        lost = speed.lost_hours if speed else Fraction(0)
        if lost >= whole:
            raise InputError(
                f"restarts alone take {float(lost):.4g} of {float(whole):.4g} hours: nothing is left to train"
            )
        hours = amount * hours_per_unit * (whole - lost) / whole
        positions = speed.positions_in(hours * devices, per_token) if speed else None
        if positions is None:
            raise InputError(
                f"a budget in {unit} needs to know how fast it goes: give hardware.tokens_per_second, or a model and "
                "hardware.device (or peak_tflops)"
            )
        return positions

    return positions_for


def _loop_layout(loop: Loop, recipe: Recipe) -> Layout:
    """Somebody else's loop as one phase of full windows; its own counts stand beside it."""
    loader = loop.loader
    phase = Phase(
        steps=loop.counts.steps or 1,
        sequence_length=recipe.phases[0].sequence_length or 1,
        global_batch=loader.samples_per_round * loader.gradient_accumulation,
    )
    return Layout(phases=(phase,), stretches=(0,), excess=Fraction(0), unit=Unit.SAMPLE)


def _batch_of_loop(recipe: Recipe, loop: Loop) -> GlobalBatch:
    loader = loop.loader
    samples = loader.samples_per_round * loader.gradient_accumulation
    return lay_over_devices(recipe.batch, samples, loader.data_parallel_size, partial=False)


def _priced(layout: Layout, loop: Loop | None) -> tuple[Phase, ...]:
    """What is computed: of somebody else's loop, every sample that it draws."""
    if loop is None:
        return layout.phases
    return (replace(layout.phases[0], steps=1, global_batch=loop.counts.drawn),)


def _memory(recipe: Recipe, batches: tuple[GlobalBatch, ...], phases: tuple[Phase, ...]) -> Memory | None:
    architecture = architecture_of(recipe.model)
    if architecture is None or recipe.hardware is None:
        return None
    largest = max(
        zip(batches, phases, strict=True), key=lambda pair: pair[0].largest_micro_batch * pair[1].sequence_length
    )
    return device_memory(
        architecture,
        samples=largest[0].largest_micro_batch,
        sequence_length=-(-largest[1].sequence_length // recipe.batch.context_parallel),
        precision=recipe.precision or USUAL_PRECISION,
        stage=recipe.hardware.zero_stage,
        data_parallel_size=largest[0].data_parallel_size,
        model_parallel=recipe.batch.tensor_parallel * recipe.batch.pipeline_parallel,
    )


def _draws(layout: Layout, mixture: Mixture | None, facts: CorpusFacts | None) -> tuple[Draw, ...] | None:
    """What is drawn of each pass of each counted source."""
    if facts is None or mixture is None:
        return None
    lengths = {phase.sequence_length for phase in layout.phases}
    if any(length not in source.samples for source in facts.sources for length in lengths):
        return None
    passes = sum(p.samples // min(facts.samples(p.sequence_length).values()) + 1 for p in layout.phases)
    if passes > MOST_PASSES:
        raise InputError(
            f"the phases draw up to {passes:,} passes over {facts.store}, and at most {MOST_PASSES:,} are planned "
            "one by one. The steps are far too many for this corpus, or mistyped."
        )
    spans = Schedule(layout.phases).spans()
    return tuple(draw for span in spans for draw in draws(span, mixture, facts.samples(span.sequence_length)))


def _sources(plan: Plan, mixture: Mixture | None, drawn: tuple[Draw, ...] | None) -> tuple[SourcePlan, ...]:
    if mixture is None or (plan.facts is not None and drawn is None):
        return ()
    found = _counted_sources(plan, mixture, drawn) if drawn is not None else _stated_sources(plan, mixture)
    cap = plan.recipe.corpus.max_epochs
    over = cap is not None and any(source.epochs > cap for source in found)
    if cap is None or not over:
        return found
    sizes = {source.name: source.samples / source.epochs for source in found}  # in samples, over all lengths
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
        samples, positions = 0, 0
        for span in spans:
            count = mixture.drawn(number, span.stop) - mixture.drawn(number, span.start)
            samples += count
            positions += count * span.sequence_length
        size = sources[name].size
        result.append(
            SourcePlan(
                name=name,
                samples=samples,
                tokens=positions if plan.counts_tokens else None,
                epochs=(positions if plan.counts_tokens else samples) / size.value,
                share=Fraction(mixture.weights[number], mixture.period),
                size=size.value,
            )
        )
    return tuple(result)


def _coverage(plan: Plan, drawn: tuple[Draw, ...] | None, counter: CorpusCounter | None) -> Fraction | float | None:
    """Share of the documents drawn at least once."""
    if drawn is not None:
        if counter is None or plan.facts is None:
            return None
        seen = sum(
            counter.documents_seen(source.name, [draw for draw in drawn if draw.key.source == source.name])
            for source in plan.facts.sources
        )
        return Fraction(seen, plan.facts.documents)
    epochs, one = plan.epochs["samples"], Fraction(1)
    if plan.recipe.batch.replacement:
        return _coverage_by_chance(plan)
    if plan.loop is not None:
        return expected_loop_coverage(plan.loop)
    if plan.sources:
        size = sum((source.size for source in plan.sources), Fraction(0))
        return sum((min(one, source.epochs) * source.size for source in plan.sources), Fraction(0)) / size
    return None if epochs is None or plan.facts is not None else min(one, epochs)


def _coverage_by_chance(plan: Plan) -> float | None:
    """With replacement: every length draws from its own samples; what all of them miss is never seen."""
    missed = 1.0
    for length in plan.lengths:
        one_pass = plan.pass_at(length)
        if one_pass is None:
            return None
        missed *= 1 - expected_coverage(one_pass, plan.samples_at(length))
    return 1 - missed
