"""The plan: what a recipe will draw and cost, as integers, before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.batch import BatchError, GlobalBatch, nearest_batches
from dist_epochs.arithmetic.counts import Draw, draws
from dist_epochs.arithmetic.layout import Layout
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.arithmetic.schedule import Phase, Schedule
from dist_epochs.errors import InputError
from dist_epochs.plan.corpus_facts import CorpusFacts
from dist_epochs.plan.cost.memory import Memory, device_memory
from dist_epochs.plan.foreign_loop import loop_of
from dist_epochs.plan.global_batch import data_parallel_size_of, lay_over_devices
from dist_epochs.plan.history import BEFORE, History
from dist_epochs.plan.mixing import shares_of
from dist_epochs.plan.models import architecture_of, check_positions, model_cost
from dist_epochs.plan.plan import Loop, Plan
from dist_epochs.plan.pricing import ModelCost, price, price_per_position, speed_of
from dist_epochs.plan.scheduling import layout_of
from dist_epochs.plan.sources import CorpusCounter, coverage_of, sources_of
from dist_epochs.plan.warnings import check
from dist_epochs.recipe import Recipe

__all__ = ["CorpusCounter", "fingerprint", "make_plan", "mixture_of"]

PACKING = "best-fit-decreasing in blocks, 1"
ORDER = "blocks and rows by hash, over lanes, 1"
MASKS = "fixed count by hash, 1"
MOST_PASSES = 1_000_000


def make_plan(
    recipe: Recipe,
    *,
    facts: CorpusFacts | None = None,
    counter: CorpusCounter | None = None,
    data_parallel_size: int | None = None,
    model: ModelCost | None = None,
    history: History | None = None,
) -> Plan:
    """Work out what a recipe draws and costs.

    Args:
        recipe: The recipe.
        facts: The counted corpus; without it, the stated size, and samples per pass are estimates.
        counter: Counts stretches of a pass; without it, tokens and loss tokens are unknown.
        data_parallel_size: Devices that see different data; default, what the recipe states, or one.
        model: The model's cost, where it was measured; default, by closed form.
        history: What the run did before its plan was changed; the recipe then decides from that step on.

    Raises:
        BatchError: If the devices cannot build a phase's global batch.
        InputError: If the recipe does not fit the corpus, or cannot be priced as it asks.
    """
    check_positions(recipe)
    mixture = mixture_of(recipe, facts)
    if facts is not None and mixture is not None:
        facts = facts.only(mixture.names)
    model = model or model_cost(recipe.model)
    speed = speed_of(recipe.hardware, recipe.batch, recipe.arithmetic)
    price_of_one = price_per_position(recipe.budget, recipe.batch, model, speed)
    _check_one_source(recipe, mixture)
    size = data_parallel_size or data_parallel_size_of(recipe.batch, recipe.phases[0])
    loop = loop_of(recipe, facts, size, price_of_one)
    layout = _loop_layout(loop, recipe) if loop else layout_of(recipe, facts, price_of_one, history)
    batches = tuple(
        _batch_of_loop(loop) if loop else _laid(recipe, layout, index, size)
        for index, phase in enumerate(layout.phases)
    )
    drawn = _draws(layout, mixture, facts) if not loop and not recipe.batch.replacement else None
    draft = Plan(
        recipe=recipe,
        phases=layout.phases,
        stretches=layout.stretches,
        batches=batches,
        excesses=layout.excesses,
        has_partial_step=layout.partial,
        loop=loop,
        facts=facts,
        corpus_size=Quantity.exact(facts.tokens, Unit.TOKEN) if facts else recipe.corpus.size,
        passes={draw.key: counter.count(draw) for draw in drawn} if drawn and counter else None,
        cost=price(_priced(layout, loop), model, speed, _memory(recipe, batches, layout.phases)),
        fingerprint=fingerprint(recipe, layout.phases, facts, mixture, history),
        history=history,
    )
    draft = replace(draft, sources=sources_of(draft, mixture, drawn))
    plan = replace(draft, coverage=coverage_of(draft, drawn, counter))
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


def fingerprint(
    recipe: Recipe,
    phases: Iterable[Phase],
    facts: CorpusFacts | None,
    mixture: Mixture | None,
    history: History | None = None,
) -> str:
    """Digest of all that decides which samples are drawn, with which masks; never of the devices."""
    model = recipe.model
    decisive: dict[str, Any] = {
        "corpus": facts.fingerprint if facts else None,
        "packing": PACKING,
        "order": ORDER,
        "masks": [MASKS, model.objective, str(model.mask_probability)] if model else None,
        "seed": recipe.seed,
        "mixture": list(zip(mixture.names, mixture.weights, strict=True)) if mixture else None,
        "phases": [[phase.steps, phase.sequence_length, phase.global_batch] for phase in phases],
    }
    if history is not None:
        decisive["lanes"] = sorted(history.lanes.items())
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _check_one_source(recipe: Recipe, mixture: Mixture | None) -> None:
    """Somebody else's loop passes over one corpus."""
    if recipe.batch.is_foreign and mixture is not None and len(mixture.names) > 1:
        raise InputError(
            "batch: last_window and uneven: pad, drop, keep plan passes over one corpus, and this is a mixture of "
            f"{', '.join(mixture.names)}. Plan one source, or leave them out."
        )


def _loop_layout(loop: Loop, recipe: Recipe) -> Layout:
    """Somebody else's loop as one phase of full windows; its own counts stand beside it."""
    loader = loop.loader
    phase = Phase(
        steps=loop.counts.steps or 1,
        sequence_length=recipe.phases[0].sequence_length or 1,
        global_batch=loader.samples_per_round * loader.gradient_accumulation,
    )
    return Layout(phases=(phase,), stretches=(0,), excesses=())


def _laid(recipe: Recipe, layout: Layout, index: int, data_parallel_size: int) -> GlobalBatch:
    """One phase's batch over the devices; a refusal names the phase, or the ramp."""
    samples = layout.phases[index].global_batch
    taken = layout.stretches[index] == BEFORE  # by other devices perhaps; these need not fit it
    try:
        return lay_over_devices(
            replace(recipe.batch, uneven="allow") if taken else recipe.batch,
            samples,
            data_parallel_size,
            largest=max(phase.global_batch for phase in layout.phases),
            partial=layout.is_partial(index),
        )
    except BatchError as error:
        if recipe.batch.ramp is not None:
            raise BatchError(f"batch.ramp, at its level of {samples}: {error}") from None
        if len(recipe.phases) > 1 and len({phase.global_batch for phase in layout.phases}) > 1:
            raise BatchError(f"phases.{layout.stretches[index]}: {error}") from None
        raise


def _batch_of_loop(loop: Loop) -> GlobalBatch:
    loader = loop.loader
    return GlobalBatch(
        samples=loader.samples_per_round * loader.gradient_accumulation,
        data_parallel_size=loader.data_parallel_size,
        per_device=loader.per_device,
    )


def _priced(layout: Layout, loop: Loop | None) -> tuple[Phase, ...]:
    """What is computed: of somebody else's loop, every sample that it draws."""
    if loop is None:
        return layout.phases
    return (replace(layout.phases[0], steps=1, global_batch=loop.counts.drawn),)


def _memory(recipe: Recipe, batches: tuple[GlobalBatch, ...], phases: tuple[Phase, ...]) -> Memory | None:
    architecture = architecture_of(recipe.model)
    if architecture is None or recipe.hardware is None or recipe.longest == 1:
        return None
    largest = max(
        zip(batches, phases, strict=True), key=lambda pair: pair[0].largest_micro_batch * pair[1].sequence_length
    )
    return device_memory(
        architecture,
        samples=largest[0].largest_micro_batch,
        sequence_length=_own_positions(largest[1].sequence_length, recipe.batch.context_parallel),
        precision=recipe.arithmetic,
        stage=recipe.hardware.zero_stage,
        recompute=recipe.hardware.activation_checkpointing,
        data_parallel_size=largest[0].data_parallel_size * recipe.batch.context_parallel,  # they shard states too
        model_parallel=recipe.batch.tensor_parallel * recipe.batch.pipeline_parallel,
    )


def _own_positions(length: int, context_parallel: int) -> int:
    """Positions of a sample that one device holds."""
    if length % context_parallel:
        fits = " or ".join(map(str, nearest_batches(length, context_parallel)))
        raise InputError(
            f"context_parallel {context_parallel} does not divide the sequence length {length}: each device would hold "
            f"{length}/{context_parallel} positions. Use a length of {fits}. Nothing was rounded."
        )
    return length // context_parallel


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
