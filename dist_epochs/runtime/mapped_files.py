"""Files as arrays that are read when they are used, and do not fill the memory of the process that reads them."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import IO, Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

__all__ = ["MappedFiles"]

MOST_BYTES = 2**29
"""Bytes of files that a process has in memory until it gives them back, 512 MiB."""
READ_BETWEEN = 2**19
"""Values, such as tokens, after which a process looks at how many these are."""


class MappedFiles:
    """Files that are mapped to memory.

    What was read of a mapped file counts as memory of the process, and so would a whole store after a pass over it,
    until memory is short. So it is given back now and then; the system keeps it as long as it has room, and reads
    nothing again. On Linux, that is: elsewhere a process is not told how much it is.
    """

    def __init__(self) -> None:
        self._maps: WeakSet[mmap.mmap] = WeakSet()
        self._read = 0
        self._before = _bytes_of_files()

    def map(
        self, file: Path | IO[bytes], kind: np.dtype[Any], *, offset: int = 0, count: int | None = None
    ) -> NDArray[Any]:
        """A file as an array, which is read when it is used.

        Args:
            file: Its path; or an open file, which is closed, while what holds it lasts as long as the array.
            kind: What it consists of.
            offset: Bytes before the first value.
            count: How many values there are; None if they end with the file.
        """
        with file.open("rb") if isinstance(file, Path) else file as opened:
            if count == 0 or not os.fstat(opened.fileno()).st_size:  # nothing cannot be mapped
                return np.empty(0, kind)
            content = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        self._maps.add(content)
        return np.frombuffer(content, kind, -1 if count is None else count, offset)

    def used(self, values: int) -> None:
        """Take note that values were read, and give back what was, if it is much."""
        self._read += values
        if self._read < READ_BETWEEN:
            return
        self._read = 0
        self._before = min(self._before, now := _bytes_of_files())
        if now - self._before > MOST_BYTES:
            for content in list(self._maps):
                content.madvise(mmap.MADV_DONTNEED)
            self._before = _bytes_of_files()


def _bytes_of_files() -> int:
    """Bytes of files that count as memory of this process, programs included; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[2]) * mmap.PAGESIZE
    except OSError:
        return 0
