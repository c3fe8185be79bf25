"""Claims that are recipes: the recipe is planned, and the plan's numbers are compared with what is stated of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.batch import BatchError
from dist_epochs.arithmetic.quantity import Unit, parse
from dist_epochs.audit.claim import CheckText, Claim, ClaimKeys, ReadingText, at_place
from dist_epochs.audit.expression import Expression
from dist_epochs.audit.fact import Fact, FactReader
from dist_epochs.audit.plan_facts import plan_facts, plan_formulas
from dist_epochs.audit.source_facts import EPOCHS_OF, SUM_OF_EPOCHS, SUM_OF_WEIGHTS, SourceFacts
from dist_epochs.audit.stated import NEEDS, SOURCES, Stated, StatedReader
from dist_epochs.errors import InputError, Origin, nearest
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.planner import make_plan
from dist_epochs.recipe import make_recipe
from dist_epochs.settings.document import Document, RecipeError
from dist_epochs.settings.fields import Place, Table, key

__all__ = ["RECIPE_KEYS", "read_recipe_claim"]

SECTIONS = ("corpus", "batch", "budget", "phases", "model", "hardware", "precision")
"""The sections of a recipe that a claim may have."""

RECIPE_KEYS = {*SECTIONS, "stated"}
"""Keys that make a claim file a recipe with stated results."""

SHORT_SECTIONS: Mapping[str, Mapping[Unit | None, str]] = {
    "corpus": {Unit.TOKEN: "tokens", Unit.WORD: "words", Unit.SAMPLE: "samples"},
    "batch": dict.fromkeys((None, Unit.SAMPLE, Unit.TOKEN, Unit.POSITION), "global_batch"),
    "budget": {Unit.TOKEN: "tokens", Unit.SAMPLE: "samples", Unit.EPOCH: "epochs"},
}
"""Sections that may be one number, and the key that it stands for, by what it counts."""

FACTS_AND_FORMULAS = (
    "a claim of facts and formulas, where the work prints a rounded number: steps: {formula: tokens / batch, …}"
)


@dataclass(frozen=True, kw_only=True)
class RecipeClaim(ClaimKeys):
    """A claim file that is a recipe: its keys beside those of the recipe."""

    facts: Mapping[str, Fact] | None = key(Table(FactReader()), None)
    """What is known of numbers of the plan beyond the recipe, such as their digits; or further numbers."""
    stated: Stated = key(StatedReader())
    """What the work says comes out."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A recipe, planned: facts by name, and the formulas of what is stated, by the names of the checks."""

    facts: Mapping[str, Fact]
    formulas: Mapping[str, Expression]


def read_recipe_claim(document: Document, path: Path) -> Claim:
    """Plan the recipe in a claim file: its numbers become facts, and what is stated of it becomes checks.

    A reading's `set` changes settings of the recipe, by dotted keys; its facts and checks are those of that plan. A
    fact of the claim that has the name and the number of one of the plan's says more about it: its digits, where it
    was read.

    Args:
        document: The claim file.
        path: Where it lies, for messages.

    Raises:
        InputError: With everything that is wrong with the recipe, what is stated of it, and its readings.
    """
    errors: list[InputError] = [*_write_sections_out(document), *_state_batch(document)]
    errors += [*_unknown_sources(document), *_wrong_settings(document)]
    recipe, rest = document.copy(), document.copy()
    recipe.data = {name: value for name, value in recipe.data.items() if name in SECTIONS}
    rest.data = {name: value for name, value in rest.data.items() if name not in SECTIONS}
    written = None
    try:
        written = rest.make(RecipeClaim)
    except InputError as error:
        errors.append(error)
    plan = _plan(recipe, path, None, errors)
    if written is None or plan is None:
        raise RecipeError.together(errors)
    literal = _planned(plan, recipe, written.stated)
    errors += _taken_names(document, written, literal)
    readings = {}
    for title, reading in (written.readings or {}).items():
        planned = _changed(document, recipe, path, title, written, errors) if reading.set is not None else None
        if planned is not None:
            errors += _useless_changes(document, title, planned, literal)
        readings[title] = _reading(reading, planned or literal, literal)
    if errors:
        raise RecipeError.together(errors)
    unknown = {name: NEEDS[name] for name in written.stated.results if name not in literal.formulas}
    values: dict[str, Any] = {
        "title": written.title,
        "citation": written.citation,
        "facts": {**literal.facts, **dict(_stated_epochs(plan, written.stated)), **(written.facts or {})},
        "assumes": written.assumes,
        "checks": {**(written.checks or {}), **dict(_checks(written.stated, literal))},
        "unknown": {**(written.unknown or {}), **unknown} or None,
        "readings": readings or None,
        "notes": written.notes,
    }
    for place, said in Claim.cross_field_errors(values):
        errors.append(RecipeError(**at_place(place, said).parts | {"origin": _origin(document, place)}))
    if errors:
        raise RecipeError.together(errors)
    return Claim(**values)


def _plan(recipe: Document, path: Path, origin: Origin | None, errors: list[InputError]) -> Plan | None:
    """A recipe's plan; None and errors if it cannot be planned.

    Args:
        recipe: The recipe.
        path: The file that paths in it are relative to.
        origin: Where the settings stand that make it another one than the claim's; None for the claim's own.
        errors: Gets what is wrong.
    """
    try:
        return make_plan(make_recipe(recipe, path))
    except InputError as error:
        for each in error.errors:
            is_batch = isinstance(each, BatchError)
            unit = _unit(recipe.get(("batch", "global_batch"))) if is_batch else None
            place = origin or recipe.where(("batch",) if is_batch else ())
            fixes = (*each.fixes, FACTS_AND_FORMULAS) if unit in (Unit.TOKEN, Unit.POSITION) else each.fixes
            errors.append(RecipeError(**each.parts | {"fixes": fixes, "origin": each.origin or place}))
    return None


def _planned(plan: Plan, recipe: Document, stated: Stated) -> Planned:
    """Facts of a plan, and formulas of what is stated; what cannot be derived is left out."""
    known = plan_formulas(plan)
    names = {name: name for name in stated.results}
    batch = stated.results.get("global_batch")
    if batch is not None and batch.number.unit in (Unit.TOKEN, Unit.POSITION):
        names["global_batch"] = "global_batch_positions"
    facts = dict(plan_facts(plan))
    formulas = {name: known[derived] for name, derived in names.items() if derived in known}
    if stated.sources and plan.recipe.corpus.sources:
        weighted = () if plan.phase_sources else plan.recipe.corpus.sources  # phases with their own weights decide
        weights = (recipe.get(("corpus", "sources", name, "weight")) for name in weighted)
        sources = SourceFacts(plan, [parse(weight) for weight in weights if weight is not None])
        facts |= sources.facts()
        formulas |= sources.formulas(stated.sources)
    return Planned(facts, formulas)


def _changed(
    document: Document, recipe: Document, path: Path, title: str, written: RecipeClaim, errors: list[InputError]
) -> Planned | None:
    """The recipe with the settings of a reading, planned; None and errors if it cannot be."""
    place = ("readings", title, "set")
    changed, before = recipe.copy(), len(errors)
    settings = (written.readings or {})[title].set or {}
    known = {name: value for name, value in settings.items() if name.partition(".")[0] in SECTIONS}
    for name, value in known.items():
        try:
            changed.change(name, value, document.where((*place, name)))
        except InputError as error:
            errors.append(error)
    errors += _write_sections_out(changed)
    if len(errors) > before or not known:
        return None
    plan = _plan(changed, path, document.where(place), errors)
    if plan is None or len(known) < len(settings):  # what is wrong is told
        return None
    return _planned(plan, changed, written.stated)


def _useless_changes(document: Document, title: str, planned: Planned, literal: Planned) -> Iterator[RecipeError]:
    """What a reading's settings leave as it is, or make impossible to derive."""
    said = []
    if planned == literal:
        said.append("it changes nothing that is checked; leave it out, or set something else")
    lost = [name for name in literal.formulas if name not in planned.formulas]
    said += [f"then {name} cannot be derived without {NEEDS.get(name, 'it')}" for name in lost]
    for message in said:
        yield RecipeError(f"readings.{title}.set: {message}", origin=document.where(("readings", title, "set")))


def _reading(reading: ReadingText, planned: Planned, literal: Planned) -> ReadingText:
    """A reading with the facts and formulas that its settings change."""
    facts = {name: fact for name, fact in planned.facts.items() if fact != literal.facts.get(name)}
    checks = dict(reading.checks or {})
    for name, formula in planned.formulas.items():
        own = checks.get(name, CheckText())
        if formula != literal.formulas.get(name) and own.formula is None and name in literal.formulas:
            checks[name] = replace(own, formula=formula)
    return replace(reading, set=None, facts={**facts, **(reading.facts or {})} or None, checks=checks or None)


def _checks(stated: Stated, planned: Planned) -> Iterator[tuple[str, CheckText]]:
    """A check for all that is stated and can be derived, and what the rows of a mixture come to together."""
    of_sources = {EPOCHS_OF.format(source): fact for source, fact in stated.sources.items()}
    sums = {SUM_OF_WEIGHTS: Fact(number=parse("1.00")), SUM_OF_EPOCHS: None}
    for name, fact in {**stated.results, **of_sources, **sums}.items():
        if name in planned.formulas:
            yield name, CheckText(formula=planned.formulas[name], stated=fact)


def _stated_epochs(plan: Plan, stated: Stated) -> Iterator[tuple[str, Fact]]:
    """The stated epochs of sources, by the sources' numbers, for their sum."""
    for number, name in enumerate(plan.recipe.corpus.sources or {}):
        if name in stated.sources:
            yield f"epochs_{number}", stated.sources[name]


def _write_sections_out(document: Document) -> Iterator[RecipeError]:
    """Sections that are one number, where that reads one way only: `corpus: 13B tokens`, `batch: 512`."""
    for section, keys in SHORT_SECTIONS.items():
        value, where = document.data.get(section), document.where((section,))
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            continue
        try:
            unit = parse(value, what=section).unit
        except InputError as error:
            yield RecipeError(**error.parts | {"origin": where})
            unit, keys = None, {None: ""}
        if unit not in keys:
            counted = f"counts {unit}s" if unit is not None else "does not say what it counts"
            units = " or ".join(f"{each}s" for each in keys if each is not None)
            yield RecipeError(f"{section} {value!r} {counted}", rule=f"it counts {units}", origin=where)
        document.data[section] = {}
        if keys.get(unit):
            document.put((section, keys[unit]), value, where)


def _state_batch(document: Document) -> Iterator[RecipeError]:
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


def _unknown_sources(document: Document) -> Iterator[RecipeError]:
    """Sources of which something is stated, and which the corpus does not have."""
    rows, sources = document.get(("stated", SOURCES)), document.get(("corpus", "sources"))
    for name in rows if isinstance(rows, dict) else ():
        if not isinstance(sources, dict) or name not in sources:
            hint = nearest(name, sources if isinstance(sources, dict) else ())
            asked = f"stated.sources.{name}: there is no source {name!r} in corpus.sources{hint}"
            yield RecipeError(asked, origin=document.where(("stated", SOURCES, name)))


def _taken_names(document: Document, written: RecipeClaim, planned: Planned) -> Iterator[RecipeError]:
    """Names of own facts and checks that the plan has for others."""
    for name, own in (written.facts or {}).items():
        fact = planned.facts.get(name)
        if fact is not None and own.number.value != fact.number.value:
            asked = f"facts.{name}: the recipe's plan has {fact.number.in_words} under this name; choose another"
            yield RecipeError(asked, origin=document.where(("facts", name)))
    for name in written.checks or {}:
        if name in planned.formulas:
            yield RecipeError(f"checks.{name} and stated.{name}: keep one", origin=document.where(("checks", name)))


def _wrong_settings(document: Document) -> Iterator[RecipeError]:
    """Keys of readings' `set` that are no settings of the recipe."""
    readings = document.data.get("readings")
    for title in readings if isinstance(readings, dict) else ():
        place = ("readings", title, "set")
        changes = document.get(place)
        for name in changes if isinstance(changes, dict) else ():
            first = name.partition(".")[0]
            if first not in SECTIONS:
                instead = {"stated": "checks", "facts": "facts", "checks": "checks"}.get(first)
                hint = f"; say so in readings.{title}.{instead}" if instead else f"; those are {', '.join(SECTIONS)}"
                said = f"readings.{title}.set.{name}: it is not a setting that a claim's numbers follow from"
                yield RecipeError(f"{said}{hint}", origin=document.where((*place, name)))


def _origin(document: Document, place: Place) -> Origin:
    """Where what is at a place of the claim was written in the file: checks of results are written under `stated`."""
    if place[:1] == ("checks",) and document.get(place[:2]) is None:
        return document.where(("stated", *place[1:]))
    return document.where(place)


def _unit(batch: Any) -> Unit | None:
    try:
        return parse(batch).unit
    except ValueError:
        return None
