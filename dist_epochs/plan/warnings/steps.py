"""Steps, devices and lengths."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from dist_epochs.arithmetic.layout import Excess
from dist_epochs.arithmetic.text import rounded
from dist_epochs.rules import rule

if TYPE_CHECKING:
    from dist_epochs.plan.plan import Plan

__all__ = ["budget_rounded", "devices_not_stated", "per_device_not_stated", "sequence_phases", "warmup_beyond_the_run"]


LARGEST_ROUNDING = Fraction(1, 100)
"""Missing an amount by more than this share is not rounding any more."""


@rule
def warmup_beyond_the_run(plan: Plan) -> str | None:
    """The learning rate is still rising when the run ends.

    `optimizer.warmup_steps` counts optimizer steps, not micro-steps and not steps of each process.

    What to do: shorten the warm-up, or lengthen the run.
    """
    optimizer = plan.recipe.optimizer
    if optimizer is None or optimizer.warmup_steps <= plan.steps:
        return None
    return (
        f"optimizer.warmup_steps is {optimizer.warmup_steps:,} and the run has {plan.steps:,} steps: the learning rate "
        "never reaches its peak"
    )


@rule
def devices_not_stated(plan: Plan) -> str | None:
    """The plan is for one device, since no number of devices is stated.

    With a stated global batch, samples, tokens and epochs do not depend on devices; micro-steps, hours and memory do.
    Without one, the global batch is devices × per device × accumulation, and everything depends on them.

    What to do: `batch.devices`, or `--devices 8xH100`.
    """
    if plan.recipe.batch.devices is not None or plan.is_launched:
        return None
    batch, size = plan.recipe.batch, plan.batches[0].data_parallel_size
    if size > 1:
        return f"{size} devices, the number with which the batch adds up: batch.devices is not stated"
    if batch.global_batch is None and batch.ramp is None:
        return "the global batch is that of one device, since batch.devices is not stated: everything depends on it"
    return (
        "micro-steps are those of one device: batch.devices is not stated. Samples, tokens and epochs do not "
        "depend on it."
    )


@rule
def per_device_not_stated(plan: Plan) -> str | None:
    """How many samples a device takes at once is not stated, so each step is planned as one micro-step.

    It decides micro-steps and memory, never what is drawn.

    What to do: `batch.per_device`, or `--per-device`; training needs it.
    """
    batch = plan.recipe.batch
    if batch.per_device is not None or batch.devices is None:
        return None
    return (
        f"batch.per_device is not stated: each device is planned to take {plan.batches[0].per_device} samples at once"
    )


@rule
def sequence_phases(plan: Plan) -> str | None:
    """The run has phases of different sequence length: one length cannot stand for all.

    BERT trained 90 % of its steps at length 128 and 10 % at 512. Multiplying all steps by 512, as "about 40 epochs"
    does, counts 3.1 times too many. Each phase has its own packing, so an epoch at one length has another number of
    samples than at the other; epochs add over phases.

    What to do: nothing; beware of numbers that multiply all steps by one length.
    """
    if len(plan.lengths) < 2 or plan.positions is None:
        return None
    longest = plan.lengths[-1]
    ratio = Fraction(plan.samples * longest, plan.positions)
    lengths = ", ".join(map(str, plan.lengths[:-1]))
    return (
        f"lengths {lengths} and {longest}: counting every step at {longest} would give "
        f"{float(ratio):.3g} times the positions"
    )


@rule
def budget_rounded(plan: Plan) -> str | None:
    """Steps do not divide the amount asked for.

    A run is made of whole steps, so an amount in tokens ends with the first step that reaches it. An amount in
    samples, or in epochs of counted samples, ends with a step that draws the samples that are left. What hours, FLOPs
    or money pay for is not exceeded. What a phase takes beyond its amount is taken off the next one, if that counts
    the same.

    What to do: nothing, if the difference does not matter; else choose an amount that steps divide.
    """
    if plan.loop is not None:
        return None
    told = []
    if plan.has_partial_step:
        count = plan.batches[-1].samples
        told.append(f"the last step draws what is left of the amount: {count:,} sample{'s' * (count != 1)}")
    told += [_rounded(plan, found) for found in plan.excesses if not _is_much(plan, found)]
    return "; ".join(told) or None


@rule
def budget_missed(plan: Plan) -> str | None:
    """Whole steps miss the amount asked for by more than one percent.

    The amount is a few steps, or less than one: a step draws more than a percent of it.

    What to do: look for a missing K, M or B in the amount; else take a smaller batch.
    """
    return "; ".join(_rounded(plan, found) for found in plan.excesses if _is_much(plan, found)) or None


LARGEST_BATCH = 2**28
"""Positions of a step; the largest batches that were published have half of it."""


@rule
def batch_of_samples(plan: Plan) -> str | None:
    """A batch without a unit counts samples, and so many of them are more than any published run took.

    A batch of 2M that a paper states are 2 million tokens. Read as samples of 4,096 positions it is 8 billion: steps
    come out 4,096 times too few.

    What to do: `--batch '2Mi tokens'`; or, where samples are meant, write `samples` behind the number.
    """
    stated = plan.recipe.batch.global_batch
    if stated is None or stated.unit is not None or not plan.has_positions:
        return None
    largest = max(
        zip(plan.batches, plan.phases, strict=True), key=lambda each: each[0].samples * each[1].sequence_length
    )
    samples, length = largest[0].samples, largest[1].sequence_length
    if samples * length <= LARGEST_BATCH:
        return None
    return (
        f"{samples:,} samples of length {length:,} are {samples * length:,} positions a step. Tokens? "
        f"'{samples:,} tokens' are {rounded(Fraction(samples, length))} samples"
    )


def _is_much(plan: Plan, found: Excess) -> bool:
    """Whether an amount is missed by more than a percent; less than a sample does not count."""
    if plan.has_partial_step and found is plan.excesses[-1]:
        return False
    return abs(found.amount) > LARGEST_ROUNDING * found.asked


def _steps_until(plan: Plan, found: Excess) -> int:
    return sum(p.steps for p, stretch in zip(plan.phases, plan.stretches, strict=True) if stretch <= found.stretch)


def _rounded(plan: Plan, found: Excess) -> str:
    unit = {"tokens": "positions", "flops": "FLOPs", "money": "of the money"}.get(found.measure, found.measure)
    direction = "more" if found.amount > 0 else "less"
    count = _steps_until(plan, found)
    steps = "one whole step takes" if count == 1 else f"{count:,} whole steps take"
    if plan.has_partial_step and found is plan.excesses[-1]:
        steps = "whole samples take"
    return f"{steps} {_amount(found.amount)} {unit} {direction} than asked for"


def _amount(excess: Fraction) -> str:
    return f"{int(abs(excess)):,}" if excess.denominator == 1 else f"{float(abs(excess)):,.4g}"


@rule
def checkpoints_too_rare(plan: Plan) -> str | None:
    """The run may be over before its first checkpoint.

    A restart loses half a checkpoint interval on average. An interval beyond the run's hours means that a failure
    loses everything, and is more often a slip: `checkpoint_every` is in hours, not in seconds or steps.

    What to do: `--checkpoint-every "2 hours"`, or `"30 minutes"`.
    """
    speed, hours = plan.cost.speed, plan.cost.wall_hours
    if speed is None or hours is None or speed.hardware.checkpoint_every is None:
        return None
    every, computing = speed.hardware.checkpoint_every, hours.high - speed.lost_hours
    if every <= computing:
        return None
    return f"a checkpoint every {rounded(every)} hours in a run that computes for {float(computing):,.3g}"


@rule
def shares_of_the_budget(plan: Plan) -> str | None:
    """Phases take shares of the budget, in the budget's unit, and steps are shared otherwise.

    90 % of the steps at length 128 are 69 % of the positions beside 10 % at length 512. With a budget in tokens,
    epochs or hours, a share of 90 % is one of tokens, epochs or hours.

    What to do: nothing, if it is meant; else state the budget in steps.
    """
    recipe = plan.recipe
    shares = [phase.share for phase in recipe.phases]
    budget = recipe.length_budget
    if budget is None or budget.steps is not None or len(plan.lengths) < 2 or not any(shares):
        return None
    told = []
    for index, share in enumerate(shares):
        steps = sum(p.steps for p, stretch in zip(plan.phases, plan.stretches, strict=True) if stretch == index)
        if share is not None:
            told.append(f"{float(share):.3%} of the {budget.amount[0]} are {steps / plan.steps:.3%} of the steps")
    return "; ".join(told).replace(".000%", "%")


@rule
def ramp_off_the_micro_batch(plan: Plan) -> str | None:
    """Some levels of the ramp do not fill the devices' micro-batches.

    Here samples per device are a maximum, so such a level takes smaller micro-batches. Megatron-LM refuses a global
    batch that is no multiple of data-parallel size × micro-batch.

    What to do: nothing here; for Megatron-LM an increment that is a multiple of data-parallel size × per device.
    """
    batch = plan.recipe.batch
    if batch.ramp is None or batch.per_device is None:
        return None
    full = batch.per_device * plan.batches[0].data_parallel_size
    phases = plan.phases[: len(plan.phases) - plan.has_partial_step]
    levels = sorted({phase.global_batch for phase in phases if phase.global_batch % full})
    if not levels:
        return None
    shown = ", ".join(map(str, levels[:3])) + (", …" if len(levels) > 3 else "")
    size = plan.batches[0].data_parallel_size
    return f"{len(levels)} levels ({shown}) are no multiples of {size} × {batch.per_device} = {full}"
