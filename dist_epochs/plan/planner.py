"""The plan: what a recipe will draw, as integers, before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Protocol

from dist_epochs.arithmetic.batch import BatchError, GlobalBatch
from dist_epochs.arithmetic.counts import Counts, Draw, PassKey, draws
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.arithmetic.schedule import Phase, Schedule
from dist_epochs.errors import InputError
from dist_epochs.plan.corpus_facts import CorpusFacts
from dist_epochs.plan.plan import Plan, SourcePlan
from dist_epochs.plan.recipe import BatchRecipe, Recipe

__all__ = ["CorpusCounter", "fingerprint", "make_plan", "mixture_of", "schedule_of"]

PACKING = "best-fit-decreasing in blocks, 1"
ORDER = "blocks and rows by hash, over lanes, 1"
MOST_PASSES = 1_000_000
MASKS = "fixed count by hash, 1"


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
) -> Plan:
    """Work out what a recipe draws.

    Args:
        recipe: The recipe.
        facts: The counted corpus; without it, samples per pass are unknown.
        counter: Counts stretches of a pass; without it, tokens and loss tokens are unknown.
        data_parallel_size: Devices that see different data; default, what the recipe states, or one.

    Raises:
        BatchError: If the devices cannot build a phase's global batch.
        InputError: If the corpus does not fit the recipe.
    """
    schedule = schedule_of(recipe)
    _check_lengths(recipe)
    size = data_parallel_size or recipe.batch.devices or 1
    batches = tuple(
        GlobalBatch(
            samples=phase.global_batch,
            data_parallel_size=size,
            per_device=recipe.batch.per_device,
            uneven=recipe.batch.uneven == "allow",
        )
        for phase in schedule.phases
    )
    mixture = None
    if facts is not None:
        mixture = mixture_of(recipe, facts)
        facts = facts.only(mixture.names)
    notes = [_not_counted(recipe)] if facts is None else list(_not_packed(facts, schedule))
    remarks = list(_remarks(recipe, schedule, data_parallel_size))
    drawn: tuple[Draw, ...] | None = None
    if facts is not None and mixture is not None and not notes:
        _refuse_endless(schedule, facts)
        drawn = tuple(
            draw for span in schedule.spans() for draw in draws(span, mixture, facts.samples(span.sequence_length))
        )
    passes = {draw.key: counter.count(draw) for draw in drawn} if drawn and counter else None
    return Plan(
        name=recipe.name,
        phases=tuple(schedule.phases),
        batches=batches,
        facts=facts,
        corpus_tokens=Quantity.exact(facts.tokens, Unit.TOKEN) if facts else recipe.corpus.stated_tokens,
        passes=passes,
        sources=_sources(facts, drawn, passes) if facts and drawn else (),
        coverage=_coverage(facts, drawn, counter) if facts and drawn and counter else None,
        fingerprint=fingerprint(recipe, schedule, facts, mixture),
        notes=(*notes, *remarks),
    )


def schedule_of(recipe: Recipe) -> Schedule:
    """The phases of a recipe, each with its global batch in samples."""
    return Schedule(
        tuple(
            Phase(
                steps=phase.steps,
                sequence_length=phase.sequence_length,
                global_batch=_samples(recipe.batch, phase.global_batch, phase.sequence_length),
            )
            for phase in recipe.phases
        )
    )


def mixture_of(recipe: Recipe, facts: CorpusFacts) -> Mixture:
    """How the recipe draws from the sources of a counted corpus.

    Raises:
        InputError: If several sources have no weights, or weights name no source.
    """
    names = [source.name for source in facts.sources]
    weights = recipe.corpus.weights
    if weights is None and len(names) > 1:
        shares = ", ".join(f"{s.name}: {s.tokens / facts.tokens:.4g}" for s in facts.sources)
        raise InputError(
            f"{facts.store} holds {len(names)} sources and corpus.weights does not say how to mix them. "
            f"Their shares of the tokens are {{{shares}}}; write weights like these, or others."
        )
    for name in weights or ():
        if name not in names:
            raise InputError(f"corpus.weights names {name!r}; {facts.store} holds {', '.join(names)}")
    stated = weights or {names[0]: Fraction(1)}
    return Mixture.of({name: stated[name] for name in names if name in stated})


def fingerprint(recipe: Recipe, schedule: Schedule, facts: CorpusFacts | None, mixture: Mixture | None) -> str:
    """Digest of all that decides which samples are drawn, with which masks; never of the devices."""
    model = recipe.model
    decisive = {
        "corpus": facts.fingerprint if facts else None,
        "packing": PACKING,
        "order": ORDER,
        "masks": [MASKS, model.objective, str(model.mask_probability)] if model else None,
        "seed": recipe.seed,
        "mixture": list(zip(mixture.names, mixture.weights, strict=True)) if mixture else None,
        "phases": [[phase.steps, phase.sequence_length, phase.global_batch] for phase in schedule.phases],
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _samples(batch: BatchRecipe, own: Quantity | None, length: int) -> int:
    """The global batch of one phase, in samples."""
    stated = own or batch.global_batch
    product = None
    if batch.devices is not None and batch.gradient_accumulation is not None:
        product = batch.devices * batch.per_device * batch.gradient_accumulation
    if stated is None:
        assert product is not None  # the recipe checks it
        return product
    samples = stated.value / length if stated.unit in (Unit.TOKEN, Unit.POSITION) else stated.value
    if samples.denominator != 1:
        below = int(samples)
        fits = " and ".join(f"{count * length:,} ({count} samples)" for count in (below, below + 1) if count)
        raise BatchError(
            f"global batch {stated.text!r} is {float(samples):.4g} samples of length {length}, not a whole number. "
            f"Nearest: {fits}. Nothing was rounded."
        )
    if own is None and product is not None and product != samples:
        raise BatchError(
            f"global batch {samples} is stated, but {batch.devices} devices × {batch.per_device} samples × "
            f"{batch.gradient_accumulation} micro-steps = {product}. Leave one of them out, or correct it."
        )
    return int(samples)


def _not_counted(recipe: Recipe) -> tuple[str, str]:
    store = recipe.corpus.store
    there = f"there is no store at {store} (paths are relative to the recipe): " if store else ""
    return (
        "not-counted",
        f"{there}samples and tokens of a pass are not known before the corpus is counted: run "
        f"`dist-epochs tokenize SOURCE --tokenizer T --out {store or 'STORE'} --sequence-length …` and plan on that",
    )


def _check_lengths(recipe: Recipe) -> None:
    """A length beyond the positions that an inline model configuration states."""
    stated = recipe.model.config if recipe.model else None
    positions = stated.get("max_position_embeddings") if isinstance(stated, dict) else None
    if isinstance(positions, int) and recipe.longest > positions:
        raise InputError(
            f"sequence length {recipe.longest} is beyond the model's {positions} positions. Shorten "
            f"phases.sequence_length, or set model.config.max_position_embeddings to at least {recipe.longest}."
        )


def _remarks(recipe: Recipe, schedule: Schedule, data_parallel_size: int | None) -> Iterable[tuple[str, str]]:
    if data_parallel_size is None and recipe.batch.devices is None:
        yield (
            "devices-not-stated",
            "micro-steps are those of one device: batch.devices is not stated. Samples, tokens and epochs do not "
            "depend on it.",
        )
    warmup = recipe.optimizer.warmup_steps if recipe.optimizer else 0
    if warmup > schedule.steps:
        yield (
            "warmup-beyond-the-run",
            f"optimizer.warmup_steps is {warmup:,} and the run has {schedule.steps:,} steps: the learning rate never "
            "reaches its peak",
        )
    if recipe.model is None:
        yield "no-model", "tokens and loss tokens are not counted: model.objective decides what the loss counts"


def _not_packed(facts: CorpusFacts, schedule: Schedule) -> Iterable[tuple[str, str]]:
    for length in sorted({phase.sequence_length for phase in schedule.phases}):
        if any(length not in source.samples for source in facts.sources):
            yield (
                "not-packed",
                f"{facts.store} is not packed at length {length}, so its samples and tokens are not known: "
                f"run `dist-epochs tokenize {facts.store} --sequence-length {length}`",
            )


def _refuse_endless(schedule: Schedule, facts: CorpusFacts) -> None:
    passes = sum(phase.samples // min(facts.samples(phase.sequence_length).values()) + 1 for phase in schedule.phases)
    if passes > MOST_PASSES:
        raise InputError(
            f"the phases draw up to {passes:,} passes over {facts.store}, and at most {MOST_PASSES:,} are planned "
            "one by one. The steps are far too many for this corpus, or mistyped."
        )


def _sources(
    facts: CorpusFacts, drawn: tuple[Draw, ...], passes: Mapping[PassKey, Counts] | None
) -> tuple[SourcePlan, ...]:
    result = []
    for source in facts.sources:
        mine = [draw for draw in drawn if draw.key.source == source.name]
        epochs = sum(
            (Fraction(draw.stop - draw.start, source.samples[draw.key.sequence_length]) for draw in mine), Fraction(0)
        )
        result.append(
            SourcePlan(
                name=source.name,
                samples=sum(draw.stop - draw.start for draw in mine),
                tokens=sum(passes[draw.key].tokens for draw in mine) if passes else None,
                epochs=epochs,
            )
        )
    return tuple(result)


def _coverage(facts: CorpusFacts, drawn: tuple[Draw, ...], counter: CorpusCounter) -> Fraction:
    seen = sum(
        counter.documents_seen(source.name, [draw for draw in drawn if draw.key.source == source.name])
        for source in facts.sources
    )
    return Fraction(seen, facts.documents)
