"""TOML whose values know their line, which the standard library's parser does not report."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.scalars import exact_number
from dist_epochs.settings.value import DEEPEST, Located, RawValue, too_deep

__all__ = ["looks_like_toml", "parse_toml"]

Path = tuple[str | int, ...]
"""Names of tables and keys, and indices of tables in an array, that lead to a value."""

_HEADER = re.compile(r"\s*\[(?P<array>\[)?\s*(?P<name>[^\[\]]+?)\s*\]\]?\s*(#.*)?")
_NAME = re.compile(r"\"[^\"]*\"|'[^']*'|[^.\s]+")
_KEY = re.compile(r"\s*(?P<name>[\w.\-\"' ]+?)\s*=")
_STARTS = re.compile(r"\A(?:[ \t\r]*(?:#[^\n]*)?\n)*[ \t]*\[[A-Za-z_][\w.\-]*\][ \t]*(?:#[^\n]*)?\r?\n")
_ASSIGNS = re.compile(r"^\s*[A-Za-z_][\w.\-]*\s*=", re.MULTILINE)


def looks_like_toml(text: str) -> bool:
    r"""Whether a text begins with a section in brackets and assigns keys.

    Examples:
        >>> looks_like_toml("# run\n[training]\nsteps = 10\n"), looks_like_toml("[1, 2]\n")
        (True, False)
    """
    return bool(_STARTS.match(text) and _ASSIGNS.search(text))


def parse_toml(text: str, name: str) -> Located:
    r"""Parse TOML.

    Args:
        text: The text.
        name: The file, for messages.

    Raises:
        InputError: If it is not TOML, or nested too deeply.

    Examples:
        >>> parse_toml("[a]\nsteps = 50_000\n", "x.toml").value["a"].value["steps"]
        Located(value=50000, origin=Origin(name='x.toml', line=2, column=None))
    """
    try:
        values = tomllib.loads(text.replace("\r\n", "\n"), parse_float=_number)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        found = re.search(r"at line (\d+), column (\d+)", str(error))
        origin = Origin(name, int(found[1]), int(found[2])) if found else Origin(name)
        raise InputError("not TOML", origin=origin) from None
    return Located(_located(values, (), _lines(text), Origin(name, 1)), Origin(name, 1))


def _number(text: str) -> int | Fraction | float:
    return float(text) if text.lstrip("+-") in ("inf", "nan") else exact_number(text)


def _lines(text: str) -> dict[Path, int]:
    """The line of each key, by the names and indices that lead to it; the first of several."""
    lines: dict[Path, int] = {}
    tables: Counter[Path] = Counter()
    section: Path = ()
    quotes = ""
    for number, line in enumerate(text.split("\n"), 1):
        if quotes:  # inside a text over several lines
            quotes = "" if quotes in line else quotes
            continue
        if header := _HEADER.fullmatch(line):
            section = _names(header["name"])
            if header["array"]:
                section = (*section, tables[section])
                tables[section[:-1]] += 1
            lines.setdefault(section, number)
        elif key := _KEY.match(line):
            lines.setdefault((*section, *_names(key["name"])), number)
        quotes = next((mark for mark in ('"""', "'''") if line.count(mark) % 2), "")
    return lines


def _names(dotted: str) -> Path:
    return tuple(part.strip().strip("\"'") for part in _NAME.findall(dotted))


def _located(value: Any, path: Path, lines: Mapping[Path, int], above: Origin) -> RawValue:
    """A value with the lines of its parts; what has none of its own stands where what holds it does."""
    if len(path) > DEEPEST:
        raise too_deep(above)
    if isinstance(value, list):
        places = [Origin(above.name, lines.get((*path, index), above.line)) for index in range(len(value))]
        return tuple(
            Located(_located(item, (*path, index), lines, places[index]), places[index])
            for index, item in enumerate(value)
        )
    if not isinstance(value, dict):
        return value if isinstance(value, str | int | float) or hasattr(value, "denominator") else str(value)
    result: dict[str, Located] = {}
    for key, inner in value.items():
        line = lines.get((*path, key))
        origin = Origin(above.name, line) if line else above
        result[key] = Located(_located(inner, (*path, key), lines, origin), origin)
    return result
