"""The ledger file: JSON lines that are only ever added.

Format, one object a line, `event` first:

    segment   a start of the program: step that it resumes after, topology, versions
    begin     a step is about to be taken
    applied   it was taken: micro-steps, and what was drawn from each pass
    skipped   it was drawn and not applied (fp16 overflow)
    metrics   values logged at a step
    checkpoint  the state after a step was saved, and how long that took
    mirrored  everything logged up to here is in the tracker
    totals    everything up to a step, so that long ledgers load fast
    end       how the segment ended

What the user's own loop adds (`Ledger`, `LedgerCallback`):

    corpus    how many samples and tokens one pass has, and how that is known
    pass      what all ranks drew in one round of their loaders
    reported  the epoch that the loop itself reports
    warning   a warning, with the name of its rule
    unknown   units whose numbers are not known, since a batch could not be counted

What was drawn: `[phase, source, length, pass, samples, tokens, loss tokens, digest]`. Steps count from
1. A line without its newline was cut by a crash and is ignored.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.errors import InputError, Origin

__all__ = ["LedgerFile", "drawn_from_json", "drawn_to_json", "parse_line", "read_lines"]


_encode = json.JSONEncoder(separators=(",", ":")).encode
"""An object as one line; `json.dumps` would make an encoder in every step."""


class LedgerFile:
    """Appends whole lines to a ledger.

    Args:
        path: The file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        _drop_cut_line(self._handle)

    def append(self, event: str, **fields: Any) -> None:
        """Add one line, which survives a kill of this process."""
        line = _encode({"event": event, **fields}).encode() + b"\n"
        try:
            written = os.write(self._handle, line)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from None
        if written != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def make_durable(self) -> None:
        """Wait until everything is on the disk."""
        os.fsync(self._handle)

    def close(self) -> None:
        """Make everything durable and close."""
        self.make_durable()
        os.close(self._handle)


def _drop_cut_line(handle: int) -> None:
    """Remove a last line without its newline: it is incomplete, and the next line must not be appended to it."""
    size = os.fstat(handle).st_size
    tail = b""
    while size > 0 and b"\n" not in tail:
        start = max(0, size - 4096)
        tail = os.pread(handle, size - start, start)
        size = start
    end = size + tail.rfind(b"\n") + 1
    if end < os.fstat(handle).st_size:
        os.ftruncate(handle, end)


def read_lines(path: Path) -> list[bytes]:
    """The complete lines of a ledger, unparsed.

    Raises:
        InputError: If there is no such file.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise InputError(
            "no ledger there", rule="a run writes one as RUN/ledger.jsonl", origin=Origin(str(path))
        ) from None
    return data.split(b"\n")[:-1]


def parse_line(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """One line as an object.

    Args:
        path: For the message.
        number: Of the line, from 1.
        line: Without its newline.

    Raises:
        InputError: If it is damaged.
    """
    try:
        entry = json.loads(line)
        if isinstance(entry, dict) and isinstance(entry.get("event"), str):
            return entry
        problem = "not a ledger line"
    except ValueError as error:
        problem = f"damaged: {error}"
    raise InputError(problem, consequence="the lines before it can still be read", origin=Origin(str(path), number))


def drawn_to_json(drawn: Mapping[PassKey, Counts]) -> list[list[int | str]]:
    """Counts by pass, in the form of a line."""
    return [
        [key.phase, key.source, key.sequence_length, key.number, c.samples, c.tokens, c.loss_tokens, f"{c.digest:032x}"]
        for key, c in drawn.items()
    ]


def drawn_from_json(rows: list[list[Any]]) -> Iterator[tuple[PassKey, Counts]]:
    """Counts by pass, from a line."""
    for phase, source, length, number, samples, tokens, loss_tokens, digest in rows:
        yield PassKey(phase, source, length, number), Counts(samples, tokens, loss_tokens, int(digest, 16))
