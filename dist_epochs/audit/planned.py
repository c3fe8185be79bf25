"""Claims that are recipes: what the plan draws becomes facts, and what is stated of it becomes checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.quantity import Unit, parse
from dist_epochs.audit.plan_facts import plan_facts, plan_formulas
from dist_epochs.plan.keys import nearest
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.planner import make_plan
from dist_epochs.plan.recipe import make_recipe
from dist_epochs.plan.yaml_reader import Document, RecipeError

__all__ = ["PLANNED", "UNITS", "write_planned"]

SECTIONS = ("corpus", "batch", "budget", "phases", "model", "hardware", "precision")
"""The sections of a recipe that a claim may have."""

PLANNED = {*SECTIONS, "stated"}
"""Keys that make a claim file a recipe with stated results."""

NEEDS = {
    "steps": "phases",
    "samples": "phases",
    "micro_steps": "phases",
    "global_batch": "the batch",
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
"""What may be stated of a plan, and what it cannot be derived without."""

UNITS: Mapping[str, tuple[Unit, ...]] = {
    "steps": (Unit.STEP,),
    "micro_steps": (Unit.STEP,),
    "samples": (Unit.SAMPLE,),
    "tokens": (Unit.TOKEN, Unit.POSITION),
    "positions": (Unit.TOKEN, Unit.POSITION),
    "global_batch": (Unit.SAMPLE, Unit.TOKEN, Unit.POSITION),
    "epochs": (Unit.EPOCH,),
}
"""What stated numbers may count, if they say so; the others have no unit of their own."""


def write_planned(document: Document, path: Path) -> None:
    """Plan the recipe in a claim file, and write facts and checks in its place.

    A reading's `set` changes settings of the recipe, by dotted keys; its facts are those of that plan. A fact of the
    claim that has the name and the number of one of the plan's says more about it: its digits, where it was read.

    Args:
        document: The claim file.
        path: Where it lies, for messages.

    Raises:
        RecipeError: If the recipe is none, or something is stated that a plan does not know.
    """
    stated = document.data.get("stated")
    problems = list(_stated_problems(document, stated))
    try:
        _state_the_batch(document)
        plan = _plan(document, path, {})
    except RecipeError as error:
        raise RecipeError.of([*str(error).split("\n"), *problems]) from None
    facts = dict(plan_facts(plan))
    problems += _name_problems(document, facts)
    if problems:
        raise RecipeError.of(problems)
    for name, fact in facts.items():
        if document.get(("facts", name)) is None:
            document.put(("facts", name), fact, document.where(("corpus",)))
    _write_checks(document, plan)
    _write_readings(document, path, facts)
    for name in PLANNED & set(document.data):
        del document.data[name]


def _stated_problems(document: Document, stated: Any) -> Iterator[str]:
    """What is stated that no plan knows, or in other units."""
    where = document.where(("stated",))
    if not isinstance(stated, dict):
        yield f"{where}: stated: names and values of what the work says comes out" + (
            "" if stated is None else f", not {stated!r}"
        )
        return
    for name, value in stated.items():
        where = document.where(("stated", name))
        if name == "sources":
            continue
        if name not in NEEDS:
            yield f"{where}: stated.{name}: a plan does not know it{nearest(name, (*NEEDS, 'sources'))}"
            continue
        unit, known = _unit(value), UNITS.get(name, ())
        if unit is not None and unit not in known:
            wanted = f"it counts {' or '.join(f'{each}s' for each in known)}" if known else "it has no such unit"
            yield f"{where}: stated.{name}: {value!s} counts {unit}s; {wanted}"


def _unit(value: Any) -> Unit | None:
    try:
        return parse(_number(value)).unit
    except ValueError:  # read again, and told, as a fact
        return None


def _number(value: Any) -> Any:
    return value.get("number", "") if isinstance(value, Mapping) else value


def _name_problems(document: Document, facts: Mapping[str, Any]) -> Iterator[str]:
    for name, fact in facts.items():
        own = document.get(("facts", name))
        if own is not None and not _same(_number(own), _number(fact)):
            where = document.where(("facts", name))
            yield f"{where}: facts.{name}: the recipe's plan has {_number(fact)} under this name; choose another"
    for name in document.data["stated"]:
        if document.get(("checks", name)) is not None:
            yield f"{document.where(('checks', name))}: checks.{name} and stated.{name}: keep one"


def _same(one: Any, other: Any) -> bool:
    try:
        return parse(one).value == parse(other).value
    except ValueError:  # read again, and told, as a fact
        return True


def _state_the_batch(document: Document) -> None:
    """A global batch beside all of its factors is a statement about them: it is checked, not refused."""
    batch, stated = document.data.get("batch"), document.data.get("stated")
    if not isinstance(batch, dict) or not isinstance(stated, dict):
        return
    if {"global_batch", "devices", "per_device", "gradient_accumulation"} <= set(batch):
        where = document.where(("batch", "global_batch"))
        value = batch.pop("global_batch")
        if "global_batch" in stated:
            raise RecipeError(f"{where}: batch.global_batch and stated.global_batch: keep one")
        document.put(("stated", "global_batch"), value, where)


def _plan(document: Document, path: Path, changes: Mapping[str, Any]) -> Plan:
    recipe = document.copy()
    recipe.data = {name: value for name, value in recipe.data.items() if name in SECTIONS}
    for key, value in changes.items():
        recipe.override(f"{key}={value}")
    return make_plan(make_recipe(recipe, path))


def _write_checks(document: Document, plan: Plan) -> None:
    formulas, stated = plan_formulas(plan), document.data["stated"]
    rows = stated.pop("sources", None)
    if rows is not None:
        _write_sources(document, plan, rows, formulas)
    for name, value in stated.items():
        formula, where = formulas.get(name), document.where(("stated", name))
        if name == "global_batch" and _unit(value) in (Unit.TOKEN, Unit.POSITION):
            formula = formulas.get("global_batch_positions")
        if formula is not None:
            document.put(("checks", name), {"formula": formula, "stated": value}, where)
        else:
            document.put(("unknown", name), NEEDS[name], where)


def _write_readings(document: Document, path: Path, facts: Mapping[str, Any]) -> None:
    """The facts that a reading's settings change."""
    readings = document.data.get("readings")
    for title, reading in readings.items() if isinstance(readings, dict) else ():
        changes = reading.pop("set", None) if isinstance(reading, dict) else None
        where = document.where(("readings", title))
        if changes is not None and not isinstance(changes, dict):
            raise RecipeError(f"{where}: readings.{title}.set: it must be keys and values")
        for name, fact in plan_facts(_plan(document, path, changes)) if changes else ():
            if fact != facts.get(name):
                document.put(("readings", title, "facts", name), fact, where)


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
