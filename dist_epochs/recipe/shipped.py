"""Recipes that come with the package, by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dist_epochs.errors import InputError, close_matches
from dist_epochs.names import find_name, folded

__all__ = ["find_recipe", "shipped_recipes"]

PACKAGE = Path(__file__).parent.parent

FOLDERS = (PACKAGE / "configs", PACKAGE.parent / "configs")
"""Where they lie: in an installed package, and in a checkout of the source."""


def shipped_recipes(folders: Sequence[Path] = FOLDERS) -> dict[str, Path]:
    """The file of each shipped recipe, by its name; of the first folder that there is."""
    folder = next((folder for folder in folders if folder.is_dir()), None)
    return {} if folder is None else {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_recipe(path: Path, folders: Sequence[Path] = FOLDERS) -> Path:
    """The file that is meant by a path, or by the name of a shipped recipe, such as `bert-base`.

    A path with a folder or a suffix, and one where there is a file, is returned as it is.

    Raises:
        InputError: If it is a name, and neither a file nor a shipped recipe has it.
    """
    if path.is_file() or path.suffix or len(path.parts) != 1:
        return path
    shipped = shipped_recipes(folders)
    name = find_name(path.name, shipped)
    if name is not None:
        return shipped[name]
    files = (entry.name for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml"))
    known = list(dict.fromkeys((*shipped, *files)))
    raise InputError(
        f"{path.name} is neither a file nor the name of a shipped recipe",
        fixes=close_matches(folded(path.name), known, most=3) or f"one of {', '.join(shipped)}",
    )
