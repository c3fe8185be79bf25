"""What a plan gives an audit: its settings and results as facts, and how everything that may be stated follows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.quantity import parse
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.pricing import GUESSED_MFU, Speed

__all__ = ["drawn_formula", "plan_facts", "plan_formulas"]

MOST_STRETCHES = 8
"""Stretches of equal steps that are written out one by one; with more, their sums come from the plan."""

GUESS = f"a guess of the utilization, {float(GUESSED_MFU.low):.0%} to {float(GUESSED_MFU.high):.0%}"
"""Why a number is assumed that rests on it."""


def plan_facts(plan: Plan) -> Iterator[tuple[str, Any]]:
    """The settings of a plan as facts, which may be mistyped, and what it derives, which cannot be."""
    yield from _batch_facts(plan)
    if _is_written_out(plan):
        for index, phase in enumerate(plan.phases):
            yield f"steps{_suffix(plan, index)}", _setting(plan, f"{phase.steps} steps")
            if plan.has_positions:
                yield f"sequence_length{_suffix(plan, index)}", _setting(plan, phase.sequence_length)
    else:
        yield "steps", _from_plan(plan, plan.steps)
        yield "samples", _from_plan(plan, plan.samples)
        if plan.positions is not None:
            yield "positions", _from_plan(plan, plan.positions)
    if _micro_steps(plan) == "micro_steps":
        yield "micro_steps", _from_plan(plan, plan.micro_steps)
    yield from _model_facts(plan)
    yield from _corpus_facts(plan)
    if plan.cost.wall_hours is not None or plan.cost.device_hours is not None:
        yield from _speed_facts(plan)


def _batch_facts(plan: Plan) -> Iterator[tuple[str, Any]]:
    batch = plan.recipe.batch
    if _is_product(plan):
        yield "devices", _setting(plan, f"{batch.data_parallel_size} devices")
        yield "per_device", _setting(plan, f"{batch.per_device} samples")
        yield "gradient_accumulation", _setting(plan, batch.gradient_accumulation)
        return
    for index, phase in enumerate(plan.phases if _has_batches(plan) else ()):
        yield f"global_batch_{index}", _setting(plan, f"{phase.global_batch} samples")
    largest = f"{max(phase.global_batch for phase in plan.phases)} samples"
    if _has_batches(plan) or batch.ramp is not None or plan.loop is not None:
        yield "global_batch", _derived(largest, "the plan: its largest batch")
    else:
        yield "global_batch", _exact(largest) if _has_own_steps(plan) else _derived(largest, "the recipe's batch")


def _model_facts(plan: Plan) -> Iterator[tuple[str, Any]]:
    model, cost = plan.recipe.model, plan.cost
    if model is not None and model.parameters is not None:
        yield "parameters", model.parameters.text
    elif cost.parameters is not None:
        yield "parameters", _derived(cost.parameters, "the plan: the model's configuration")
    if cost.positions != plan.positions and cost.positions is not None:
        yield "positions_computed", _derived(cost.positions, "the plan: what the loop computes, drops included")
    if cost.flops is not None and cost.positions and (model is None or model.parameters is None):
        yield "flops_per_token", _derived(cost.flops / cost.positions, "the plan: the model's configuration")


def _corpus_facts(plan: Plan) -> Iterator[tuple[str, Any]]:
    """The size of the corpus, as precise as it was written."""
    corpus, size = plan.recipe.corpus, plan.corpus_size
    if corpus.words is not None and corpus.tokens_per_word is not None:
        yield "words", corpus.words.text if parse(corpus.words.text).unit else f"{corpus.words.text} words"
        yield "tokens_per_word", _exact(corpus.tokens_per_word.text)
    elif size is not None and size.text:
        yield "corpus", size.text if parse(size.text).unit else f"{size.text} {size.unit}s"
    elif size is not None:
        origin = "the plan: the sizes of the sources" if corpus.sources else "the plan: the counted corpus"
        ends = [_text(size.low), _text(size.high)]
        yield "corpus", {"number": _text(size.value), "between": ends, "derived": True, "read_in": origin}


def _speed_facts(plan: Plan) -> Iterator[tuple[str, Any]]:
    """What hours and money rest on."""
    speed = plan.cost.speed
    assert speed is not None
    hardware = speed.hardware
    if speed.devices is not None and _all_devices(plan) == "all_devices":
        yield "all_devices", _exact(f"{speed.devices} devices")
    if speed.positions_per_second is not None:
        yield "tokens_per_second", _exact(_text(speed.positions_per_second))
    else:
        assert speed.peak is not None
        stated = hardware.peak_tflops is not None
        yield "peak_flops", _exact(_text(speed.peak)) if stated else _derived(speed.peak, "the table of devices")
        yield "mfu", _utilization(speed)
    if speed.lost_hours:
        yield "lost_hours", _derived(speed.lost_hours, "the plan: the restarts")
    if hardware.price is not None:
        yield "price_per_device_hour", _exact(_text(hardware.price))


def _utilization(speed: Speed) -> dict[str, Any]:
    """The utilization: stated, as a number or a range, or a guess, which carries no accusation.

    The point of a range is the one at which the hours are in the middle of theirs, as the plan shows them.
    """
    low, high = speed.mfu.low, speed.mfu.high
    if low == high:
        return _exact(_text(low))
    fact = {"number": _text(2 / (1 / low + 1 / high)), "between": [_text(low), _text(high)]}
    return fact | ({"derived": True, "assumed": GUESS} if speed.is_guess else {})


def _exact(number: Any) -> dict[str, Any]:
    return {"number": number, "exact": True}


def _derived(number: Any, origin: str) -> dict[str, Any]:
    text = _text(number) if isinstance(number, int | Fraction) else number
    return {"number": text, "exact": True, "derived": True, "read_in": origin}


def _text(number: Fraction | int) -> str:
    number = Fraction(number)
    return str(number.numerator) if number.denominator == 1 else f"{number.numerator}/{number.denominator}"


def _setting(plan: Plan, number: Any) -> dict[str, Any]:
    """A setting as it was written, or what the plan makes of others."""
    return _exact(number) if _has_own_steps(plan) else _from_plan(plan, number)


def _from_plan(plan: Plan, number: Any) -> dict[str, Any]:
    """What only the plan knows; if it rests on a guess, it says so."""
    fact = _derived(number, f"the plan: {_origin(plan)}")
    if plan.cost.speed is None or not plan.cost.speed.is_guess or not {"hours", "money"} & _measures(plan):
        return fact
    del fact["read_in"]
    return fact | {"assumed": GUESS}


def _origin(plan: Plan) -> str:
    """Which settings its steps come from."""
    if plan.loop is not None:
        return "the loop, with its windows and drops"
    if plan.recipe.batch.ramp is not None:
        return f"{len(plan.phases)} stretches of the ramp"
    if plan.recipe.budget is not None:
        name, amount = plan.recipe.budget.amount
        return f"the budget of {float(amount):,.12g} {name}"
    if _has_own_steps(plan):
        return "the phases"
    return f"phases in {' and '.join(sorted(_measures(plan)))}"


def _measures(plan: Plan) -> set[str]:
    """What the run's length was asked for in."""
    return {name for name, _ in plan.amounts}


def _has_own_steps(plan: Plan) -> bool:
    """Whether steps, lengths and batches are the recipe's own, phase by phase, and not worked out from others."""
    recipe = plan.recipe
    if plan.loop is not None or recipe.batch.ramp or recipe.budget or _measures(plan) != {"steps"}:
        return False
    return plan.stretches == tuple(range(len(recipe.phases)))


def _is_written_out(plan: Plan) -> bool:
    """Whether results are sums over stretches of steps × batch × length."""
    return plan.loop is None and len(plan.phases) <= MOST_STRETCHES


def _has_batches(plan: Plan) -> bool:
    """Whether its stretches differ in their batch, and are written out."""
    return _is_written_out(plan) and len({phase.global_batch for phase in plan.phases}) > 1


def _is_product(plan: Plan) -> bool:
    batch = plan.recipe.batch
    factors = (batch.devices, batch.per_device, batch.gradient_accumulation)
    one = len({phase.global_batch for phase in plan.phases}) == 1
    own = plan.loop is None and batch.ramp is None and one
    return own and batch.global_batch is None and None not in factors


def _all_devices(plan: Plan) -> str:
    """The name of all devices; where all of them see different data, that of those in the batch."""
    batch = plan.recipe.batch
    return "devices" if _is_product(plan) and batch.data_parallel_size == batch.devices else "all_devices"


def _suffix(plan: Plan, index: int) -> str:
    return f"_{index}" if len(plan.phases) > 1 else ""


def plan_formulas(plan: Plan) -> dict[str, str]:
    """How everything that may be stated follows from the facts; what cannot be known is left out.

    `global_batch_positions` is the global batch counted in tokens, as papers do; it needs one length.
    """
    batch = _batch(plan)
    steps, samples, positions = _sums(plan, batch)
    found = {"steps": steps, "samples": samples, "global_batch": batch, "micro_steps": _micro_steps(plan)}
    if plan.has_positions:
        found |= {"tokens": positions, "positions": positions}
    if plan.has_positions and _is_written_out(plan) and len(plan.phases) == 1:
        found["global_batch_positions"] = f"{batch} * sequence_length"
    size = "words * tokens_per_word" if plan.recipe.corpus.words is not None else "corpus"
    if plan.corpus_size is not None:
        found["epochs"] = f"{_divided(positions if plan.has_positions else samples)} / ({size})"
    if plan.cost.parameters is not None:
        found["parameters"] = "parameters"
    priced = positions if plan.cost.positions == plan.positions else "positions_computed"
    if plan.cost.flops is not None:
        model = plan.recipe.model
        per_token = "6 * parameters" if model is not None and model.parameters is not None else "flops_per_token"
        found |= {"flops_per_token": per_token, "flops": f"{per_token} * ({priced})"}
    return found | dict(_hours(plan, priced, found.get("flops", "")))


def drawn_formula(plan: Plan) -> str:
    """What the run draws, in the unit of the corpus, in brackets."""
    _, samples, positions = _sums(plan, _batch(plan))
    return f"({positions if plan.counts_tokens else samples})"


def _batch(plan: Plan) -> str:
    return "devices * per_device * gradient_accumulation" if _is_product(plan) else "global_batch"


def _sums(plan: Plan, batch: str) -> tuple[str, str, str]:
    """Steps, samples and positions over all stretches."""
    if not _is_written_out(plan):
        return "steps", "samples", "positions"
    names = [_suffix(plan, index) for index in range(len(plan.phases))]
    steps = " + ".join(f"steps{name}" for name in names)
    if _has_batches(plan):
        samples = " + ".join(f"steps{name} * global_batch{name}" for name in names)
        positions = " + ".join(f"steps{name} * global_batch{name} * sequence_length{name}" for name in names)
        return steps, samples, positions
    lengths = " + ".join(f"steps{name} * sequence_length{name}" for name in names)
    return steps, f"{batch} * ({steps})", f"{batch} * ({lengths})"


def _micro_steps(plan: Plan) -> str:
    if _is_product(plan) and plan.micro_steps == (plan.recipe.batch.gradient_accumulation or 1) * plan.steps:
        return f"gradient_accumulation * ({_sums(plan, '')[0]})"
    return "micro_steps"


def _hours(plan: Plan, positions: str, flops: str) -> Iterator[tuple[str, str]]:
    """Hours and money, as `pricing.price` computes them."""
    cost, speed = plan.cost, plan.cost.speed
    if speed is None or (cost.wall_hours is None and cost.device_hours is None):
        return
    devices = _all_devices(plan)
    measured = speed.positions_per_second is not None
    run = f"{_divided(positions)} / tokens_per_second" if measured else f"{flops} / (peak_flops * mfu)"
    lost = " + lost_hours" if speed.lost_hours else ""
    if cost.wall_hours is not None:
        yield "hours", f"{run} / 3600{lost}" if measured else f"{run} / {devices} / 3600{lost}"
    if cost.device_hours is None:
        return
    whole = f"{run} / 3600"
    if speed.devices is not None and (measured or lost):
        whole = f"{devices} * ({run} / 3600{lost})" if measured else f"{run} / 3600 + {devices} * lost_hours"
    yield "device_hours", whole
    if cost.price is not None:
        yield "price", f"({whole}) * price_per_device_hour"


def _divided(formula: str) -> str:
    """A formula that is to be divided: in brackets, if it is a sum."""
    return f"({formula})" if " + " in re.sub(r"\([^()]*\)", "", formula) else formula
