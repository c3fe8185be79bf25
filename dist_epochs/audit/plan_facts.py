"""What a plan gives an audit: its settings and results as facts, and how everything that may be stated follows."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.quantity import parse
from dist_epochs.plan.plan import Plan

__all__ = ["plan_facts", "plan_formulas"]


def plan_facts(plan: Plan) -> Iterator[tuple[str, Any]]:
    """The settings of a plan as facts, which may be mistyped, and what it derives, which cannot be."""
    batch = plan.recipe.batch
    if _is_product(plan):
        yield "devices", _exact(f"{batch.data_parallel_size} devices")
        yield "per_device", _exact(f"{batch.per_device} samples")
        yield "gradient_accumulation", _exact(batch.gradient_accumulation)
    elif _is_plain(plan):
        yield "global_batch", _exact(f"{plan.phases[0].global_batch} samples")
    for index, phase in enumerate(plan.phases if _is_plain(plan) else ()):
        yield f"steps{_suffix(plan, index)}", _exact(f"{phase.steps} steps")
        if plan.has_positions:
            yield f"sequence_length{_suffix(plan, index)}", _exact(phase.sequence_length)
    model = plan.recipe.model
    if model is not None and model.parameters is not None:
        yield "parameters", model.parameters.text
    elif plan.cost.parameters is not None:
        yield "parameters", _derived(plan.cost.parameters)
    cost = plan.cost
    ranges = {"device_hours": cost.device_hours, "hours": cost.wall_hours, "price": cost.price}
    known = {
        "micro_steps": Fraction(plan.micro_steps),
        **{name: found.point for name, found in ranges.items() if found},
    }
    if not _is_plain(plan):
        known |= {"steps": Fraction(plan.steps), "samples": Fraction(plan.samples)}
        known |= {"positions": Fraction(plan.positions)} if plan.positions is not None else {}
        known["global_batch"] = Fraction(max(phase.global_batch for phase in plan.phases))
    if cost.flops is not None and plan.positions and (model is None or model.parameters is None):
        known["flops_per_token"] = cost.flops / plan.positions
    for name, value in known.items():
        yield name, _derived(f"{value.numerator}/{value.denominator}")
    yield from _corpus_facts(plan)


def _corpus_facts(plan: Plan) -> Iterator[tuple[str, Any]]:
    """The size of the corpus, as precise as it was written."""
    corpus, size = plan.recipe.corpus, plan.corpus_size
    if corpus.words is not None and corpus.tokens_per_word is not None:
        yield "words", corpus.words.text if parse(corpus.words.text).unit else f"{corpus.words.text} words"
        yield "tokens_per_word", _exact(corpus.tokens_per_word.text)
    elif size is not None and size.text:
        yield "corpus", size.text if parse(size.text).unit else f"{size.text} {size.unit}s"
    elif size is not None:
        yield "corpus", _derived(f"{size.value.numerator}/{size.value.denominator}")


def _exact(number: Any) -> dict[str, Any]:
    return {"number": number, "exact": True}


def _derived(number: Any) -> dict[str, Any]:
    return {"number": number, "exact": True, "derived": True}


def _is_plain(plan: Plan) -> bool:
    """Whether its phases are those of the recipe, with one batch: then it is a sum of products."""
    if plan.loop is not None or plan.recipe.batch.ramp or plan.stretches != tuple(range(len(plan.recipe.phases))):
        return False
    return len({phase.global_batch for phase in plan.phases}) == 1


def _is_product(plan: Plan) -> bool:
    batch = plan.recipe.batch
    factors = (batch.devices, batch.per_device, batch.gradient_accumulation)
    return _is_plain(plan) and batch.global_batch is None and None not in factors


def _suffix(plan: Plan, index: int) -> str:
    return f"_{index}" if len(plan.phases) > 1 else ""


def plan_formulas(plan: Plan) -> dict[str, str]:
    """How everything that may be stated follows from the facts; what cannot be known is left out.

    `global_batch_positions` is the global batch counted in tokens, as papers do; it needs one length.
    """
    batch = "devices * per_device * gradient_accumulation" if _is_product(plan) else "global_batch"
    steps, samples, positions = "steps", "samples", "positions"
    if _is_plain(plan):
        names = [_suffix(plan, index) for index in range(len(plan.phases))]
        steps = " + ".join(f"steps{name}" for name in names)
        samples = f"{batch} * ({steps})"
        lengths = " + ".join(f"steps{name} * sequence_length{name}" for name in names)
        positions = f"{batch} * ({lengths})"
    found = {"steps": steps, "samples": samples, "global_batch": batch, "micro_steps": "micro_steps"}
    if plan.has_positions:
        found |= {"tokens": positions, "positions": positions}
    if plan.has_positions and _is_plain(plan) and len(plan.phases) == 1:
        found["global_batch_positions"] = f"{batch} * sequence_length"
    drawn = positions if plan.has_positions else samples
    size = "words * tokens_per_word" if plan.recipe.corpus.words is not None else "corpus"
    if plan.corpus_size is not None:
        found["epochs"] = f"{drawn} / ({size})"
    model = plan.recipe.model
    if plan.cost.parameters is not None:
        found["parameters"] = "parameters"
    if plan.cost.flops is not None:
        per_token = "6 * parameters" if model is not None and model.parameters is not None else "flops_per_token"
        found |= {"flops_per_token": per_token, "flops": f"{per_token} * ({positions})"}
    hours = {"hours": plan.cost.wall_hours, "device_hours": plan.cost.device_hours, "price": plan.cost.price}
    return found | {name: name for name, known in hours.items() if known is not None}
