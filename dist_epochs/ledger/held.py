"""One program at a time writes to a run."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dist_epochs.errors import InputError

__all__ = ["held"]


@contextmanager
def held(run: Path) -> Iterator[None]:
    """Keep other programs from writing to a run; a killed one holds it no longer.

    Raises:
        InputError: If another program does.
    """
    handle = os.open(run, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise InputError(
            f"{run}: another program is running this run, so nothing was started. Wait for it, or stop it."
        ) from None
    try:
        yield
    finally:
        os.close(handle)
