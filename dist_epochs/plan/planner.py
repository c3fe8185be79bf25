"""The plan: what a recipe will draw and cost, as integers, before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.counts import Draw, draws
from dist_epochs.arithmetic.layout import Layout
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.arithmetic.schedule import Phase, Schedule
from dist_epochs.errors import InputError
from dist_epochs.plan.corpus_facts import CorpusFacts
from dist_epochs.plan.cost.memory import Memory, device_memory
from dist_epochs.plan.global_batch import lay_over_devices
from dist_epochs.plan.loops import loop_of
from dist_epochs.plan.mixing import shares_of
from dist_epochs.plan.models import architecture_of, check_positions, model_cost
from dist_epochs.plan.plan import Loop, Plan
from dist_epochs.plan.pricing import USUAL_PRECISION, ModelCost, Speed, price, speed_of
from dist_epochs.plan.recipe import Recipe
from dist_epochs.plan.rules import check
from dist_epochs.plan.scheduling import PricePerPosition, layout_of
from dist_epochs.plan.shares import CorpusCounter, coverage_of, sources_of

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
    price_of_one = _price_per_position(recipe, model, speed)
    if recipe.batch.is_foreign and mixture is not None and len(mixture.names) > 1:
        raise InputError(
            "batch: last_window and uneven: pad, drop, keep plan passes over one corpus, and this is a mixture of "
            f"{', '.join(mixture.names)}. Plan one source, or leave them out."
        )
    size = data_parallel_size or recipe.batch.data_parallel_size or 1
    loop = loop_of(recipe, facts, size, price_of_one)
    layout = _loop_layout(loop, recipe) if loop else layout_of(recipe, facts, price_of_one)
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
        measure=layout.measure,
        has_partial_step=layout.partial,
        loop=loop,
        facts=facts,
        corpus_size=Quantity.exact(facts.tokens, Unit.TOKEN) if facts else recipe.corpus.size,
        passes=passes,
        sources=(),
        coverage=None,
        cost=price(_priced(layout, loop), model, speed, _memory(recipe, batches, layout.phases)),
        fingerprint=fingerprint(recipe, layout.phases, facts, mixture),
    )
    plan = replace(plan, sources=sources_of(plan, mixture, drawn))
    plan = replace(plan, coverage=coverage_of(plan, drawn, counter))
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


def _price_per_position(recipe: Recipe, model: ModelCost | None, speed: Speed | None) -> PricePerPosition:
    """What positions take of a budget in hours, FLOPs or money, where the recipe states enough."""

    def price_of_one(unit: str, length: int) -> Fraction:
        per_token = Fraction(model.flops_per_token(length)) if model else None
        if unit == "flops":
            if per_token is None:
                raise InputError("a budget in FLOPs needs the model they are spent on: give model.config or parameters")
            return per_token
        device_hours = speed.device_hours(1, per_token) if speed else None
        devices, rate = recipe.batch.devices, speed.hardware.price if speed else None
        if unit == "money" and rate is None:
            raise InputError("a budget in money needs hardware.price, the price of one device for one hour")
        if devices is None:
            raise InputError(
                f"a budget in {unit} needs batch.devices: hours are counted from start to end on all of them"
            )
        if speed is None or device_hours is None:
            raise InputError(
                f"a budget in {unit} needs to know how fast it goes: give hardware.tokens_per_second, or a model and "
                "hardware.device (or peak_tflops)"
            )
        per_hour = Fraction(1) if rate is None or unit == "hours" else rate * devices
        return device_hours.point / devices * per_hour / _share_that_computes(recipe, speed, per_hour)

    return price_of_one


def _share_that_computes(recipe: Recipe, speed: Speed, per_hour: Fraction) -> Fraction:
    """What restarts leave of a budget in hours or money."""
    assert recipe.budget is not None  # hours and money stand nowhere else
    whole = recipe.budget.amount[1] / per_hour
    if speed.lost_hours >= whole:
        raise InputError(
            f"restarts alone take {float(speed.lost_hours):.4g} of {float(whole):.4g} hours: nothing is left to train"
        )
    return 1 - speed.lost_hours / whole


def _loop_layout(loop: Loop, recipe: Recipe) -> Layout:
    """Somebody else's loop as one phase of full windows; its own counts stand beside it."""
    loader = loop.loader
    phase = Phase(
        steps=loop.counts.steps or 1,
        sequence_length=recipe.phases[0].sequence_length or 1,
        global_batch=loader.samples_per_round * loader.gradient_accumulation,
    )
    return Layout(phases=(phase,), stretches=(0,), excess=Fraction(0), measure="samples")


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
    if architecture is None or recipe.hardware is None or recipe.longest == 1:
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
