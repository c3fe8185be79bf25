"""Settings files as values that know their line.

JSON is read by JSON's rules, TOML by its own, a Python file as simple assignments, everything else is YAML. Messages
name keys and lines, and never repeat the value of an unknown key: a settings file may hold a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dist_epochs.errors import InputError
from dist_epochs.settings.files import read_utf8
from dist_epochs.settings.json_text import parse_json
from dist_epochs.settings.python_text import parse_assignments
from dist_epochs.settings.toml_text import looks_like_toml, parse_toml
from dist_epochs.settings.value import Located, OnRepeat, kind_of, printable, refuse_repeat
from dist_epochs.settings.yaml_text import parse_yaml

__all__ = ["keys_and_values", "parse_located", "read_located", "read_text"]

MOST_BYTES = 1_000_000
"""Size of the largest file that is read: YAML takes a second or two for it."""


def read_text(path: Path) -> str:
    """The text of a settings file.

    Raises:
        InputError: If it cannot be read, is far larger than any settings, or is not UTF-8.
    """
    return read_utf8(path, MOST_BYTES, "a settings file", pipes=True)


def read_located(path: Path, on_repeat: OnRepeat = refuse_repeat) -> Located:
    """Read another tool's file: by its name or its first lines JSON, TOML, Python, else YAML.

    Raises:
        InputError: If it cannot be read; or by `on_repeat`, for a key that stands twice.
    """
    return parse_located(read_text(path), printable(str(path)), on_repeat)


def parse_located(text: str, name: str, on_repeat: OnRepeat = refuse_repeat) -> Located:
    """Parse the text of a file called `name`.

    Raises:
        InputError: If it is none of JSON, TOML, Python and YAML; or by `on_repeat`, for a key that stands twice.

    Examples:
        >>> parse_located('{"epochs": 0.1}', "ta.json").value["epochs"].value
        Fraction(1, 10)
    """
    text = text.removeprefix("\ufeff")
    if name.lower().endswith(".py"):
        return parse_assignments(text, name)
    if name.lower().endswith(".toml") or looks_like_toml(text):
        return parse_toml(text, name)
    if not text.lstrip().startswith(("{", "[")) or name.lower().endswith((".yaml", ".yml")):
        return parse_yaml(text, name, on_repeat=on_repeat, tags=True)
    try:
        return parse_json(text, name, on_repeat)
    except InputError as error:
        if name.lower().endswith(".json"):
            raise
        try:  # YAML has braces too, with comments and words without quotes
            return parse_yaml(text, name, on_repeat=on_repeat, tags=True)
        except InputError:
            raise error from None


def keys_and_values(top: Located) -> Mapping[str, Located]:
    """The keys of a file that must hold them.

    Raises:
        InputError: If it holds something else.
    """
    if not isinstance(top.value, Mapping):
        raise InputError(f"it holds {kind_of(top.value)}, not keys and values", origin=top.origin)
    return top.value
