"""Pyodide, which is Python for browsers."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

from dist_epochs.errors import InputError, Origin
from dist_epochs.page.npm import NpmArchive, read_members

__all__ = ["FILES", "PYODIDE", "Pyodide", "read_pyodide"]

PYODIDE = NpmArchive(
    "pyodide",
    "314.0.7",
    "sha512-0YvXxEhfEdpLfb/XkM2BFAeMROq0iMUX2bzzH9pOttyMcWkwq+HbE5uyuGD82LN7y2q+SNvi/6V5JEsOlD2R1A==",
)
"""The version that this package is tested with; its Python is 3.14."""

FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
"""What a page needs of its archive."""


@dataclass(frozen=True, slots=True)
class Pyodide:
    """What a page needs of Pyodide.

    Attributes:
        version: As its `package.json` says.
        files: The content of each of `FILES`.
    """

    version: str
    files: dict[str, bytes]


def read_pyodide(path: Path) -> Pyodide:
    """Read an npm archive of Pyodide, of any version.

    Raises:
        InputError: If it cannot be read, or is not one.
    """
    try:
        found = read_members(path, (*FILES, "package.json"))
        package = json.loads(found.pop("package.json"))
        if package["name"] == PYODIDE.name:
            return Pyodide(str(package["version"]), found)
        said = f"this is {package['name']}"
    except InputError:
        raise
    except (tarfile.TarError, EOFError, OSError, KeyError, TypeError, ValueError) as error:
        said = str(error)
    raise InputError(
        "this is not an npm archive of Pyodide",
        rule=f"it holds {', '.join(FILES)} and package.json under package/ ({said})",
        fixes=[f"`npm pack {PYODIDE.name}@{PYODIDE.version}`", "leaving --pyodide out, where there is a network"],
        origin=Origin(str(path)),
    )
