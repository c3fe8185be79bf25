"""Files of a store as arrays that are read when they are used, and the check of their sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dist_epochs.corpus.stores.damage import damaged
from dist_epochs.errors import InputError

__all__ = ["check_size", "mapped"]


def mapped(file: Path | IO[bytes], kind: np.dtype[Any]) -> NDArray[Any]:
    """A file as a plain array, read when it is used; slices of `memmap` itself take microseconds each.

    Args:
        file: Its path; or an open file, which is closed, while what holds it lasts as long as the array.
        kind: What it consists of.
    """
    if isinstance(file, Path):
        return np.asarray(np.memmap(file, kind, "r"))
    with file:
        return np.asarray(np.memmap(file, kind, "r"))


def check_size(path: Path, size: int, error: Callable[[Path, str], InputError] = damaged) -> None:
    """Check that a file is there, and has its size.

    Raises:
        InputError: If not.
    """
    found = path.stat().st_size if path.is_file() else None
    if found != size:
        raise error(path, "is missing" if found is None else f"has {found:,} bytes and must have {size:,}")
