"""A claim: facts as they were printed, what is stated to follow from them, and ways to read both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.audit.check import LITERAL
from dist_epochs.audit.expression import Expression, evaluate, names_in, written
from dist_epochs.audit.fact import Fact, FactReader
from dist_epochs.audit.grammar import parse_expression
from dist_epochs.audit.units import unit_problems
from dist_epochs.errors import InputError, nearest
from dist_epochs.names import in_words
from dist_epochs.settings.fields import Many, Part, Table, Value, key
from dist_epochs.settings.plain import FLAG, TEXT

__all__ = ["UNITS", "CheckText", "Citation", "Claim", "ClaimKeys", "ReadingText", "at_place"]

UNITS: Mapping[str, tuple[Unit, ...]] = {
    "steps": (Unit.STEP,),
    "micro_steps": (Unit.STEP,),
    "samples": (Unit.SAMPLE,),
    "tokens": (Unit.TOKEN, Unit.POSITION),
    "positions": (Unit.TOKEN, Unit.POSITION),
    "global_batch": (Unit.SAMPLE, Unit.TOKEN, Unit.POSITION),
    "epochs": (Unit.EPOCH,),
}
"""What stated results of a plan may count, if they say so; the others have no unit of their own."""

COUNTED = {
    **UNITS,
    "words": (Unit.WORD,),
    "documents": (Unit.DOCUMENT,),
    "devices": (Unit.DEVICE,),
    **dict.fromkeys(("hours", "days", "device_hours", "gpu_hours", "flops", "parameters", "price"), ()),
}
"""What the stated number of a check may count, if the check is called by a word for what is counted."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _formula(data: Any) -> Expression:
    if isinstance(data, bool | list | dict):
        raise ValueError(f"it must be a formula, not {data!r}")
    return parse_expression(str(data))


def _year(data: Any) -> int:
    if isinstance(data, bool) or not isinstance(data, int):
        raise ValueError(f"it must be a whole year, such as 2019, not {data!r}")
    return data


@dataclass(frozen=True, kw_only=True)
class Citation:
    """Where the claim was read."""

    authors: str | None = key(TEXT, None)
    """Who."""
    year: int | None = key(Value(_year, ("integer",)), None)
    """When."""
    arxiv: str | None = key(TEXT, None)
    """arXiv number."""
    doi: str | None = key(TEXT, None)
    """DOI."""
    url: str | None = key(TEXT, None)
    """Address, of what has neither."""
    where: str | None = key(TEXT, None)
    """Section, table, page."""


@dataclass(frozen=True, kw_only=True)
class CheckText:
    """Something that follows from the facts."""

    formula: Expression | None = key(Value(_formula, ("string",)), None)
    """Numbers and names of facts with + - * / **, brackets, ceil and floor. In a reading, without it, the claim's."""
    stated: Fact | None = key(FactReader(), None, null=False)
    """What the work says it is; without it the check only informs."""


@dataclass(frozen=True, kw_only=True)
class ReadingText:
    """Another way to read the claim: it may replace facts and checks, and never edits them."""

    assumes: Mapping[str, str] | None = key(Table(TEXT), None)
    """What it takes instead of the claim's own assumptions, by the same names."""
    facts: Mapping[str, Fact] | None = key(Table(FactReader()), None)
    """Facts in place of the claim's."""
    checks: Mapping[str, CheckText] | None = key(Table(Part(CheckText)), None)
    """Checks of this reading, those of the same name in place of the claim's."""
    only: bool = key(FLAG, False)
    """Whether the claim's other checks are left out. The reading settles nothing if it breaks one of them."""
    set: Mapping[str, Any] | None = key(Table(Value(lambda setting: setting)), None)
    """Of a claim that is a recipe: settings in place of its own, by dotted keys."""


@dataclass(frozen=True, kw_only=True)
class ClaimKeys:
    """What a claim file says beside its numbers."""

    title: str = key(TEXT)
    """The work."""
    citation: Citation = key(Part(Citation), Citation())
    """Where to find it."""
    assumes: Mapping[str, str] | None = key(Table(TEXT), None)
    """What the literal reading takes for granted, by short names: `words: a word is one token`."""
    checks: Mapping[str, CheckText] | None = key(Table(Part(CheckText)), None)
    """What is stated to follow, by name."""
    unknown: Mapping[str, str] | None = key(Table(TEXT), None)
    """What is stated and cannot be derived: what is missing for it, by name."""
    readings: Mapping[str, ReadingText] | None = key(Table(Part(ReadingText)), None)
    """Other ways to read it, by name."""
    notes: tuple[str, ...] = key(Many(TEXT), ())
    """What else is worth knowing."""


@dataclass(frozen=True, kw_only=True)
class Claim(ClaimKeys):
    """A claim: facts, and what is stated to follow from them."""

    facts: Mapping[str, Fact] = key(Table(FactReader()))
    """Numbers as printed, by names that formulas use."""

    def __post_init__(self) -> None:
        found = [at_place(place, said) for place, said in self.cross_field_errors(vars(self))]
        if found:
            raise InputError.together(found)

    @property
    def heading(self) -> str:
        """The work and where to find it, in one line."""
        found = self.citation
        arxiv = f"arXiv:{found.arxiv}" if found.arxiv else None
        doi = f"doi:{found.doi}" if found.doi else None
        year = str(found.year) if found.year else None
        told = (self.title, found.authors, year, arxiv, doi, found.url, found.where)
        return ", ".join(part for part in told if part)

    @property
    def sources(self) -> tuple[str, ...]:
        """Where its numbers were read, with addresses; and which of them were not."""
        found = self.citation
        arxiv = f"https://arxiv.org/abs/{found.arxiv}" if found.arxiv else None
        doi = f"https://doi.org/{found.doi}" if found.doi else None
        work = ", ".join(part for part in (arxiv or doi or found.url, found.where) if part)
        facts = {**self.facts}
        for reading in (self.readings or {}).values():
            facts |= {name: fact for name, fact in (reading.facts or {}).items() if name not in facts}
        read_in: dict[str, list[str]] = {}
        for name, fact in facts.items():
            if fact.read_in is not None and not fact.derived:
                read_in.setdefault(fact.read_in, []).append(name)
        others = (f"{', '.join(map(in_words, names))}: {place}" for place, names in read_in.items())
        recalled = ", ".join(in_words(name) for name, fact in facts.items() if fact.recalled)
        assumed = (f"{in_words(name)}: assumed, {fact.assumed}" for name, fact in facts.items() if fact.assumed)
        unread = f"{recalled}: recalled, not read" if recalled else None
        return tuple(part for part in (work, *others, unread, *assumed) if part)

    @staticmethod
    def cross_field_errors(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str | InputError]]:
        """What does not fit together of what was read, with its place; None stands for what could not be read."""
        facts, checks, assumes = (values.get(name) or {} for name in ("facts", "checks", "assumes"))
        if not checks and not values.get("unknown"):
            yield (), "checks are missing: what is stated to follow from the facts? Or, of a recipe: stated"
        for name in facts:
            if not _NAME.fullmatch(name):
                yield ("facts", name), "it cannot stand in a formula; use letters, digits and _"
        for name, check in checks.items():
            problems = (*_formula_problems(check, facts, needed=True), *_stated_unit_problems(name, check))
            yield from ((("checks", name), message) for message in problems)
            yield from ((("checks", name), error) for error in _unit_problems(name, check, None, facts, assumes))
        for title, reading in (values.get("readings") or {}).items():
            if title == LITERAL:
                yield ("readings", title), "this is the name of the literal reading; choose another"
            if reading is not None:
                for place, said in _reading_cross_field_errors(reading, facts, checks, assumes):
                    yield ("readings", title, *place), said


def at_place(place: Sequence[str], said: str | InputError) -> InputError:
    """What is wrong, with the place of the claim that it is about."""
    error = said if isinstance(said, InputError) else InputError(said)
    return error.but(asked=f"{'.'.join(place)}: {error.asked}") if place else error


def _reading_cross_field_errors(
    reading: ReadingText, facts: Mapping[str, Any], checks: Mapping[str, Any], assumes: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, ...], str | InputError]]:
    assumed = {**assumes, **(reading.assumes or {})}
    known = {**facts, **(reading.facts or {})}
    for name, check in (reading.checks or {}).items():
        base = checks.get(name)
        problems = (*_formula_problems(check, known, name not in checks, base), *_stated_unit_problems(name, check))
        yield from ((("checks", name), message) for message in problems)
        yield from ((("checks", name), error) for error in _unit_problems(name, check, base, known, assumed))
    for name, check in checks.items() if reading.facts and not reading.only else ():
        if check is not None and name not in (reading.checks or {}):
            yield from (((), f"checks.{name}: {message}") for message in _value_problems(check.formula, known))
            if not [*_unit_problems(name, check, None, facts, assumes)]:  # else it is told of the check itself
                for error in _unit_problems(name, check, None, known, assumed):
                    yield (), at_place(("checks", name), error)
    if reading.set is not None:  # a recipe's are written into facts before
        yield ("set",), "it changes settings of a recipe, and this claim is not a recipe; use facts and checks"
    for name in reading.assumes or {}:
        if name not in assumes:
            error = InputError(
                f"the claim assumes nothing of that name, so it cannot be read otherwise{nearest(name, assumes)}",
                rule="what a reading takes otherwise is said at the top of the claim as the literal reading takes it",
                fixes=f"assumes: {{{name}: what it is as printed}} at the top, beside facts and readings",
            )
            yield ("assumes", name), error


def _formula_problems(
    check: CheckText | None, facts: Mapping[str, Any], needed: bool, base: CheckText | None = None
) -> Iterator[str]:
    if check is None:
        return
    if check.formula is None:
        if needed:
            yield "formula is missing"
        elif base is not None:
            yield from _value_problems(base.formula, facts)
        return
    unknown = [name for name in names_in(check.formula) if name not in facts]
    yield from (f"there is no fact {name!r}{nearest(name, facts)}" for name in unknown)
    if not unknown:
        yield from _value_problems(check.formula, facts)


def _value_problems(formula: Expression | None, facts: Mapping[str, Fact | None]) -> Iterator[str]:
    """Why a formula has no value, if it and all facts in it could be read."""
    if formula is None:
        return
    used = {name: fact for name in names_in(formula) if (fact := facts.get(name)) is not None}
    if len(used) < len(names_in(formula)):
        return
    try:
        evaluate(formula, {name: fact.interval for name, fact in used.items()})
    except InputError as error:
        yield f"the formula {written(formula)}: {error}"


def _unit_problems(
    name: str,
    check: CheckText | None,
    base: CheckText | None,
    facts: Mapping[str, Fact | None],
    assumes: Mapping[str, str],
) -> Iterator[InputError]:
    """Words and bytes that a formula takes for tokens, if it has a value."""
    if check is None:
        return
    formula = check.formula or (base.formula if base is not None else None)
    stated = check.stated or (base.stated if base is not None else None)
    if formula is None or any(facts.get(known) is None for known in names_in(formula)):
        return
    if not [*_value_problems(formula, facts)]:
        known = {known: fact for known, fact in facts.items() if fact is not None}
        yield from unit_problems(name, formula, stated, known, assumes)


def _stated_unit_problems(name: str, check: CheckText | None) -> Iterator[str]:
    """A check that is called tokens states tokens, if it says what it counts."""
    known = COUNTED.get(name.lower().replace(" ", "_"))
    unit = check.stated.number.unit if check is not None and check.stated is not None else None
    if check is not None and check.stated is not None and known is not None and unit not in (None, *known):
        wanted = f"it counts {' or '.join(f'{each}s' for each in known)}" if known else "it has no such unit"
        yield f"{check.stated.number.text} counts {unit}s, and the check is called {name}: {wanted}. Rename one of them"
