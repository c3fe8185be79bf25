"""Values of a settings file that know where they stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.scalars import Scalar

__all__ = [
    "DEEPEST", "DerivedOrigin", "KeyOrigin", "Located", "OnRepeat", "RawValue", "SettingValue", "Stated", "key_name",
    "kind_of", "plain_value", "printable", "refuse_repeat", "too_deep",
]  # fmt: skip

SettingValue = TypeVar("SettingValue", covariant=True)

DEEPEST = 50
"""Mappings and lists inside each other; settings need no more, and whoever walks them may recurse."""
LONGEST_NAME = 80
"""Characters of a key that a message repeats."""

RawValue: TypeAlias = "Scalar | tuple[Located, ...] | Mapping[str, Located]"
"""What stands in a file: a scalar, a list or a mapping. A float is NaN, infinite, a recipe's number with its spelling,
or a number too long to be kept exactly."""


@dataclass(frozen=True, slots=True)
class Located:
    """A value and where it stands.

    Attributes:
        value: The value; lists and mappings hold located values again.
        origin: File and line; for a value of a mapping the line of its key.
    """

    value: RawValue
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
class DerivedOrigin(KeyOrigin):
    """A key from which a value follows by a rule.

    Attributes:
        rule: The rule, with its numbers.

    Examples:
        >>> str(DerivedOrigin("a.yaml", 3, key="epochs", rule="2 × 10 = 20 steps"))
        'a.yaml:3 epochs: 2 × 10 = 20 steps'
    """

    rule: str = ""

    def __str__(self) -> str:
        return f"{KeyOrigin.__str__(self)}: {self.rule}"


@dataclass(frozen=True, slots=True)
class Stated(Generic[SettingValue]):
    """A setting and where it was stated.

    Attributes:
        value: The setting.
        where: The key of a file, a flag, or what it follows from.
    """

    value: SettingValue
    where: Origin

    @property
    def origin(self) -> Origin:
        """File and line, or the flag, without the key."""
        return Origin(self.where.name, self.where.line, self.where.column)


OnRepeat: TypeAlias = "Callable[[str, Located, Located], None]"
"""What to do about a key that a mapping has twice: the key, its first value, and the one that is kept if it returns."""


def refuse_repeat(key: str, first: Located, second: Located) -> None:
    """Refuse a key that a mapping has twice.

    Raises:
        InputError: Always.
    """
    rule, fix = f"the first is at {first.origin}", "keeping one of the two"
    raise InputError(f"{key_name(key)} stands twice", rule=rule, fixes=fix, origin=second.origin)


def plain_value(value: RawValue) -> Any:
    """A value without the places of its parts, to compare."""
    if isinstance(value, Mapping):
        return {key: plain_value(item.value) for key, item in value.items()}
    return [plain_value(item.value) for item in value] if isinstance(value, tuple) else value


def too_deep(origin: Origin) -> InputError:
    """The error of more than `DEEPEST` mappings and lists inside each other."""
    return InputError(f"keys or lists are nested more than {DEEPEST} deep", origin=origin)


def printable(text: str) -> str:
    """Text of a file with its control characters escaped, for a terminal."""
    return text if text.isprintable() else ascii(text)


def key_name(key: str) -> str:
    """A key of a file, shortened and escaped, for a message."""
    return printable(key if len(key) <= LONGEST_NAME else key[:LONGEST_NAME] + "…")


def kind_of(value: RawValue) -> str:
    """What stands there, for a message that must not repeat it: a settings file may hold a token."""
    if isinstance(value, Mapping):
        return "keys and values"
    if isinstance(value, tuple):
        return "a list"
    return "nothing" if value is None else "one word"
