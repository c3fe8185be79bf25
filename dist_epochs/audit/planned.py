"""Claims that are recipes: what the plan draws becomes facts, and what is stated of it becomes checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.quantity import parse
from dist_epochs.plan.keys import nearest
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.planner import make_plan
from dist_epochs.plan.recipe import make_recipe
from dist_epochs.plan.yaml_reader import Document, RecipeError

__all__ = ["PLANNED", "write_planned"]

SECTIONS = ("corpus", "batch", "budget", "phases", "model", "hardware", "precision")
"""The sections of a recipe that a claim may have."""

PLANNED = {*SECTIONS, "stated"}
"""Keys that make a claim file a recipe with stated results."""

NEEDS = {
    "positions": "the sequence length",
    "tokens": "the sequence length",
    "parameters": "the model",
    "flops": "the model and the sequence length",
    "flops_per_token": "the model and the sequence length",
    "hours": "the model and the hardware",
    "device_hours": "the model and the hardware",
    "price": "the hardware and its price",
    "epochs": "the size of the corpus",
}
"""What a plan cannot know some results without."""

STATED = ("steps", "samples", "tokens", "positions", "global_batch", "micro_steps", *list(NEEDS)[2:])
"""What may be stated of a plan."""


def write_planned(document: Document, path: Path) -> None:
    """Plan the recipe in a claim file, and write facts and checks in its place.

    A reading's `set` changes settings of the recipe, by dotted keys; its facts are those of that plan.

    Args:
        document: The claim file.
        path: Where it lies, for messages.

    Raises:
        RecipeError: If the recipe is none, or something is stated that a plan does not know.
    """
    stated = document.data.get("stated") or {}
    if not isinstance(stated, dict):
        raise RecipeError(f"{document.where(('stated',))}: stated: it must be names and values")
    plan = _plan(document, path, {})
    own_facts, own_checks = document.get(("facts",)) or {}, document.get(("checks",)) or {}
    for name, fact in _facts(plan):
        if name in own_facts:
            where = document.where(("facts", name))
            raise RecipeError(f"{where}: facts.{name}: the recipe's plan has a fact of this name; choose another")
        document.put(("facts", name), fact, document.where(("corpus",)))
    for name in stated:
        if name in own_checks:
            raise RecipeError(f"{document.where(('checks', name))}: checks.{name} and stated.{name}: keep one")
    formulas = _formulas(plan)
    rows = stated.pop("sources", None)
    if rows is not None:
        _write_sources(document, plan, rows, formulas)
    for name, value in stated.items():
        where = document.where(("stated", name))
        if name in formulas:
            document.put(("checks", name), {"formula": formulas[name], "stated": value}, where)
        elif name in NEEDS:
            document.put(("unknown", name), NEEDS[name], where)
        else:
            raise RecipeError(f"{where}: stated.{name}: a plan does not know it{nearest(name, STATED)}")
    readings = document.data.get("readings")
    for title, reading in readings.items() if isinstance(readings, dict) else ():
        changes = reading.pop("set", None) if isinstance(reading, dict) else None
        if changes is not None and not isinstance(changes, dict):
            raise RecipeError(
                f"{document.where(('readings', title))}: readings.{title}.set: it must be keys and values"
            )
        if changes:
            for name, fact in _facts(_plan(document, path, changes)):
                document.put(("readings", title, "facts", name), fact, document.where(("readings", title)))
    for name in PLANNED & set(document.data):
        del document.data[name]


def _plan(document: Document, path: Path, changes: Mapping[str, Any]) -> Plan:
    recipe = document.copy()
    recipe.data = {name: value for name, value in recipe.data.items() if name in SECTIONS}
    for key, value in changes.items():
        recipe.override(f"{key}={value}")
    return make_plan(make_recipe(recipe, path))


def _facts(plan: Plan) -> Iterator[tuple[str, Any]]:
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


def _formulas(plan: Plan) -> dict[str, str]:
    """How everything that may be stated follows from the facts; what cannot be known is left out."""
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


def _write_sources(document: Document, plan: Plan, rows: Any, formulas: Mapping[str, str]) -> None:
    """Stated epochs of each source: its own check, and their sum over sizes beside what the run draws."""
    where = document.where(("stated", "sources"))
    sources = plan.recipe.corpus.sources or {}
    drawn = f"({formulas.get('positions' if plan.counts_tokens else 'samples', '')})"
    if not isinstance(rows, dict) or not sources or drawn == "()":
        raise RecipeError(f"{where}: stated.sources: the epochs of each of corpus.sources, by name")
    for name in rows:
        if name not in sources:
            raise RecipeError(f"{where}: stated.sources: there is no source {name!r}{nearest(str(name), sources)}")
    for number, (name, source) in enumerate(sources.items()):
        size = source.size
        document.put(("facts", f"size_{number}"), size.text or str(size.value), where)
        weight = document.get(("corpus", "sources", name, "weight"))
        document.put(("facts", f"weight_{number}"), str(weight if weight is not None else 0), where)
        if name in rows:
            document.put(("facts", f"epochs_{number}"), rows[name], where)
            formula = f"{drawn} * weight_{number} / size_{number}"
            document.put(("checks", f"epochs of {name}"), {"formula": formula, "stated": rows[name]}, where)
    weights = " + ".join(f"weight_{number}" for number in range(len(sources)))
    document.put(("checks", "sum of the weights"), {"formula": weights, "stated": {"number": "1.00"}}, where)
    if len(rows) == len(sources):
        total = " + ".join(f"epochs_{number} * size_{number}" for number in range(len(sources)))
        document.put(("checks", "sum of epochs × size ÷ what is drawn"), {"formula": f"({total}) / {drawn}"}, where)
