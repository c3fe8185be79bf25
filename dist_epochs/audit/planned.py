"""Claims that are recipes: what the plan draws becomes facts, and what is stated of it becomes checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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

FORMULAS: Mapping[str, str] = {
    "steps": "steps",
    "samples": "samples",
    "tokens": "positions",
    "positions": "positions",
    "global_batch": "global_batch",
    "micro_steps": "micro_steps",
    "parameters": "parameters",
    "flops": "flops",
    "flops_per_token": "flops / positions",
    "device_hours": "device_hours",
    "hours": "hours",
    "price": "price",
}
"""What may be stated of a plan, and how it follows; epochs follow from the kind of corpus."""


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
    for name, fact in _facts(plan, document):
        if name in own_facts:
            where = document.where(("facts", name))
            raise RecipeError(f"{where}: facts.{name}: the recipe's plan has a fact of this name; choose another")
        document.put(("facts", name), fact, document.where(("corpus",)))
    for name in stated:
        if name in own_checks:
            raise RecipeError(f"{document.where(('checks', name))}: checks.{name} and stated.{name}: keep one")
    known = set(document.get(("facts",)) or {})
    rows = stated.pop("sources", None)
    if rows is not None:
        _write_sources(document, plan, rows, known)
    for name, value in stated.items():
        formula, missing = _formula(name, known, document)
        where = document.where(("stated", name))
        if missing:
            document.put(("unknown", name), missing, where)
        else:
            document.put(("checks", name), {"formula": formula, "stated": value}, where)
    readings = document.data.get("readings")
    for title, reading in readings.items() if isinstance(readings, dict) else ():
        changes = reading.pop("set", None) if isinstance(reading, dict) else None
        if changes is not None and not isinstance(changes, dict):
            raise RecipeError(
                f"{document.where(('readings', title))}: readings.{title}.set: it must be keys and values"
            )
        if changes:
            for name, fact in _facts(_plan(document, path, changes), document, changes):
                document.put(("readings", title, "facts", name), fact, document.where(("readings", title)))
    for name in PLANNED & set(document.data):
        del document.data[name]


def _plan(document: Document, path: Path, changes: Mapping[str, Any]) -> Plan:
    recipe = document.copy()
    recipe.data = {name: value for name, value in recipe.data.items() if name in SECTIONS}
    for key, value in changes.items():
        recipe.override(f"{key}={value}")
    return make_plan(make_recipe(recipe, path))


def _facts(plan: Plan, document: Document, changes: Mapping[str, Any] | None = None) -> Iterator[tuple[str, Any]]:
    """What a plan knows, as facts. Sizes of the corpus keep the precision they were written in."""
    exact: dict[str, Any] = {
        "steps": f"{plan.steps} steps",
        "micro_steps": plan.micro_steps,
        "samples": f"{plan.samples} samples",
        "global_batch": f"{max(phase.global_batch for phase in plan.phases)} samples",
    }
    if plan.positions is not None:
        exact["positions"] = f"{plan.positions} positions"
    if len(plan.lengths) == 1 and plan.has_positions:
        exact["sequence_length"] = plan.lengths[0]
    if plan.cost.parameters is not None:
        exact["parameters"] = plan.cost.parameters
    for name, number in exact.items():
        yield name, {"number": number, "exact": True}
    cost = plan.cost
    ranges = {"device_hours": cost.device_hours, "hours": cost.wall_hours, "price": cost.price}
    points = {"flops": cost.flops, **{name: found.point if found else None for name, found in ranges.items()}}
    for name, value in points.items():
        if value is not None:
            yield name, {"number": f"{value.numerator}/{value.denominator}", "exact": True}
    corpus = plan.recipe.corpus
    if corpus.words is not None and corpus.tokens_per_word is not None:
        yield "words", corpus.words.text if corpus.words.unit else f"{corpus.words.text} words"
        yield "tokens_per_word", {"number": corpus.tokens_per_word.text, "exact": True}
    elif plan.corpus_size is not None:
        size = plan.corpus_size
        yield "corpus", size.text or {"number": f"{size.value.numerator}/{size.value.denominator} {size.unit}s"}


def _write_sources(document: Document, plan: Plan, rows: Any, known: set[str]) -> None:
    """Stated epochs of each source: its own check, and their sum over sizes beside what the run draws."""
    where = document.where(("stated", "sources"))
    sources = plan.recipe.corpus.sources or {}
    drawn = "positions" if plan.counts_tokens else "samples"
    if not isinstance(rows, dict) or not sources or drawn not in known:
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


def _formula(name: str, known: set[str], document: Document) -> tuple[str, str]:
    """How something stated follows from the plan, and what is missing for it."""
    if name == "epochs":
        drawn = "positions" if "positions" in known else "samples"
        if "words" in known:
            return f"{drawn} / (words * tokens_per_word)", ""
        return f"{drawn} / corpus", "" if "corpus" in known else "the size of the corpus"
    if name not in FORMULAS:
        where = document.where(("stated", name))
        raise RecipeError(f"{where}: stated.{name}: a plan does not know it{nearest(name, (*FORMULAS, 'epochs'))}")
    formula = FORMULAS[name]
    missing = [part for part in formula.replace("/", " ").split() if part not in known]
    needs = {"parameters": "the model", "flops": "the model", "positions": "the sequence length"}
    return formula, " and ".join(needs.get(part, "the model and the hardware") for part in missing)
