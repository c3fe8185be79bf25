"""Fetches a whole file: goes on where a connection broke, and fetches again what arrived damaged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import IO

from dist_epochs.corpus.remote.transfer import Broken, Refused, Remote
from dist_epochs.errors import InputError
from dist_epochs.runtime.bar import Progress
from dist_epochs.runtime.files import named_errors

__all__ = ["UPLOAD", "Unreachable", "fetch"]

WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait after each failure in a row, before the file is asked for again; a failure after these is final."""

TIMES = 3
"""How often a file is fetched that is not what it should be."""


UPLOAD = "to upload the file again from the store that `dist-epochs tokenize` wrote"
"""What helps where a file at the address is not as it was made."""


class Unreachable(InputError):
    """A file could not be fetched, and there was no other answer."""


def fetch(
    remote: Remote,
    name: str,
    file: IO[bytes],
    *,
    size: int | None = None,
    wrong: Callable[[], str] = lambda: "",
    closed: threading.Event | None = None,
    waits: tuple[float, ...] | None = None,
    progress: Progress = lambda _: None,
) -> None:
    """Fetch a file, or what is missing of it.

    Args:
        remote: The folder at an address.
        name: The file in it.
        file: What is there already, and where the rest goes; open for reading and writing.
        size: Bytes that the file must have, where that is known.
        wrong: What is wrong with the file once it is complete; nothing, if it is right.
        closed: Set when the file is no longer wanted.
        waits: Seconds to wait after each failure.
        progress: Called with the bytes that arrived since the last call.

    Raises:
        Absent: If there is no such file.
        Unreachable: If it cannot be fetched.
        InputError: If the user may not read it, or it is damaged there.
    """
    waits = WAITS if waits is None else waits
    closed = closed or threading.Event()
    failures, times, furthest = 0, 0, 0
    while True:
        try:
            _append(remote, name, file, size, closed, progress)
        except Refused as error:
            raise _refused(remote, name, error) from None
        except Broken as error:
            if (at := file.tell()) > furthest:  # the server is there, and gives more each time
                failures, furthest = 0, at
            if failures == len(waits) or closed.is_set():
                raise _unreachable(remote, name, error, waits) from None
            closed.wait(waits[failures])
            failures += 1
            continue
        file.flush()
        found = file.tell()
        problem = f"it has {found:,} bytes and must have {size:,}" if size not in (None, found) else wrong()
        if not problem:
            return
        times += 1
        file.seek(0)
        file.truncate()
        if times == TIMES:
            raise _damaged(remote, name, problem)


def _append(
    remote: Remote, name: str, file: IO[bytes], size: int | None, closed: threading.Event, progress: Progress
) -> None:
    """Read the rest of a file to its end."""
    at = file.seek(0, 2)
    if size is not None and at > size:
        at = 0
    if at != size:
        at, pieces = remote.read(name, at, size)
        file.seek(at)
        file.truncate()
        for piece in pieces:
            with named_errors(getattr(file, "name", name)):
                file.write(piece)
            at += len(piece)
            progress(len(piece))
            if closed.is_set():
                raise Broken("not wanted any more")
            if size is not None and at > size:
                return


def _unreachable(remote: Remote, name: str, error: Broken, waits: tuple[float, ...]) -> Unreachable:
    return Unreachable(
        f"cannot be fetched: {error}",
        rule=f"it was tried {len(waits) + 1} times within {sum(waits):g} seconds" if waits else "",
        fixes=(
            "to see whether this machine reaches the address, with another program",
            "a copy of the store on this machine as corpus.store",
        ),
        origin=remote.where(name),
    )


def _refused(remote: Remote, name: str, error: Refused) -> InputError:
    return InputError(
        f"this user may not read it: {error}",
        fixes=(
            "the credentials that fsspec takes for such addresses from the environment",
            "for https://, a user and password or a query in the address, which are never written down",
        ),
        origin=remote.where(name),
    )


def _damaged(remote: Remote, name: str, problem: str) -> InputError:
    return InputError(
        problem,
        rule=f"it was fetched {TIMES} times",
        consequence="the store at this address is damaged, or is another one than its manifest says",
        fixes=UPLOAD,
        origin=remote.where(name),
    )
