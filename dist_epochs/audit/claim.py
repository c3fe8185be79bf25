"""A claim: facts as they were printed, what is stated to follow from them, and ways to read both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from dist_epochs.arithmetic.quantity import Quantity, Unit, parse
from dist_epochs.audit.expression import names_in, parse_expression
from dist_epochs.audit.interval import Interval
from dist_epochs.audit.planned import PLANNED, write_planned
from dist_epochs.errors import InputError
from dist_epochs.plan.keys import Choice, Many, Part, Place, Problem, Table, Value, key, nearest
from dist_epochs.plan.recipe.values import COUNT, FLAG, TEXT
from dist_epochs.plan.yaml_reader import Document

__all__ = ["LITERAL", "CheckText", "Citation", "Claim", "Fact", "ReadingText", "read_claim"]

SETTINGS = (Unit.STEP, Unit.SAMPLE, Unit.POSITION, Unit.DEVICE)
"""What a run was told is exact, unless it is written with `~`: `1M steps`, `256 sequences`."""

LITERAL = "as printed"
"""Name of the reading that takes everything as it stands."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


LABELS = ("hours", "days", "bytes", "parameters", "FLOPs", "TPUs", "pairs", "seconds", "years")
"""What numbers of claims count beside the project's own units; their names are the facts' own."""

_LABEL = re.compile(rf"\s*({'|'.join(rf'{label[:-1]}s?' for label in LABELS)})\s*$", re.IGNORECASE)
_BYTES = re.compile(r"(?<=\d)\s*([KMGT])B\s*$")
_ABOUT = re.compile(r"^\s*(≈|approx\.?)\s*")
_BYTE_SCALES = {"K": "K", "M": "M", "G": "B", "T": "T"}


def _number(data: Any) -> Quantity:
    """A number in any spelling of papers; labels that are no unit here are left to the fact's name."""
    if not isinstance(data, str):
        return parse(data, what="the number")
    text = _ABOUT.sub("~", _LABEL.sub("", data))
    text = _BYTES.sub(lambda match: _BYTE_SCALES[match[1]], text)
    return parse(text, what="the number")


def _formula(data: Any) -> str:
    if isinstance(data, bool | list | dict):
        raise ValueError(f"it must be a formula, not {data!r}")
    return str(data)


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A number, as precise as it was printed."""

    number: Quantity = key(Value(_number, least=0))
    """The number as printed: `1M steps`, `3.3B words`, `~40`, `128,000`, `60K hours`, `160GB`."""
    exact: bool | None = key(FLAG, None)
    """Whether it has no play. Default: what a run was told (steps, samples, lengths, devices) is exact, the rest has
    half a unit of the last digit written, or a whole one with `~`."""
    digits: int | None = key(COUNT, None)
    """Significant digits it was printed with, where its spelling has others: `300B` that is rounded to one digit."""
    rounded: Literal["nearest", "down"] = key(Choice(("nearest", "down")), "nearest")
    """How it was shortened when it was printed."""
    derived: bool = key(FLAG, False)
    """Whether it was computed here from others, and printed nowhere: then it cannot be a slip."""
    read_in: str | None = key(TEXT, None)
    """Where it was read, if not in the work cited."""
    recalled: bool = key(FLAG, False)
    """Whether it was remembered and not read. Such a number can carry no accusation."""

    def __post_init__(self) -> None:
        if self.recalled and self.read_in is not None:
            raise InputError("a number is either read somewhere or recalled; keep one of read_in and recalled")

    @property
    def interval(self) -> Interval:
        """What the number may be."""
        number = self.number
        if self.exact or (
            self.exact is None and self.digits is None and number.unit in SETTINGS and not self._is_about
        ):
            return Interval.exact(number.value)
        if self.rounded == "down":
            return Interval(number.value, number.value, number.value + 2 * self._half)
        play = self._half * (2 if self._is_about else 1)
        low = number.value - play
        if low <= 0 < number.value:  # what is counted is above zero, however roughly it is written
            low = number.value / 2
        return Interval(number.value, low, number.value + play)

    def is_printed_for(self, value: Fraction) -> bool:
        """Whether a value is printed as this number, with the digits it has; `~` makes no difference here."""
        number = self.number
        if self.exact:
            return value == number.value
        if self.rounded == "down":
            return number.value <= value < number.value + 2 * self._half
        return number.value - self._half <= value <= number.value + self._half

    @property
    def _is_about(self) -> bool:
        return self.number.text.lstrip().startswith(("~", "about", "approximately"))

    @property
    def _half(self) -> Fraction:
        """Half a unit of the last digit."""
        number = self.number
        if self.digits is None:
            return (number.high - number.value) / (2 if self._is_about else 1)
        unit = Fraction(1)
        while unit * 10 <= number.value:
            unit *= 10
        while unit > number.value:
            unit /= 10
        return unit / Fraction(10) ** (self.digits - 1) / 2


class FactReader:
    """A fact as its number alone, or with more to say."""

    def read(self, data: Any, place: Place, problems: list[Problem]) -> Any:
        """Read either form."""
        return Part(Fact).read(data if isinstance(data, Mapping) else {"number": data}, place, problems)

    def schema(self) -> dict[str, Any]:
        """JSON schema of either form."""
        return {"anyOf": [{"type": ["string", "number"]}, Part(Fact).schema()]}


@dataclass(frozen=True, kw_only=True)
class Citation:
    """Where the claim was read."""

    authors: str | None = key(TEXT, None)
    """Who."""
    year: int | None = key(Value(int, ("integer",)), None)
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

    formula: str | None = key(Value(_formula), None)
    """Numbers and names of facts with + - * / ** and brackets. In a reading, without it, that of the claim."""
    stated: Fact | None = key(FactReader(), None)
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
    """Whether the claim's other checks are left out."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim file."""

    title: str = key(TEXT)
    """The work."""
    citation: Citation = key(Part(Citation), Citation())
    """Where to find it."""
    facts: Mapping[str, Fact] = key(Table(FactReader()))
    """Numbers as printed, by names that formulas use."""
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

    def __post_init__(self) -> None:
        if problems := list(_problems(self)):
            raise InputError("; ".join(problems))


def _problems(claim: Claim) -> Iterator[str]:
    """Everything that does not fit together, each with its place."""
    checks, assumes = claim.checks or {}, claim.assumes or {}
    if not checks and not claim.unknown:
        yield "checks are missing: what is stated to follow from the facts? Or, of a recipe: stated"
    for name in claim.facts:
        if not _NAME.fullmatch(name):
            yield f"facts.{name}: it cannot stand in a formula; use letters, digits and _"
    for name, check in checks.items():
        yield from _formula_problems(f"checks.{name}", check.formula, claim.facts)
    for title, reading in (claim.readings or {}).items():
        if title == LITERAL:
            yield f"readings.{title}: this is the name of the literal reading; choose another"
        facts = {**claim.facts, **(reading.facts or {})}
        for name, check in (reading.checks or {}).items():
            if check.formula is not None or name not in checks:
                yield from _formula_problems(f"readings.{title}.checks.{name}", check.formula, facts)
        for name in reading.assumes or {}:
            if name not in assumes:
                yield (
                    f"readings.{title}.assumes.{name}: the claim assumes nothing of that name, so it cannot be read "
                    f"otherwise{nearest(name, assumes)}"
                )


def _formula_problems(place: str, formula: str | None, facts: Mapping[str, Fact]) -> Iterator[str]:
    if formula is None:
        yield f"{place}: formula is missing"
        return
    try:
        expression = parse_expression(formula)
    except InputError as error:
        yield f"{place}: {error}"
        return
    for name in names_in(expression):
        if name not in facts:
            yield f"{place}: there is no fact {name!r}{nearest(name, facts)}"


def read_claim(path: Path) -> Claim:
    """Read a claim file: facts and checks, or a recipe with what is stated of it.

    Raises:
        RecipeError: With all problems at once, each at `path:line`.
    """
    document = Document.read(path)
    if set(document.data) & PLANNED:
        write_planned(document, path)
    return document.make(Claim)
