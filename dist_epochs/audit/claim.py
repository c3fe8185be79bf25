"""A claim: facts as they were printed, what is stated to follow from them, and ways to read both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
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
from dist_epochs.plan.yaml_reader import Document, RecipeError

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
ABOUT = ("~", "≈", "about", "approx")
_ABOUT = re.compile(r"^\s*(≈|approx\.?)\s*")
_BYTE_SCALES = {"K": "K", "M": "M", "G": "B", "T": "T"}


def _number(data: Any) -> Quantity:
    """A number in any spelling of papers; labels that are no unit here are left to the fact's name."""
    if not isinstance(data, str):
        return parse(data, what="the number")
    text = _ABOUT.sub("~", _LABEL.sub("", data))
    text = _BYTES.sub(lambda match: _BYTE_SCALES[match[1]], text)
    return replace(parse(text, what="the number"), text=data.strip())


def _formula(data: Any) -> str:
    if isinstance(data, bool | list | dict):
        raise ValueError(f"it must be a formula, not {data!r}")
    parse_expression(str(data))
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
    assumed: str | None = key(TEXT, None)
    """If it is stated nowhere: why it was taken. Such a number can carry no accusation either."""

    def __post_init__(self) -> None:
        if (self.read_in is not None) + self.recalled + (self.assumed is not None) > 1:
            raise InputError(
                "a number is read somewhere, recalled or assumed; keep one of read_in, recalled and assumed"
            )

    @property
    def printed(self) -> str:
        """Its spelling, with the digits that it really has where the file says so."""
        if self.digits is None:
            return self.number.text
        return f"{self.number.text} ({self.digits} digit{'s' * (self.digits > 1)})"

    @property
    def is_read(self) -> bool:
        """Whether it was read, in the work or elsewhere."""
        return not self.recalled and self.assumed is None

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
        return self.number.text.startswith(ABOUT)

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
    """Whether the claim's other checks are left out. The reading settles nothing if it breaks one of them."""
    set: Mapping[str, Any] | None = key(Table(Value(lambda setting: setting)), None)
    """Of a claim that is a recipe: settings in place of its own, by dotted keys."""


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
        problems = [f"{'.'.join(place)}: {message}" for place, message in self.misfits(vars(self))]
        if problems:
            raise InputError("; ".join(problems))

    @staticmethod
    def misfits(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
        """What does not fit together of what was read, with its place; None stands for what could not be read."""
        facts, checks, assumes = (values.get(name) or {} for name in ("facts", "checks", "assumes"))
        if not checks and not values.get("unknown"):
            yield (), "checks are missing: what is stated to follow from the facts? Or, of a recipe: stated"
        for name in facts:
            if not _NAME.fullmatch(name):
                yield ("facts", name), "it cannot stand in a formula; use letters, digits and _"
        for name, check in checks.items():
            for message in _formula_problems(check, facts, needed=True):
                yield ("checks", name), message
        for title, reading in (values.get("readings") or {}).items():
            if title == LITERAL:
                yield ("readings", title), "this is the name of the literal reading; choose another"
            for place, message in _reading_misfits(reading, facts, checks, assumes) if reading is not None else ():
                yield ("readings", title, *place), message


def _reading_misfits(
    reading: ReadingText, facts: Mapping[str, Any], checks: Mapping[str, Any], assumes: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, ...], str]]:
    known = {**facts, **(reading.facts or {})}
    for name, check in (reading.checks or {}).items():
        for message in _formula_problems(check, known, needed=name not in checks):
            yield ("checks", name), message
    if reading.set is not None:  # a recipe's are written into facts before
        yield ("set",), "it changes settings of a recipe, and this claim is none; use facts and checks"
    for name in reading.assumes or {}:
        if name not in assumes:
            message = f"the claim assumes nothing of that name, so it cannot be read otherwise{nearest(name, assumes)}"
            yield ("assumes", name), message


def _formula_problems(check: CheckText | None, facts: Mapping[str, Any], needed: bool) -> Iterator[str]:
    if check is None:
        return
    if check.formula is None:
        if needed:
            yield "formula is missing"
        return
    for name in names_in(parse_expression(check.formula)):
        if name not in facts:
            yield f"there is no fact {name!r}{nearest(name, facts)}"


def read_claim(path: Path) -> Claim:
    """Read a claim file: facts and checks, or a recipe with what is stated of it.

    Raises:
        RecipeError: With all problems at once, each at `path:line`.
    """
    document = Document.read(path)
    if set(document.data) & PLANNED:
        try:
            write_planned(document, path)
        except RecipeError as error:
            for name in PLANNED & set(document.data):
                del document.data[name]
            document.data.setdefault("facts", {"of_the_recipe": 0})
            raise RecipeError.of((*str(error).split("\n"), *document.problems(Claim))) from None
    return document.make(Claim)
