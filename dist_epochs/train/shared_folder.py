"""Whether all ranks see the same folder: rank 0 makes an empty file in it, and the others look for it."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.troubles import Place, places

__all__ = ["SHARED", "WRITE_TOGETHER", "Probe", "not_shared_error"]

WRITE_TOGETHER = "All ranks write their parts of a checkpoint into one folder"
SHARED = "an --out on a file system that all machines share"

VISIBLE = 15.0
"""Seconds in which a new file must be seen everywhere: network file systems remember for a while what was not there."""


class Probe:
    """Inside its `with` block, a file beside the run directory; it is gone at the end in every case.

    Args:
        out: The run directory, which need not exist yet.
    """

    def __init__(self, out: Path) -> None:
        self._out = out.absolute()
        self._made: Path | None = None
        self._before: Any = None

    def make(self) -> str:
        """Make the file in the run directory, or in the nearest folder above it that exists.

        Returns:
            Where it is, for `wait_for` on other ranks.

        Raises:
            InputError: If nothing can be written there.
        """
        folders = [self._out, *self._out.parents]
        up = next(number for number, folder in enumerate(folders) if folder.is_dir())
        made = folders[up] / f".dist-epochs-{uuid4().hex}"
        try:
            made.touch()
        except OSError as error:
            raise InputError(error.strerror or str(error), origin=Origin(str(folders[up]))) from None
        self._made = made
        return json.dumps([up, made.name])

    def wait_for(self, where: str) -> bool:
        """Whether this rank sees the file; it looks for some time."""
        up, name = json.loads(where)
        folder = [self._out, *self._out.parents][up]
        deadline = time.monotonic() + VISIBLE
        while True:
            with suppress(OSError):
                # listing asks the server, where a look at one name may not
                if any(entry.name == name for entry in folder.iterdir()):
                    return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)

    def __enter__(self) -> Probe:
        if threading.current_thread() is threading.main_thread():  # a launcher may end this process meanwhile
            self._before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._made is not None:
            self._made.unlink(missing_ok=True)
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)


def not_shared_error(out: Path, blind: Sequence[Place], size: int) -> InputError:
    """The error for ranks that do not see what rank 0 writes.

    Args:
        out: The run directory.
        blind: The ranks.
        size: Ranks in all.
    """
    return InputError(
        f"{places(blind)} of {size} cannot see what rank 0 writes there",
        rule=WRITE_TOGETHER,
        consequence="nothing was written",
        fixes=SHARED,
        origin=Origin(str(out)),
    )
