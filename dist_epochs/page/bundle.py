"""The Python that the page runs: click, PyYAML and this package as one zip, the same bytes for the same files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import yaml

from dist_epochs.recipe.shipped import shipped_recipes

__all__ = ["pack"]

PACKAGE = Path(__file__).parent.parent

COMPILED = (".pyc", ".so", ".pyd", ".pyx", ".pxd", ".h")
"""Files of a package that Python in a browser has no use for."""
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The date of every file, so that the zip does not depend on when it was made."""


def pack() -> bytes:
    """The zip: to be unpacked where the browser's Python looks for packages."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, path in sorted(_files().items()):
            info = zipfile.ZipInfo(name, LONG_AGO)
            archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    return made.getvalue()


def _files() -> Mapping[str, Path]:
    """Each file by its name in the zip; recipes stand inside the package, as in an installed one."""
    folders = [PACKAGE, *(Path(str(module.__file__)).parent for module in (click, yaml))]
    files = {f"{folder.name}/{name}": path for folder in folders for name, path in _within(folder)}
    return files | {f"{PACKAGE.name}/configs/{path.name}": path for path in shipped_recipes().values()}


def _within(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in COMPILED:
            yield path.relative_to(folder).as_posix(), path
