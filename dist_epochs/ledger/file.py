"""The ledger file: JSON lines that are only ever added.

Format, one object a line, `event` first:

    segment   a start of the program: step that it resumes after, topology, versions
    begin     a step is about to be taken
    applied   it was taken: micro-steps, and what was drawn from each pass
    skipped   it was drawn and not applied (fp16 overflow)
    metrics   values logged at a step
    checkpoint  the state after a step was saved, and how long that took
    evaluation  the held-out documents were evaluated after a step, and how long that took
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
from dist_epochs.ledger.lines import LINES
from dist_epochs.settings.json_text import load_json
from dist_epochs.settings.shapes import first_problem

__all__ = ["LARGEST", "LONGEST_LINE", "LedgerFile", "drawn_from_json", "drawn_to_json", "parse_line"]


LARGEST = 1 << 32
"""Bytes; a ledger of ten million steps is smaller."""
LONGEST_LINE = 1 << 26
"""Bytes; the totals of a hundred thousand passes are shorter."""

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


def parse_line(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """One line as an object that holds what its event needs.

    Args:
        path: For the message.
        number: Of the line, from 1.
        line: Without its newline.

    Raises:
        InputError: If it is damaged.
    """
    origin = Origin(str(path), number)
    consequence = "the lines before it can still be read"
    try:
        entry: Any = load_json(line.decode(), origin)
    except UnicodeDecodeError:
        raise InputError("damaged: not UTF-8 text", consequence=consequence, origin=origin) from None
    except InputError as error:
        raise error.but(asked=f"damaged: {error.asked}", consequence=consequence) from None
    event = entry.get("event") if isinstance(entry, dict) else None
    known = isinstance(event, str) and event in LINES
    if not isinstance(entry, dict) or not known or not line.startswith(f'{{"event":"{event}"'.encode()):
        raise InputError("not a ledger line", consequence=consequence, origin=origin)
    if problem := first_problem(entry, LINES[entry["event"]]):
        raise InputError(f"damaged: {problem}", consequence=consequence, origin=origin)
    return entry


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
