"""Values of a settings file that know where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from dist_epochs.errors import Origin
from dist_epochs.settings.scalars import Scalar

__all__ = ["DEEPEST", "KeyOrigin", "Located", "Said", "Stated", "Value", "key_name", "kind_of", "printable"]

Said = TypeVar("Said", covariant=True)

DEEPEST = 50
"""Mappings and lists inside each other; settings need no more, and whoever walks them may recurse."""
LONGEST_NAME = 80
"""Characters of a key that a message repeats."""

Value: TypeAlias = "Scalar | tuple[Located, ...] | Mapping[str, Located]"
"""A float is NaN, infinite, a recipe's with its spelling, or a number too long to be kept exactly."""


@dataclass(frozen=True, slots=True)
class Located:
    """A value and where it stands.

    Attributes:
        value: The value; lists and mappings hold located values again.
        origin: File and line; for a value of a mapping the line of its key.
    """

    value: Value
    origin: Origin


@dataclass(frozen=True, slots=True)
class KeyOrigin(Origin):
    """Where a key of a settings file stands.

    Attributes:
        key: The key, with the dotted keys that lead to it.

    Examples:
        >>> str(KeyOrigin("ds.json", 3, key="zero_optimization.stage"))
        'ds.json:3 zero_optimization.stage'
    """

    key: str = ""

    def __str__(self) -> str:
        return f"{Origin.__str__(self)} {self.key}"


@dataclass(frozen=True, slots=True)
class Stated(Generic[Said]):
    """A setting and where it was stated.

    Attributes:
        value: The setting.
        where: The key of a file, a flag, or what it follows from.
    """

    value: Said
    where: Origin

    @property
    def origin(self) -> Origin:
        """File and line, or the flag, without the key."""
        return Origin(self.where.name, self.where.line, self.where.column)


def printable(text: str) -> str:
    """Text of a file, fit for a terminal."""
    return text if text.isprintable() else ascii(text)


def key_name(key: str) -> str:
    """A key of a file, fit for a message."""
    return printable(key if len(key) <= LONGEST_NAME else key[:LONGEST_NAME] + "…")


def kind_of(value: Value) -> str:
    """What stands there, for a message that must not repeat it: a settings file may hold a token."""
    if isinstance(value, Mapping):
        return "keys and values"
    if isinstance(value, tuple):
        return "a list"
    return "nothing" if value is None else "one word"
