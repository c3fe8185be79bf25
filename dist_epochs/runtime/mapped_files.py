"""Files as arrays that are read when they are used, and do not fill the memory of the process that reads them."""

from __future__ import annotations

import mmap
import os
import resource
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import IO, Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from dist_epochs.runtime.recent import Recent

__all__ = ["MappedFiles", "most_kept"]

MOST_KEPT = 4096
"""Files that are kept mapped, of the shards of a store; fewer where a process may open few."""
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
        self._maps: WeakValueDictionary[int, mmap.mmap] = WeakValueDictionary()
        self._kept: Recent[NDArray[Any]] = Recent(most_kept())
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
        self._maps[id(content)] = content
        return np.frombuffer(content, kind, -1 if count is None else count, offset)

    def kept(self, name: Hashable, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The mapped file of that name, which stays mapped until many others have been used.

        Args:
            name: A name that no other file has.
            make: Maps it.
        """
        return self._kept.get(name, make)

    def used(self, values: int) -> None:
        """Take note that values were read, and give back what was, if it is much."""
        self._read += values
        if self._read < READ_BETWEEN:
            return
        self._read = 0
        self._before = min(self._before, now := _bytes_of_files())
        if now - self._before > MOST_BYTES:
            for reference in self._maps.valuerefs():  # a list of its own, as another thread may map a file now
                if (content := reference()) is not None:
                    content.madvise(mmap.MADV_DONTNEED)
            self._before = _bytes_of_files()


def most_kept() -> int:
    """Files that may be kept mapped: a mapped file is open, and a process may open 1,024 in all as a rule."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_KEPT if limit == resource.RLIM_INFINITY else max(1, min(MOST_KEPT, limit // 4))


def _bytes_of_files() -> int:
    """Bytes of files that count as memory of this process, programs included; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[2]) * mmap.PAGESIZE
    except OSError:
        return 0
