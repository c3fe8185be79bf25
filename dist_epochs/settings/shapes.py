"""What must stand in a file that a program wrote, declared once: what is damaged is named with its place.

Keys that are not declared are not looked at, since a later version may add some. A check takes what stands there and
where, and yields what is wrong with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.fields import Place, Problem, dotted
from dist_epochs.settings.json_text import parse_json
from dist_epochs.settings.value import kind_of

__all__ = [
    "FLAG", "NUMBER", "TEXT", "Check", "each", "either", "first_problem", "matching", "maybe", "number_or_none",
    "record", "refuse_damage", "row", "table", "whole",
]  # fmt: skip

Check = Callable[[Any, Place], Iterator[Problem]]

LARGEST = 10**40
"""Beyond anything that is counted."""
LONGEST_ECHO = 40
"""Characters of a value that a message repeats."""


def whole(least: int = 0) -> Check:
    """A whole number from `least` on."""

    def check(data: Any, place: Place) -> Iterator[Problem]:
        if type(data) is not int or not least <= data <= LARGEST:
            yield Problem(place, f"must be a whole number from {least} on, not {_echo(data)}")

    return check


def _number(data: Any, place: Place) -> Iterator[Problem]:
    if type(data) not in (int, float) or not math.isfinite(data) or not 0 <= data <= LARGEST:
        yield Problem(place, f"must be a number from 0 on, not {_echo(data)}")


def number_or_none(data: object) -> int | float | None:
    """A number that may stand in a file; None where there is none, or something else in its place.

    Examples:
        >>> number_or_none(3), number_or_none(None), number_or_none("3"), number_or_none(True)
        (3, None, None, None)
    """
    return data if isinstance(data, int | float) and not isinstance(data, bool) else None


def _of_type(kind: type, name: str) -> Check:
    def check(data: Any, place: Place) -> Iterator[Problem]:
        if not isinstance(data, kind):
            yield Problem(place, f"must be {name}, not {_echo(data)}")

    return check


NUMBER: Check = _number
"""A number from 0 on."""
TEXT = _of_type(str, "text")
FLAG = _of_type(bool, "true or false")


def matching(pattern: str, name: str) -> Check:
    """Text of a form."""
    form = re.compile(pattern)

    def check(data: Any, place: Place) -> Iterator[Problem]:
        if not isinstance(data, str) or not form.fullmatch(data):
            yield Problem(place, f"must be {name}, not {_echo(data)}")

    return check


def either(*words: str) -> Check:
    """One of a few words."""

    def check(data: Any, place: Place) -> Iterator[Problem]:
        if not isinstance(data, str) or data not in words:
            yield Problem(place, f"must be {' or '.join(words)}, not {_echo(data)}")

    return check


def maybe(inner: Check) -> Check:
    """Something, or `null`."""
    return lambda data, place: iter(()) if data is None else inner(data, place)


def each(inner: Check, least: int = 0) -> Check:
    """A list of one kind of things."""

    def check(data: Any, place: Place) -> Iterator[Problem]:
        if not isinstance(data, list) or len(data) < least:
            yield Problem(place, f"must be a list{f' of at least {least}' if least else ''}, not {_echo(data)}")
            return
        for at, item in enumerate(data):
            yield from inner(item, (*place, at))

    return check


def row(*inner: Check) -> Check:
    """A list of so many things, each of its own kind."""

    def check(data: Any, place: Place) -> Iterator[Problem]:
        if not isinstance(data, list) or len(data) != len(inner):
            yield Problem(place, f"must be a list of {len(inner)}, not {_echo(data)}")
            return
        for at, (item, one) in enumerate(zip(data, inner, strict=True)):
            yield from one(item, (*place, at))

    return check


def table(inner: Check, key: Check = TEXT) -> Check:
    """Names, each with one kind of thing."""

    def check(data: Any, place: Place) -> Iterator[Problem]:
        if not isinstance(data, Mapping):
            yield Problem(place, f"must be names and values, not {_echo(data)}")
            return
        for name, value in data.items():
            yield from key(name, (*place, name))
            yield from inner(value, (*place, name))

    return check


def record(needed: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """Keys and values: those that are needed, those that may be there, and any others."""
    checks = {**needed, **(optional or {})}

    def check(data: Any, place: Place) -> Iterator[Problem]:
        if not isinstance(data, Mapping):
            yield Problem(place, f"must be keys and values, not {_echo(data)}")
            return
        for name in needed:
            if name not in data:
                yield Problem(place, f"has no {name}")
        for name, inner in checks.items():
            if name in data:
                yield from inner(data[name], (*place, name))

    return check


def first_problem(data: Any, check: Check) -> str | None:
    """The first thing that is wrong with a value, in words; None if nothing is."""
    problem = next(check(data, ()), None)
    return None if problem is None else _said(problem)


def refuse_damage(data: Any, check: Check, text: str, name: str) -> None:
    """Refuse a file of JSON that does not hold what it must.

    Args:
        data: What it holds.
        check: What it must hold.
        text: The text of the file, to find lines.
        name: The file.

    Raises:
        InputError: With everything that is wrong, each with its line.
    """
    if problems := list(check(data, ())):
        raise InputError.together(
            InputError(f"damaged: {_said(problem)}", origin=_line(problem.place, text, name))
            for problem in problems[:10]
        )


def _said(problem: Problem) -> str:
    return f"{dotted(problem.place) or 'it'} {problem.message}"


def _line(place: Place, text: str, name: str) -> Origin:
    """The line of a place, as far as the text tells."""
    try:
        found = parse_json(text, name)
    except InputError:
        return Origin(name)
    for part in place:
        value = found.value
        if isinstance(value, Mapping) and part in value:
            found = value[str(part)]
        elif isinstance(value, tuple) and isinstance(part, int) and part < len(value):
            found = value[part]
        else:
            break
    return found.origin


def _echo(data: Any) -> str:
    """What stands there, in few characters."""
    if isinstance(data, Mapping):
        return kind_of({})
    if isinstance(data, list):
        return f"a list of {len(data)}"
    if data is None or isinstance(data, bool):
        return {None: "null", True: "true", False: "false"}[data]
    if isinstance(data, int) and abs(data) > LARGEST:
        return "a number beyond anything that is counted"
    text = repr(data)
    return text if len(text) <= LONGEST_ECHO else f"{text[:LONGEST_ECHO]}…"
