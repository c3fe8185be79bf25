"""Another trainer's loop: passes by a sampler, windows that end with them."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil

from dist_epochs.arithmetic.batch import cannot_be_built
from dist_epochs.arithmetic.loader import Loader, Uneven, expected_coverage_of_passes
from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.errors import InputError
from dist_epochs.plan.corpus_facts import CorpusFacts
from dist_epochs.plan.drawn import Loop
from dist_epochs.plan.global_batch import batch_of
from dist_epochs.plan.scheduling import PricePerPosition
from dist_epochs.recipe import Recipe

__all__ = ["expected_loop_coverage", "foreign_uneven", "loop_of", "micro_batches"]

_UNEVEN: Mapping[str, Uneven] = {"pad": "pad", "drop": "drop", "keep": "keep"}


def loop_of(recipe: Recipe, facts: CorpusFacts | None, data_parallel_size: int, price: PricePerPosition) -> Loop | None:
    """The loop that a recipe plans, and what it has done at the end; None for this package's own batches.

    Raises:
        InputError: If the size of the corpus in samples, or a factor of the batch, is missing.
    """
    batch = recipe.batch
    if not batch.is_foreign:
        return None
    per_device, accumulation = micro_batches(recipe, data_parallel_size)
    # a window of one micro-step is partial where its micro-batch is short; else what Accelerate and the Trainer do
    unsaid: Uneven = "drop" if batch.last_window == "drop" and accumulation == 1 else "pad"
    loader = Loader(
        samples=_corpus_samples(recipe, facts),
        per_device=per_device,
        data_parallel_size=data_parallel_size,
        gradient_accumulation=accumulation,
        uneven=foreign_uneven(batch.uneven) or unsaid,
        last_window=batch.last_window or "flush",
    )
    (phase,) = recipe.phases
    name, amount = phase.amount or (recipe.length_budget.amount if recipe.length_budget else ("", Fraction(0)))
    length = phase.sequence_length
    match name:
        case "steps":
            return Loop(loader, loader.after_steps(int(amount)))
        case "epochs":
            counts = loader.after_passes(amount)
            if not counts.steps:
                raise _no_step()
            return Loop(loader, counts)
        case "samples":
            return Loop(loader, loader.after_steps(loader.steps_to_train(int(amount))))
    if length is None:
        raise InputError(f"{name} of samples without a length", fixes=("--sequence-length", "samples, steps or epochs"))
    if name == "tokens":
        return Loop(loader, loader.after_steps(loader.steps_to_train(ceil(amount / length))))
    affordable = int(amount / (length * price(name, length)))
    return Loop(loader, loader.after_steps(_most_steps(loader, affordable)))


def _most_steps(loader: Loader, drawn: int) -> int:
    """The most steps that draw no more than so many samples."""
    if loader.after_steps(1).drawn > drawn:
        raise _no_step()
    low, high = 1, loader.steps_to_train(drawn + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if loader.after_steps(middle).drawn <= drawn else (low, middle)
    return low


def _no_step() -> InputError:
    return InputError("the budget does not pay for a single step", fixes=("more of it", "a smaller batch"))


def foreign_uneven(policy: str) -> Uneven | None:
    """What a recipe says of the last round of another trainer's pass; None for the policies of this package."""
    return _UNEVEN.get(policy)


def expected_loop_coverage(loop: Loop) -> Fraction:
    """Expected share of the corpus that is trained at least once, if every pass is shuffled anew."""
    return expected_coverage_of_passes(loop.loader.samples, loop.loader.trained_per_pass, loop.counts.samples)


def _corpus_samples(recipe: Recipe, facts: CorpusFacts | None) -> int:
    length = recipe.phases[0].sequence_length
    if facts is not None and length is not None and not facts.not_packed([length]):
        return sum(facts.samples(length).values())
    size = recipe.corpus.size
    if size is not None and size.unit is Unit.SAMPLE and size.value.denominator == 1:
        return int(size.value)
    raise InputError(
        "last_window and uneven: pad, drop, keep count passes over whole samples, and how many there are is not known",
        fixes=("a corpus in samples (--corpus '148 samples')", "a store that is packed at this length"),
    )


def micro_batches(recipe: Recipe, data_parallel_size: int) -> tuple[int, int]:
    """Samples per device and micro-step, and micro-steps per window, stated or from the global batch.

    Raises:
        BatchError: If the factors do not make the global batch.
    """
    batch = recipe.batch
    samples = batch_of(batch, recipe.phases[0])
    assert isinstance(samples, int)  # a loop has no ramp
    known = batch.per_device or batch.gradient_accumulation or 1
    if samples % (known * data_parallel_size):
        raise cannot_be_built(samples, data_parallel_size, batch.per_device)
    other = samples // (known * data_parallel_size)
    return (known, other) if batch.per_device is not None else (other, known)
