"""The claims that come with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from dist_epochs.audit.claim import Claim, read_claim
from dist_epochs.errors import InputError, nearest

__all__ = ["claim_names", "find_claim"]


def claim_names() -> tuple[str, ...]:
    """Names of the shipped claims, in order."""
    return tuple(sorted(path.name.removesuffix(".yaml") for path in _folder().iterdir() if path.name.endswith(".yaml")))


def find_claim(name: str) -> tuple[str, Claim]:
    """A shipped claim by its name, or a claim file by its path.

    Raises:
        InputError: If it is neither.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or (path.is_file() and name not in claim_names()):
        return path.stem, read_claim(path)
    if name not in claim_names():
        raise InputError(f"there is no claim {name!r} and no such file{nearest(name, claim_names())}")
    return name, read_claim(Path(str(_folder() / f"{name}.yaml")))


def _folder() -> Path:
    return Path(str(files("dist_epochs.audit"))) / "claims"
