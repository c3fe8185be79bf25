"""Claims that are recipes: what the plan draws becomes facts, and what is stated of it becomes checks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.batch import BatchError
from dist_epochs.arithmetic.quantity import Unit, parse
from dist_epochs.audit.fact import FactReader
from dist_epochs.audit.plan_facts import plan_facts, plan_formulas
from dist_epochs.audit.source_facts import EPOCHS_OF, SUM_OF_EPOCHS, SUM_OF_WEIGHTS, SourceFacts
from dist_epochs.errors import InputError, Origin, nearest
from dist_epochs.plan.planner import make_plan
from dist_epochs.recipe import make_recipe
from dist_epochs.settings.document import Document, RecipeError
from dist_epochs.settings.fields import Place, Problem

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


ROUNDED_BATCH = (
    " Where the work prints a rounded number, write a claim of facts and formulas: steps: {formula: tokens / batch, …}."
)


def write_planned(document: Document, path: Path) -> None:
    """Plan the recipe in a claim file, and write facts and checks in its place.

    A reading's `set` changes settings of the recipe, by dotted keys; its facts and checks are those of that plan. A
    fact of the claim that has the name and the number of one of the plan's says more about it: its digits, where it
    was read.

    Args:
        document: The claim file.
        path: Where it lies, for messages.

    Raises:
        RecipeError: With everything that is wrong with the recipe, what is stated of it, and its readings.
    """
    problems = [*_batch_problems(document), *_stated_problems(document)]
    literal = _planned(document, path, {}, problems)
    if literal is None or problems:
        raise RecipeError.together([*problems, *_setting_problems(document)])
    problems += [*_name_problems(document, literal), *_setting_problems(document)]
    readings = _readings(document, path, literal, problems)
    if problems:
        raise RecipeError.together(problems)
    _write_literal(document, literal)
    for title, planned in readings.items():
        _write_reading(document, title, planned, literal)
    for name in PLANNED & set(document.data):
        del document.data[name]


@dataclass(frozen=True, slots=True)
class _Planned:
    """A recipe, planned: facts by name, and the formulas of what is stated, by the names of the checks."""

    facts: Mapping[str, Any]
    formulas: Mapping[str, str]


def _planned(
    document: Document, path: Path, changes: Mapping[str, Any], problems: list[RecipeError], title: str = ""
) -> _Planned | None:
    """The recipe with a reading's changes; None and problems if it is none."""
    recipe = _changed(document, changes, problems, title)
    if recipe is None:
        return None
    try:
        plan = make_plan(make_recipe(recipe, path))
    except RecipeError as error:
        problems.append(error)
        return None
    except InputError as error:
        where = document.where(("readings", title, "set")) if changes else _where(document, error)
        batch = document.get(("batch", "global_batch"))
        in_tokens = isinstance(error, BatchError) and _unit(batch) in (Unit.TOKEN, Unit.POSITION)
        problems.append(RecipeError(f"{error}{ROUNDED_BATCH if in_tokens else ''}", origin=where))
        return None
    stated = document.data.get("stated")
    if not isinstance(stated, dict):  # told elsewhere
        return None
    facts, formulas = dict(plan_facts(plan)), _formulas(stated, plan_formulas(plan))
    rows = stated.get("sources")
    if isinstance(rows, dict) and plan.recipe.corpus.sources:
        sources = SourceFacts(plan, recipe)
        facts, formulas = facts | dict(sources.facts()), formulas | sources.formulas(rows)
    return _Planned(facts, formulas)


def _changed(
    document: Document, changes: Mapping[str, Any], problems: list[RecipeError], title: str
) -> Document | None:
    """The recipe in a claim, with a reading's changes; None and problems if these cannot be made."""
    recipe = document.copy()
    recipe.data = {name: value for name, value in recipe.data.items() if name in SECTIONS}
    before = len(problems)
    for dotted, value in changes.items():
        try:
            recipe.change(dotted, value, document.where(("readings", title, "set", dotted)))
        except RecipeError as error:
            problems.append(error)
    return recipe if len(problems) == before else None


def _where(document: Document, error: InputError) -> Origin:
    """Where the settings stand that the planner refuses: those it names, or the batch."""
    named = re.match(r"[a-z_]+(\.\w+)*", str(error))
    place: Place = tuple(int(part) if part.isdigit() else part for part in named[0].split(".")) if named else ()
    if place and place[0] in SECTIONS:
        return document.where(place)
    return document.where(("batch",) if isinstance(error, BatchError) else ())


def _formulas(stated: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, str]:
    """How what is stated follows, by its names; what cannot be derived is left out."""
    names = {name: name for name in stated if name != "sources"}
    if _unit(stated.get("global_batch")) in (Unit.TOKEN, Unit.POSITION):
        names["global_batch"] = "global_batch_positions"
    return {name: known[derived] for name, derived in names.items() if derived in known}


def _batch_problems(document: Document) -> Iterator[RecipeError]:
    """A global batch beside all of its factors is a statement about them: it is checked, not refused."""
    batch, stated = document.data.get("batch"), document.data.get("stated")
    if not isinstance(batch, dict) or not isinstance(stated, dict):
        return
    if {"global_batch", "devices", "per_device", "gradient_accumulation"} <= set(batch):
        where = document.where(("batch", "global_batch"))
        value = batch.pop("global_batch")
        if "global_batch" in stated:
            yield RecipeError("batch.global_batch and stated.global_batch: keep one", origin=where)
        else:
            document.put(("stated", "global_batch"), value, where)


def _stated_problems(document: Document) -> Iterator[RecipeError]:
    """What is stated that cannot be read, that no plan knows, or in other units."""
    stated, where = document.data.get("stated"), document.where(("stated",))
    if not isinstance(stated, dict) or not stated:
        instead = f", not {stated!r}" if stated else "; it is empty"
        yield RecipeError(f"stated: names and values of what the work says comes out{instead}", origin=where)
        return
    for name, value in stated.items():
        if name == "sources":
            yield from _source_problems(document, value)
        elif name not in NEEDS:
            where = document.where(("stated", name))
            hint = nearest(name, (*NEEDS, "sources"))
            yield RecipeError(f"stated.{name}: a plan does not know it{hint}", origin=where)
        else:
            yield from _number_problems(document, ("stated", name), value, UNITS.get(name, ()))


def _number_problems(document: Document, place: Place, value: Any, known: Sequence[Unit]) -> Iterator[RecipeError]:
    name, where = ".".join(map(str, place)), document.where(place)
    if value is None:
        yield RecipeError(f"{name}: it is empty", origin=where)
        return
    found: list[Problem] = []
    FactReader().read(value, place, found)
    for problem in found:
        said = "" if problem.names_place else f"{'.'.join(map(str, problem.place))}: "
        yield RecipeError(f"{said}{problem.message}", origin=document.where(problem.place))
    unit = _unit(value)
    if unit is not None and unit not in known:
        wanted = f"it counts {' or '.join(f'{each}s' for each in known)}" if known else "it has no such unit"
        yield RecipeError(f"{name}: {_number(value)!s} counts {unit}s; {wanted}", origin=where)


def _source_problems(document: Document, rows: Any) -> Iterator[RecipeError]:
    where, sources = document.where(("stated", "sources")), document.get(("corpus", "sources"))
    if not isinstance(rows, dict) or not rows or not isinstance(sources, dict):
        yield RecipeError("stated.sources: the epochs of each of corpus.sources, by name", origin=where)
        return
    for name, value in rows.items():
        place = ("stated", "sources", name)
        if name not in sources:
            hint = nearest(str(name), sources)
            asked = f"stated.sources.{name}: there is no source {name!r}{hint}"
            yield RecipeError(asked, origin=document.where(place))
        yield from _number_problems(document, place, value, (Unit.EPOCH,))


def _unit(value: Any) -> Unit | None:
    try:
        return parse(_number(value)).unit
    except ValueError:  # told as a fact that cannot be read
        return None


def _number(value: Any) -> Any:
    return value.get("number", "") if isinstance(value, Mapping) else value


def _name_problems(document: Document, planned: _Planned) -> Iterator[RecipeError]:
    for name, fact in planned.facts.items():
        own = document.get(("facts", name))
        if own is not None and not _same(_number(own), _number(fact)):
            where = document.where(("facts", name))
            asked = f"facts.{name}: the recipe's plan has {_number(fact)} under this name; choose another"
            yield RecipeError(asked, origin=where)
    for name in planned.formulas:
        if document.get(("checks", name)) is not None:
            where = document.where(("checks", name))
            yield RecipeError(f"checks.{name} and stated.{name}: keep one", origin=where)


def _same(one: Any, other: Any) -> bool:
    try:
        return parse(one).value == parse(other).value
    except ValueError:  # read again, and told, as a fact
        return True


def _setting_problems(document: Document) -> Iterator[RecipeError]:
    """Keys of readings' `set` that are no settings of the recipe."""
    for title, changes in _changes(document):
        place = ("readings", title, "set")
        if not isinstance(changes, dict) or not changes:
            yield RecipeError(f"readings.{title}.set: it must be keys and values", origin=document.where(place))
            continue
        for dotted in changes:
            first = dotted.partition(".")[0]
            if first not in SECTIONS:
                instead = {"stated": "checks", "facts": "facts", "checks": "checks"}.get(first)
                hint = f"; say so in readings.{title}.{instead}" if instead else f"; those are {', '.join(SECTIONS)}"
                where = document.where((*place, dotted))
                said = f"readings.{title}.set.{dotted}: it is no setting that a claim's numbers follow from"
                yield RecipeError(f"{said}{hint}", origin=where)


def _changes(document: Document) -> Iterator[tuple[str, Any]]:
    """The readings that set something, and what."""
    readings = document.data.get("readings")
    for title, reading in readings.items() if isinstance(readings, dict) else ():
        if isinstance(reading, dict) and "set" in reading:
            yield title, reading["set"]


def _settings(changes: Any) -> dict[str, Any]:
    """What a reading sets of the recipe."""
    if not isinstance(changes, dict):
        return {}
    return {dotted: value for dotted, value in changes.items() if dotted.partition(".")[0] in SECTIONS}


def _readings(document: Document, path: Path, literal: _Planned, problems: list[RecipeError]) -> dict[str, _Planned]:
    """The readings that change settings, planned."""
    found = {}
    for title, changes in _changes(document):
        known = _settings(changes)
        planned = _planned(document, path, known, problems, title) if known else None
        if planned is None or len(known) < len(changes):  # what is wrong is told
            continue
        where, said = document.where(("readings", title, "set")), []
        if planned == literal:
            said.append("it changes nothing that is checked; leave it out, or set something else")
        lost = [name for name in literal.formulas if name not in planned.formulas]
        said += [f"then {name} cannot be derived without {NEEDS.get(name, 'it')}" for name in lost]
        problems += [RecipeError(f"readings.{title}.set: {message}", origin=where) for message in said]
        found[title] = planned
    return found


def _write_literal(document: Document, planned: _Planned) -> None:
    """The facts, and a check for all that is stated and can be derived."""
    stated = document.data["stated"]
    rows = stated.pop("sources", None) or {}
    for name, fact in planned.facts.items():
        if document.get(("facts", name)) is None:
            document.put(("facts", name), fact, document.where(("corpus",)))
    for name, value in stated.items():
        where = document.where(("stated", name))
        if name in planned.formulas:
            document.put(("checks", name), {"formula": planned.formulas[name], "stated": value}, where)
        else:
            document.put(("unknown", name), NEEDS[name], where)
    for source, value in rows.items():
        name, where = EPOCHS_OF.format(source), document.where(("stated", "sources", source))
        document.put(("checks", name), {"formula": planned.formulas[name], "stated": value}, where)
    _write_sums(document, planned, rows)


def _write_sums(document: Document, planned: _Planned, rows: Mapping[str, Any]) -> None:
    """What the rows of a mixture come to together."""
    where = document.where(("stated",))
    for number, name in enumerate(document.get(("corpus", "sources")) or {}):
        if name in rows:
            document.put(("facts", f"epochs_{number}"), rows[name], where)
    for name, stated in ((SUM_OF_WEIGHTS, {"stated": {"number": "1.00"}}), (SUM_OF_EPOCHS, {})):
        if name in planned.formulas:
            document.put(("checks", name), {"formula": planned.formulas[name], **stated}, where)


def _write_reading(document: Document, title: str, planned: _Planned, literal: _Planned) -> None:
    """The facts and formulas that a reading's settings change."""
    where = document.where(("readings", title, "set"))
    document.data["readings"][title].pop("set")
    for name, fact in planned.facts.items():
        if fact != literal.facts.get(name) and document.get(("readings", title, "facts", name)) is None:
            document.put(("readings", title, "facts", name), fact, where)
    for name, formula in planned.formulas.items():
        own = document.get(("readings", title, "checks", name, "formula"))
        if formula != literal.formulas.get(name) and own is None and name in literal.formulas:
            document.put(("readings", title, "checks", name, "formula"), formula, where)
