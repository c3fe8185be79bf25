"""Errors for a damaged store, and checks of what its JSON files hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dist_epochs.errors import InputError, Origin

__all__ = [
    "check_keys",
    "check_size",
    "damaged",
    "damaged_packing",
    "is_sha256",
    "read_object",
    "shown",
    "whole_number",
]

LARGEST_JSON = 32 * 2**20
"""Bytes of the largest JSON file that is read: it may take 25 times as much in memory, and holds 200,000 shards."""
LARGEST_COUNT = 2**62
"""Larger than any count; the sum of two such numbers is still a 64-bit integer."""


def damaged(path: Path, found: str) -> InputError:
    """The error for a file that cannot be what `dist-epochs tokenize` wrote."""
    return InputError(
        found,
        consequence="the store is damaged",
        fixes="to make it again with `dist-epochs tokenize`",
        origin=Origin(str(path)),
    )


def damaged_packing(path: Path, found: str) -> InputError:
    """The error for a file of a `packed-LENGTH` folder, which can be made again from the tokens."""
    folder = path.parent
    length, _, packing = folder.name.removeprefix("packed-").partition("-")
    again = f"dist-epochs tokenize {folder.parents[2]} --sequence-length {length}"
    again += f" --packing {packing}" if packing else ""
    return InputError(
        found,
        consequence="the store is damaged",
        fixes=f"to delete {folder} and pack again: `{again}`",
        origin=Origin(str(path)),
    )


def check_size(path: Path, size: int, error: Callable[[Path, str], InputError] = damaged) -> None:
    """Check that a file is there, and has its size.

    Raises:
        InputError: If not.
    """
    found = path.stat().st_size if path.is_file() else None
    if found != size:
        raise error(path, "is missing" if found is None else f"has {found:,} bytes and must have {size:,}")


def read_object(path: Path, largest: int = LARGEST_JSON) -> dict[str, Any]:
    """A JSON object from a file of a store.

    Args:
        path: The file.
        largest: Bytes that it may have.

    Raises:
        InputError: If there is none.
    """
    try:
        if path.exists() and not path.is_file():  # reading a pipe may never end
            raise damaged(path, "not a file")
        if (size := path.stat().st_size) > largest:
            raise damaged(path, f"{size:,} bytes, more than any such file has")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise damaged(path, f"cannot be read: {error.strerror or error}") from None
    except InputError:
        raise
    except RecursionError:
        raise damaged(path, "cannot be read: nested too deeply") from None
    except ValueError as error:
        raise damaged(path, f"cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise damaged(path, f"damaged: {shown(data)} and not a JSON object")
    return data


def shown(value: object) -> str:
    """A value from a file for a message: short, and without control characters."""
    if isinstance(value, int) and abs(value) > LARGEST_COUNT:
        return "a number beyond 2**62"
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def whole_number(data: Mapping[str, Any], name: str, path: Path, least: int = 0, where: str = "") -> int:
    """The whole number under a key.

    Raises:
        InputError: If it is not a whole number, or less than `least`.
    """
    value = data.get(name)
    if type(value) is int and least <= value <= LARGEST_COUNT:
        return value
    raise damaged(path, f"{where}{name} is {shown(value)} and must be a whole number of at least {least}")


def is_sha256(value: object) -> bool:
    """Whether a value is a SHA-256 as this program writes it."""
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def check_keys(data: object, must: Iterable[str], path: Path, where: str = "", may: Iterable[str] = ()) -> None:
    """Check that an object has the keys that it must have, and none besides those that it may have.

    Raises:
        InputError: If a key is missing or unknown.
    """
    if not isinstance(data, dict):
        raise damaged(path, f"{where}{shown(data)} and not a JSON object")
    if missing := [name for name in must if name not in data]:
        raise damaged(path, f"{where}{' and '.join(missing)} missing")
    if unknown := data.keys() - {*must, *may}:
        raise damaged(path, f"{where}{', '.join(map(shown, sorted(unknown)))} is no key of it")
