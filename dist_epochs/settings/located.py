"""Settings files as values that know their line.

JSON is read by JSON's rules, everything else is YAML 1.2. Numbers are exact: `0.1` is a tenth. Messages name keys and
lines, never values that nobody asked for: a settings file may hold a token.
"""

from __future__ import annotations

from pathlib import Path

from dist_epochs.errors import InputError
from dist_epochs.settings.json_text import parse_json
from dist_epochs.settings.value import Located, printable
from dist_epochs.settings.yaml_text import parse_yaml

__all__ = ["parse_located", "read_located"]

MOST_BYTES = 4_000_000


def read_located(path: Path) -> Located:
    """Read a file: JSON where it starts like JSON and is not called YAML, else YAML.

    Raises:
        InputError: If it cannot be read, with `path:line` where there is a line.
    """
    name = printable(str(path))
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or 'cannot be read'}") from None
    except ValueError:
        raise InputError(f"{name}: no name of a file") from None
    if len(raw) > MOST_BYTES:
        raise InputError(
            f"{name}: more than {MOST_BYTES // 1_000_000} MB. A settings file is far smaller, so nothing was read. "
            "Is it the right file?"
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}:{line}: not UTF-8 text, so nothing was read. Save it as UTF-8.") from None
    return parse_located(text, name)


def parse_located(text: str, name: str) -> Located:
    """Parse the text of a file called `name`.

    Raises:
        InputError: If it is neither JSON nor YAML, with `name:line`.

    Examples:
        >>> parse_located('{"epochs": 0.1}', "ta.json").value["epochs"]
        Located(value=Fraction(1, 10), line='ta.json:1')
    """
    text = text.removeprefix("\ufeff")
    is_json = text.lstrip().startswith(("{", "[")) and not name.lower().endswith((".yaml", ".yml"))
    try:
        return parse_json(text, name) if is_json else parse_yaml(text, name)
    except RecursionError:
        raise InputError(f"{name}: keys or lists are nested without end, so nothing was read") from None
