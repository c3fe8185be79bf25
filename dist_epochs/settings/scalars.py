"""Unquoted scalars of YAML as values. Recipes and other tools' files differ in this alone.

Both follow YAML 1.2: `true`, `false`, `null`, decimal integers and decimal floats (`1e-3` included) get a type;
everything else, `on`, `012`, `1M` or `3.3B words`, stays text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import TypeAlias

__all__ = [
    "PlainText", "Scalar", "ScalarReader", "UnknownText", "WrittenFloat", "exact_number",
    "exact_scalar", "recipe_scalar",
]  # fmt: skip

Scalar: TypeAlias = "bool | int | Fraction | float | str | None"
ScalarReader: TypeAlias = Callable[[str], Scalar]
"""From the text of an unquoted scalar to its value."""

LONGEST_NUMBER = 100
"""Characters. A longer number is read as a float, which no setting accepts."""
LARGEST_EXPONENT = 400
"""Of a number that is kept exactly: 1e999999999 would fill the memory."""

_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}
_WHOLE = r"(0|[1-9][0-9]*(_[0-9]+)*)"
_INTEGER = re.compile(rf"[-+]?{_WHOLE}")
_NUMBER = re.compile(rf"[-+]?(\.[0-9]+|{_WHOLE}(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class PlainText(str):
    """Text that stands without quotes in YAML: tools that read YAML 1.1 may take it for something else."""

    __slots__ = ()


class UnknownText(PlainText):
    """A value that is known to something that does not run here: a shell, OmegaConf, the program of a YAML tag.

    Attributes:
        known_to: What knows it, as in `its value is known to the running shell only`.
    """

    __slots__ = ("known_to",)

    known_to: str

    def __new__(cls, text: str, known_to: str) -> UnknownText:
        """A value as it stands in a file."""
        found = super().__new__(cls, text)
        found.known_to = known_to
        return found


class WrittenFloat(float):
    """A float that keeps its spelling: `1.8e5` has two digits, 180000.0 has seven."""

    def __new__(cls, text: str) -> WrittenFloat:
        """The number that a text spells."""
        number = super().__new__(cls, text)
        number._text = text
        return number

    _text: str

    def __str__(self) -> str:
        return self._text


def recipe_scalar(text: str) -> Scalar:
    """A scalar of a recipe: floats keep their spelling, and with it their precision.

    Examples:
        >>> recipe_scalar("1_000"), str(recipe_scalar("1.8e5")), recipe_scalar("1M")
        (1000, '1.8e5', '1M')
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return text
    return int(text) if _INTEGER.fullmatch(text) else WrittenFloat(text)


def exact_scalar(text: str) -> Scalar:
    """A scalar of another tool's file: numbers are exact, `0.1` is a tenth; text is marked as unquoted.

    Examples:
        >>> exact_scalar("0.1"), exact_scalar("no")
        (Fraction(1, 10), 'no')
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    return exact_number(text) if _NUMBER.fullmatch(text) else PlainText(text)


def exact_number(text: str) -> int | Fraction | float:
    """A decimal number, exactly; as a float where it is too long for a setting.

    Examples:
        >>> exact_number("12"), exact_number("1.50"), exact_number("1e3"), exact_number("1e999999999")
        (12, Fraction(3, 2), Fraction(1000, 1), inf)
    """
    text = text.replace("_", "")
    exponent = text.lower().partition("e")[2]
    if len(text) > LONGEST_NUMBER or (exponent and abs(int(exponent)) > LARGEST_EXPONENT):
        return float(text)
    return int(text) if _INTEGER.fullmatch(text) else Fraction(text)
