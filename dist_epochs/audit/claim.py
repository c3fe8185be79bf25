"""A claim: facts as they were printed, what is stated to follow from them, and ways to read both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from dist_epochs.arithmetic.quantity import Quantity, Unit, parse
from dist_epochs.audit.expression import Expression, names_in, parse_expression
from dist_epochs.audit.interval import Interval
from dist_epochs.audit.planned import PLANNED, write_planned
from dist_epochs.errors import InputError
from dist_epochs.plan.keys import Choice, Many, Part, Place, Problem, Table, Value, key, nearest
from dist_epochs.plan.recipe.values import COUNT, FLAG, TEXT
from dist_epochs.plan.yaml_reader import Document

__all__ = ["CheckText", "Citation", "Claim", "Fact", "ReadingText", "read_claim"]

SETTINGS = (Unit.STEP, Unit.SAMPLE, Unit.POSITION, Unit.DEVICE)
"""What a run was told is exact, unless it is written with `~`: `1M steps`, `256 sequences`."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _formula(data: Any) -> str:
    if isinstance(data, bool | list | dict):
        raise ValueError(f"it must be a formula, not {data!r}")
    return str(data)


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A number, as precise as it was printed."""

    number: Quantity = key(Value(lambda data: parse(data, what="the number"), least=0))
    """The number as printed: `1M steps`, `3.3B words`, `~40`, `128,000`."""
    exact: bool | None = key(FLAG, None)
    """Whether it has no play. Default: what a run was told (steps, samples, lengths, devices) is exact, the rest has
    half a unit of the last digit written, or a whole one with `~`."""
    digits: int | None = key(COUNT, None)
    """Significant digits it was printed with, where its spelling has others: `300B` that is rounded to one digit."""
    rounded: Literal["nearest", "down"] = key(Choice(("nearest", "down")), "nearest")
    """How it was shortened when it was printed."""
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
        return Interval(number.value, number.value - play, number.value + play)

    def is_printed_for(self, value: Fraction) -> bool:
        """Whether a value is printed as this number, with the digits it has; `~` makes no difference here."""
        number = self.number
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
        for name in self.facts:
            if not _NAME.fullmatch(name):
                raise InputError(f"facts: {name!r} cannot stand in a formula; use letters, digits and _")
        if not self.checks and not self.unknown:
            raise InputError("checks are missing: what is stated to follow from the facts? Or, of a recipe: stated")
        checks = self.checks or {}
        for name, check in checks.items():
            if check.formula is None:
                raise InputError(f"checks.{name}: formula is missing")
            self._check_formula(f"checks.{name}", check.formula, self.facts)
        for title, reading in (self.readings or {}).items():
            facts = {**self.facts, **(reading.facts or {})}
            for name, check in (reading.checks or {}).items():
                if check.formula is None and name not in checks:
                    raise InputError(
                        f"readings.{title}.checks.{name}: formula is missing, and the claim has none to take"
                    )
                if check.formula is not None:
                    self._check_formula(f"readings.{title}.checks.{name}", check.formula, facts)
            for name in reading.assumes or {}:
                if name not in (self.assumes or {}):
                    raise InputError(f"readings.{title}.assumes.{name}: the claim assumes nothing of that name, so it "
                                     f"cannot be read otherwise{nearest(name, self.assumes or {})}")  # fmt: skip

    @staticmethod
    def _check_formula(place: str, formula: str, facts: Mapping[str, Fact]) -> Expression:
        try:
            expression = parse_expression(formula)
        except InputError as error:
            raise InputError(f"{place}: {error}") from None
        for name in names_in(expression):
            if name not in facts:
                raise InputError(f"{place}: there is no fact {name!r}{nearest(name, facts)}")
        return expression


def read_claim(path: Path) -> Claim:
    """Read a claim file: facts and checks, or a recipe with what is stated of it.

    Raises:
        RecipeError: With all problems at once, each at `path:line`.
    """
    document = Document.read(path)
    if set(document.data) & PLANNED:
        write_planned(document, path)
    return document.make(Claim)
