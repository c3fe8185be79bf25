"""The plan: what a recipe will draw and cost, as integers, before anything runs."""

from __future__ import annotations

from dataclasses import replace

from dist_epochs.arithmetic.batch import BatchError, GlobalBatch, nearest_batches
from dist_epochs.arithmetic.counts import Draw
from dist_epochs.arithmetic.curriculum import Curriculum
from dist_epochs.arithmetic.layout import Layout
from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.arithmetic.schedule import Phase
from dist_epochs.errors import InputError
from dist_epochs.plan.corpus_facts import CorpusFacts
from dist_epochs.plan.cost.memory import GIB, Memory, device_memory, fit, states_bytes
from dist_epochs.plan.cost.trained_part import ModelCost, not_known_of, weights_of
from dist_epochs.plan.drawn import DrawnSamples, Loop
from dist_epochs.plan.fingerprint import fingerprint
from dist_epochs.plan.foreign_loop import loop_of
from dist_epochs.plan.global_batch import data_parallel_size_of, lay_over_devices
from dist_epochs.plan.history import BEFORE, History
from dist_epochs.plan.mixtures import Mixtures, mixtures_of
from dist_epochs.plan.models import architecture_of, check_positions, model_cost
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.pricing import price, price_per_position
from dist_epochs.plan.scheduling import layout_of
from dist_epochs.plan.sources import CorpusCounter, SourcePlan, coverage_of, sources_by_phase, sources_of
from dist_epochs.plan.speed import Speed, speed_of
from dist_epochs.recipe import HardwareRecipe, Recipe

__all__ = ["CorpusCounter", "make_plan"]

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
        data_parallel_size: Devices that see different data, of a launch that runs already; default, what the recipe
            states, or one.
        model: The cost of the whole model trained in full, where it was measured; default, by closed form.
        history: What the run did before its plan was changed; the recipe then decides from that step on.

    Raises:
        BatchError: If the devices cannot build a phase's global batch.
        InputError: If the recipe does not fit the corpus, or cannot be priced as it asks.
    """
    check_positions(recipe)
    mixtures = mixtures_of(recipe, facts, history)
    if facts is not None and mixtures is not None:
        facts = facts.only(mixtures.names)
    model = model_cost(recipe.model, model)
    speed = speed_of(recipe.hardware, recipe.batch, recipe.arithmetic)
    not_known = not_known_of(recipe.model) if model is None else None
    price_of_one = price_per_position(recipe.length_budget, recipe.batch, model, speed, not_known)
    _check_one_source(recipe, mixtures)
    size = data_parallel_size or data_parallel_size_of(recipe.batch, recipe.phases[0])
    loop = loop_of(recipe, facts, size, price_of_one)
    if loop is None:
        layout = layout_of(recipe, facts, mixtures, price_of_one, history)
        batches = tuple(_laid(recipe, layout, index, size) for index in range(len(layout.phases)))
        priced = layout.phases
    else:
        layout, batches = _loop_layout(loop, recipe)
        priced = (replace(layout.phases[0], steps=1, global_batch=loop.counts.drawn),)  # every sample that it draws
    curriculum = mixtures.along(layout) if mixtures else None
    of_each_pass = None if loop or recipe.batch.replacement else _draws(curriculum, facts)
    drawn = DrawnSamples(
        phases=layout.phases,
        batches=batches,
        loop=loop,
        facts=facts,
        corpus_size=Quantity.exact(facts.tokens, Unit.TOKEN) if facts else recipe.corpus.size,
    )
    passes = {draw.key: counter.count(draw) for draw in of_each_pass} if of_each_pass and counter else None
    memory = _memory(recipe, model, batches, layout.phases)
    _check_variants(memory, speed)
    cost = price(priced, model, speed, memory)
    sources = sources_of(recipe.corpus, curriculum, drawn, of_each_pass, passes)
    phase_sources: tuple[tuple[SourcePlan, ...], ...] = ()
    has_own_mixtures = any(phase.sources for phase in recipe.phases) or bool(history and history.mixtures)
    if curriculum is not None and has_own_mixtures:
        phase_sources = sources_by_phase(recipe.corpus, curriculum, drawn, of_each_pass, passes)
    return Plan(
        recipe=recipe,
        phases=drawn.phases,
        batches=drawn.batches,
        loop=drawn.loop,
        facts=drawn.facts,
        corpus_size=drawn.corpus_size,
        stretches=layout.stretches,
        excesses=layout.excesses,
        has_partial_step=layout.partial,
        passes=passes,
        sources=sources,
        phase_sources=phase_sources,
        coverage=coverage_of(drawn, sources, of_each_pass, counter, replacement=recipe.batch.replacement),
        cost=cost,
        fingerprint=fingerprint(recipe, layout.phases, facts, curriculum, history),
        history=history,
        is_launched=data_parallel_size is not None,
    )


def _check_one_source(recipe: Recipe, mixtures: Mixtures | None) -> None:
    """Another trainer's loop passes over one corpus."""
    if recipe.batch.is_foreign and mixtures is not None and len(mixtures.names) > 1:
        raise InputError(
            f"batch: last_window and uneven: pad, drop, keep with a mixture of {', '.join(mixtures.names)}",
            rule="they plan passes over one corpus",
            fixes=("one source", "leaving them out"),
        )


def _loop_layout(loop: Loop, recipe: Recipe) -> tuple[Layout, tuple[GlobalBatch, ...]]:
    """Another trainer's loop as one phase of full windows; its own counts stand beside it."""
    loader = loop.loader
    batch = GlobalBatch(
        samples=loader.samples_per_round * loader.gradient_accumulation,
        data_parallel_size=loader.data_parallel_size,
        per_device=loader.per_device,
    )
    phase = Phase(
        steps=loop.counts.steps or 1,
        sequence_length=recipe.phases[0].sequence_length or 1,
        global_batch=batch.samples,
    )
    return Layout(phases=(phase,), stretches=(0,), excesses=()), (batch,)


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
            raise error.but(asked=f"batch.ramp, at its level of {samples}: {error.asked}") from None
        if len(recipe.phases) > 1 and len({phase.global_batch for phase in layout.phases}) > 1:
            raise error.but(asked=f"phases.{layout.stretches[index]}: {error.asked}") from None
        raise


def _memory(
    recipe: Recipe, model: ModelCost | None, batches: tuple[GlobalBatch, ...], phases: tuple[Phase, ...]
) -> Memory | None:
    """What a device holds; of a model whose sizes are not known, its parameters alone.

    Raises:
        InputError: If the devices cannot share copies of the model as the recipe says.
    """
    sharing = _sharing_devices(recipe.hardware, batches[0].data_parallel_size)
    if model is None:
        return None
    architecture, hardware, batch = architecture_of(recipe.model), recipe.hardware, recipe.batch
    largest, phase = max(
        zip(batches, phases, strict=True), key=lambda pair: pair[0].largest_micro_batch * pair[1].sequence_length
    )
    stage = hardware.zero_stage if hardware else 0
    shards = sharing * batch.context_parallel  # they shard states too
    model_parallel, weights = batch.tensor_parallel * batch.pipeline_parallel, weights_of(model)
    if architecture is None:
        frozen = weights.frozen_bytes(recipe.arithmetic)
        states = states_bytes(weights.trained, stage, shards, recipe.arithmetic, model_parallel, frozen_bytes=frozen)
        return Memory(states=states, activations=None, frozen_bytes=frozen)
    if hardware is None or recipe.longest == 1:
        return None
    return device_memory(
        architecture,
        samples=largest.largest_micro_batch,
        sequence_length=_own_positions(phase.sequence_length, batch.context_parallel),
        precision=recipe.arithmetic,
        stage=stage,
        recompute=hardware.activation_checkpointing,
        data_parallel_size=shards,
        model_parallel=model_parallel,
        weights=weights,
    )


def _sharing_devices(hardware: HardwareRecipe | None, size: int) -> int:
    """Of so many data-parallel devices, those that share one copy of the model.

    Raises:
        InputError: If they cannot be divided as the recipe says.
    """
    if hardware is None or hardware.shard_size is None:
        return size
    if size % hardware.shard_size:
        fitting = [each for each in range(hardware.shard_size, 1, -1) if not size % each]
        raise InputError(
            f"hardware.shard_size is {hardware.shard_size}, and there are {size} data-parallel devices",
            rule="as many devices share each copy of the model",
            fixes=(*(f"hardware.shard_size: {each}" for each in fitting[:1]), "to leave it out: all share one copy"),
        )
    return hardware.shard_size


def _check_variants(memory: Memory | None, speed: Speed | None) -> None:
    """A device whose name does not say how much memory it has must not leave open whether the model fits.

    Raises:
        InputError: If it fits some of the variants and not others.
    """
    if memory is None or speed is None or speed.device is None:
        return
    sizes = {device.name: device.memory_gb for device in speed.device.variants}
    fits = {name: fit(memory, size) for name, size in sizes.items() if size is not None}
    if len(set(fits.values())) > 1:
        total = memory.total
        needed = " to ".join(f"{float(end / GIB):.3g}" for end in dict.fromkeys((total.low, total.high)))
        least = "at least " * memory.is_floor
        answers = {
            name: f"{least}{needed} GiB of {float(sizes[name] or 0):g}: {found.value}" for name, found in fits.items()
        }
        raise speed.device.differ("memory, and it is asked whether the model fits", answers)


def _own_positions(length: int, context_parallel: int) -> int:
    """Positions of a sample that one device holds."""
    if length % context_parallel:
        fits = [f"a length of {fit}" for fit in nearest_batches(length, context_parallel)]
        raise InputError(
            f"context_parallel {context_parallel} does not divide the sequence length {length}",
            rule=f"each device would hold {length}/{context_parallel} positions",
            fixes=fits,
        )
    return length // context_parallel


def _draws(curriculum: Curriculum | None, facts: CorpusFacts | None) -> tuple[Draw, ...] | None:
    """What is drawn of each pass of each counted source."""
    if curriculum is None or facts is None:
        return None
    phases = curriculum.schedule.phases
    if facts.not_packed(phase.sequence_length for phase in phases):
        return None
    passes = sum(p.samples // min(facts.samples(p.sequence_length).values()) + 1 for p in phases)
    if passes > MOST_PASSES:
        raise InputError(
            f"the phases draw up to {passes:,} passes over {facts.store}",
            rule=f"at most {MOST_PASSES:,} are planned one by one",
            fixes="fewer steps: they are far too many for this corpus, or mistyped",
        )
    spans = curriculum.schedule.spans()
    return tuple(draw for span in spans for draw in curriculum.draws(span, facts.samples(span.sequence_length)))
