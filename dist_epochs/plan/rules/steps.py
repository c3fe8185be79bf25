"""Steps, devices and lengths."""

from __future__ import annotations

from fractions import Fraction

from dist_epochs.plan.plan import Plan

__all__ = ["budget_rounded", "devices_not_stated", "per_device_not_stated", "sequence_phases", "warmup_beyond_the_run"]


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


def devices_not_stated(plan: Plan) -> str | None:
    """The plan is for one device, since no number of devices is stated.

    With a stated global batch, samples, tokens and epochs do not depend on devices; micro-steps, hours and memory do.
    Without one, the global batch is devices × per device × accumulation, and everything depends on them.

    What to do: `batch.devices`, or `--devices 8xH100`.
    """
    if plan.recipe.batch.devices is not None:
        return None
    batch = plan.recipe.batch
    if batch.global_batch is None and batch.ramp is None:
        return "the global batch is that of one device, since batch.devices is not stated: everything depends on it"
    return (
        "micro-steps are those of one device: batch.devices is not stated. Samples, tokens and epochs do not "
        "depend on it."
    )


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


def budget_rounded(plan: Plan) -> str | None:
    """Steps do not divide the amount asked for.

    A run is made of whole steps, so an amount in tokens ends with the first step that reaches it. An amount in
    samples or epochs of counted samples ends exactly: the last step draws what is left. What hours, FLOPs or money
    pay for is not exceeded. Rounding happens once, at the end of the run.

    What to do: nothing, if the difference does not matter; else choose an amount that steps divide.
    """
    if plan.loop is not None:
        return None
    if plan.has_partial_step:
        return f"the last step draws the {plan.batches[-1].samples:,} samples that are left of the amount"
    if not plan.excess:
        return None
    unit = {"tokens": "positions", "flops": "FLOPs", "money": "of the money"}.get(plan.measure, plan.measure)
    direction = "more" if plan.excess > 0 else "less"
    return f"{plan.steps:,} whole steps take {_amount(plan.excess)} {unit} {direction} than asked for"


def _amount(excess: Fraction) -> str:
    return f"{int(abs(excess)):,}" if excess.denominator == 1 else f"{float(abs(excess)):.4g}"
