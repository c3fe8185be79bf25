"""The folder where all processes of a machine keep what they fetched.

A file that is being fetched has another name, and is held by the process that fetches it; the others wait for it. A
file that is read is held by all who read it. What is held is not removed, and a process that is killed holds nothing.

    FOLDER/STORE/MANIFEST/…                      the files of a store, as they stand in it
    FOLDER/STORE/MANIFEST/…/NAME.part-33554432   a shard of so many bytes that is being fetched
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from dist_epochs.arithmetic.text import number
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import hold, make_durable

__all__ = ["Cache", "Full", "default_folder"]

SHARD = re.compile(r".*\.(?:tokens|lengths)(?:\.part-(?P<size>\d+))?", re.DOTALL)
"""Name of a file that the limit counts, and of one that is being fetched, with the bytes that it will have."""

ROOM_SECONDS = 30.0
"""Seconds to wait for others to end reading, where everything in a full cache is being read."""

LOOK_SECONDS = 0.05
"""Seconds after which is looked again whether another process is ready."""

Fetch = Callable[[IO[bytes]], None]
"""Writes the rest of a file, or raises."""


class Full(InputError):
    """No shard can be removed, as all of them are being read."""


def default_folder() -> Path:
    """The folder in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dist-epochs" / "stores"


class Cache:
    """Files that were fetched.

    Args:
        folder: Where they are, on a disk that locks files.
        limit: Bytes that shards may have together, those that are being fetched included.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit

    def keep(self, path: Path, fetch: Fetch) -> Path:
        """A file that is always kept; fetched, if it is not there."""
        if not path.exists():
            self._held(path, None, fetch).close()
        return path

    def shard(self, path: Path, size: int, fetch: Fetch, *, waits: bool = True) -> IO[bytes]:
        """A shard, held until the file and its mappings in memory are closed; fetched, if it is not there.

        Args:
            path: Its place in the folder.
            size: Its bytes.
            fetch: Fetches it.
            waits: Whether to wait for room.

        Raises:
            Full: If there is no room for it.
        """
        return self._held(path, size, fetch, waits)

    def discard(self, path: Path) -> None:
        """Remove a file, so that it is fetched again; who reads it keeps what was there."""
        path.unlink(missing_ok=True)

    def _held(self, path: Path, size: int | None, fetch: Fetch, waits: bool = True) -> IO[bytes]:
        while True:
            if (file := _whole(path, size)) is not None:
                return file
            part = path.with_name(f"{path.name}.part" if size is None else f"{path.name}.part-{size}")
            path.parent.mkdir(parents=True, exist_ok=True)
            if size is not None:
                self._reserve(part, size, time.monotonic() + ROOM_SECONDS * waits)
            file = part.open("a+b")
            try:
                if _fetched(file, part, path, fetch):
                    file.seek(0)
                    return file
            except BaseException:
                file.close()
                raise
            file.close()

    def _reserve(self, part: Path, size: int, until: float) -> None:
        """Make room for a shard, and take it by a file of its name.

        Raises:
            Full: If there is none until then.
        """
        while (used := self._make_room(part, size)) is not None:
            if size > self.limit or time.monotonic() >= until:
                needed = f"{number(used)} bytes of it are being read, and {number(size)} more are needed"
                raise Full(
                    "the cache of shards is too small",
                    rule=f"its limit is {number(self.limit)} bytes, {needed}",
                    fixes=(
                        "a larger corpus.cache.limit: a batch reads a shard of each of its samples at once",
                        "a smaller global batch, or more machines",
                    ),
                    origin=Origin(str(self.folder)),
                )
            time.sleep(LOOK_SECONDS)

    def _make_room(self, part: Path, size: int) -> int | None:
        """Remove what was not used for longest, until a shard fits.

        Returns:
            The bytes that are left if it does not fit; None if it does.
        """
        lock = self.folder / "lock"
        with lock.open("ab") as file:
            hold(file, lock, alone=True)
            shards = sorted(self._shards())
            used = sum(bytes_ for _, bytes_, path in shards if path != part)
            for _, bytes_, path in shards:
                if used + size <= self.limit:
                    break
                if path != part and _removed(path):
                    used -= bytes_
            if used + size > self.limit:
                return used
            part.touch()
            return None

    def _shards(self) -> Iterator[tuple[int, int, Path]]:
        """When each shard was last used, its bytes, and its place."""
        for source in self.folder.glob("*/*/sources/*"):
            with os.scandir(source) as entries:
                for entry in entries:
                    if match := SHARD.fullmatch(entry.name):
                        with suppress(FileNotFoundError):  # another process has just renamed or removed it
                            status = entry.stat()
                            yield status.st_mtime_ns, int(match["size"] or status.st_size), Path(entry.path)


def _whole(path: Path, size: int | None) -> IO[bytes] | None:
    """A complete file, held; None if there is none."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    if hold(file, path, alone=False):
        if size in (None, os.fstat(file.fileno()).st_size):
            with suppress(PermissionError):  # another user's, whose order of use is not ours
                os.utime(file.fileno())
            return file
        path.unlink(missing_ok=True)  # the machine stopped before it was on the disk
    file.close()
    return None


def _fetched(file: IO[bytes], part: Path, path: Path, fetch: Fetch) -> bool:
    """Fetch a file and give it its name; False, if another process does or has done that, or removed the folder."""
    if not hold(file, part, alone=True, wait=False):  # waiting for the lock would not end where it is read later
        time.sleep(LOOK_SECONDS)
        return False
    if path.exists():
        part.unlink()
        return False
    try:
        fetch(file)
    finally:
        file.flush()
        if not os.fstat(file.fileno()).st_size:  # what has arrived is kept, to go on from there
            part.unlink(missing_ok=True)
    os.fsync(file.fileno())
    try:
        part.rename(path)
        make_durable(path.parent)
    except FileNotFoundError:
        return False
    return hold(file, path, alone=False)


def _removed(path: Path) -> bool:
    """Remove a file that nobody holds."""
    try:
        with path.open("rb") as file:
            if hold(file, path, alone=True, wait=False):
                path.unlink()
                return True
    except FileNotFoundError:
        return True
    return False
