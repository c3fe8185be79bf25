"""Claim files: those that come with the package, and others."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from dist_epochs.audit.claim import Claim
from dist_epochs.audit.recipe_claim import RECIPE_KEYS, read_recipe_claim
from dist_epochs.errors import InputError, close_matches
from dist_epochs.names import find_name, folded
from dist_epochs.settings.document import Document

__all__ = ["claim_names", "find_claim", "read_claim"]


def claim_names() -> tuple[str, ...]:
    """Names of the shipped claims, in order."""
    return tuple(sorted(path.name.removesuffix(".yaml") for path in _folder().iterdir() if path.name.endswith(".yaml")))


def find_claim(name: str) -> tuple[str, Claim]:
    """A shipped claim by its name, in any case, or a claim file by its path.

    Raises:
        InputError: If it is neither.
    """
    path = Path(name)
    names = claim_names()
    if path.suffix in (".yaml", ".yml") or (path.is_file() and name not in names):
        return path.stem, read_claim(path)
    shipped = find_name(name, names)
    if shipped is None:
        near = close_matches(folded(name), names) or ["dist-epochs audit --all, which lists the names"]
        raise InputError(f"there is no claim {name!r}, and no such file", fixes=near)
    return shipped, read_claim(Path(str(_folder() / f"{shipped}.yaml")))


def read_claim(path: Path) -> Claim:
    """Read a claim file: facts and checks, or a recipe with what is stated of it.

    Raises:
        InputError: With all problems at once, each with its line.
    """
    document = Document.read(path)
    return read_recipe_claim(document, path) if set(document.data) & RECIPE_KEYS else document.make(Claim)


def _folder() -> Path:
    return Path(str(files("dist_epochs.audit"))) / "claims"
