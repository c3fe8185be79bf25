"""Values of a settings file that know where they stand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeAlias, TypeVar

__all__ = ["Located", "PlainText", "Said", "Stated", "Value", "exact_number", "key_name", "printable"]

Said = TypeVar("Said", covariant=True)

LONGEST_NUMBER = 100
LARGEST_EXPONENT = 400
LONGEST_NAME = 80


class PlainText(str):
    """Text that stands without quotes in YAML: tools that read YAML 1.1 may take it for something else."""

    __slots__ = ()


Value: TypeAlias = "bool | int | Fraction | float | str | tuple[Located, ...] | Mapping[str, Located] | None"
"""A float is NaN, infinite, or a number too long to be kept exactly."""


@dataclass(frozen=True, slots=True)
class Located:
    """A value and where it stands.

    Attributes:
        value: The value; lists and mappings hold located values again.
        line: `path:line`, for a value of a mapping the line of its key.
    """

    value: Value
    line: str


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
    return int(text) if re.fullmatch("[-+]?[0-9]+", text) else Fraction(text)


def printable(text: str) -> str:
    """Text of a file, fit for a terminal."""
    return text if text.isprintable() else ascii(text)


def key_name(key: str) -> str:
    """A key of a file, fit for a message."""
    return printable(key if len(key) <= LONGEST_NAME else key[:LONGEST_NAME] + "…")


@dataclass(frozen=True, slots=True)
class Stated(Generic[Said]):
    """A setting and who said it.

    Attributes:
        value: The setting.
        where: `path:line key`, a flag, or what it follows from.
    """

    value: Said
    where: str
