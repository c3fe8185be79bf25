"""The lines of a ledger, read where they are needed: a ledger of a million steps is too much to hold."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from dist_epochs.errors import InputError, Origin
from dist_epochs.ledger.file import LARGEST, LONGEST_LINE, parse_line
from dist_epochs.settings.files import open_file

__all__ = ["STEPS", "LedgerLines", "Line", "SegmentLines"]

AT_ONCE = 1 << 20
"""Bytes that are read at once."""

MARKED = (
    "segment", "totals", "end", "checkpoint", "evaluation", "mirrored", "corpus", "pass", "reported", "warning",
    "unknown",
)  # fmt: skip
"""Events whose lines are few: those that stand in no step."""

STEPS = (b'{"event":"applied"', b'{"event":"skipped"')
"""How the lines of steps that were taken begin."""

_EVENT = rb'\{"event":"(' + "|".join(MARKED).encode() + rb')"'
_FIRST, _LATER = re.compile(_EVENT), re.compile(rb"\n" + _EVENT)
"""A mark on the first line, and on others: a pattern that begins with a fixed text is found ten times as fast."""

Line = tuple[int, bytes]
"""Where a line begins, in bytes, and what it holds without its newline."""


class SegmentLines(NamedTuple):
    """The lines of one segment.

    Attributes:
        start: Where its first line begins.
        stop: Where it ends.
        entry: Its first line.
        kept: The last step of it that counts, the earliest that a later segment went back to; None where all do.
    """

    start: int
    stop: int
    entry: dict[str, Any]
    kept: int | None


class LedgerLines:
    """The complete lines of a ledger; what is added after it was opened is left out.

    The file is read once, to find where its few lines that are no steps begin. Everything else is read where it is
    asked for.

    Args:
        path: The ledger file.

    Attributes:
        path: The file.
        size: Bytes of complete lines.
        marks: Where the lines of the events in `MARKED` begin, and their events.

    Raises:
        InputError: If there is no such file, or it is none that ends.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        self.marks: list[tuple[int, str]] = []
        if path.is_dir() or not path.exists():
            rule = "a run writes one as RUN/ledger.jsonl"
            raise InputError("no ledger there", rule=rule, origin=Origin(str(path)))
        with open_file(path) as file:
            left = os.fstat(file.fileno()).st_size
            if left > LARGEST:
                rule = f"at most {LARGEST:,} are read"
                raise InputError(f"a ledger of {left:,} bytes", rule=rule, origin=Origin(str(path)))
            rest = b""
            while left > 0 and (read := file.read(min(AT_ONCE, left))):
                left -= len(read)
                rest = self._mark(rest + read)

    def _mark(self, read: bytes) -> bytes:
        """Note the marks in the complete lines of what was read, and return the rest."""
        end = read.rfind(b"\n") + 1
        first = _FIRST.match(read, 0, end)
        for found in chain([first] if first else [], _LATER.finditer(read, 0, end)):
            self.marks.append((self.size + found.start(1) - len('{"event":"'), found[1].decode()))
        self.size += end
        if len(read) - end > LONGEST_LINE:
            rule = f"a line of a ledger has at most {LONGEST_LINE:,}"
            raise InputError("damaged: a line without end", rule=rule, origin=self._origin(self.size))
        return read[end:]

    def of(self, *events: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, str]]:
        """The marks of some events between two places."""
        stop = self.size if stop is None else stop
        return ((at, event) for at, event in self.marks if event in events and start <= at < stop)

    def segments(self) -> list[SegmentLines]:
        """The segments, in order, and up to which step the steps of each count.

        Raises:
            InputError: If the first line of one is damaged.
        """
        starts = [at for at, _ in self.of("segment")]
        found: list[SegmentLines] = []
        kept: int | None = None
        for start, stop in reversed(list(pairwise([*starts, self.size]))):
            entry = self.entry(start)
            found.append(SegmentLines(start, stop, entry, kept))
            kept = entry["from_step"] if kept is None else min(kept, entry["from_step"])
        return found[::-1]

    def between(self, start: int, stop: int | None = None) -> Iterator[Line]:
        """Each line that begins between two places, of which the first begins a line."""
        stop = self.size if stop is None else stop
        with open_file(self.path) as file:
            file.seek(start)
            while start < stop and (line := file.readline()):
                yield start, line[:-1]
                start += len(line)

    def backwards(self, start: int, stop: int) -> Iterator[Line]:
        """As `between`, from the last line to the first; the second place ends a line."""
        with open_file(self.path) as file:
            rest = b""  # the end of a line that begins before what was read so far
            while stop > start:
                begin = max(start, stop - AT_ONCE // 16)
                file.seek(begin)
                block = file.read(stop - begin) + rest
                cut = block.find(b"\n") + 1 if begin > start else 0
                at = begin + len(block)
                for line in reversed(block[cut:].split(b"\n")[:-1]):
                    at -= len(line) + 1
                    yield at, line
                rest, stop = block[:cut], begin

    def entry(self, at: int, line: bytes | None = None) -> dict[str, Any]:
        """A line as an object that holds what its event needs.

        Raises:
            InputError: If it is damaged, with its number.
        """
        if line is None:
            _, line = next(self.between(at))
        try:
            return parse_line(self.path, 0, line)
        except InputError as error:
            raise error.but(origin=self._origin(at)) from None

    def wrong(self, at: int, problem: str) -> InputError:
        """The error for a line that cannot stand where it does."""
        return InputError(problem, origin=self._origin(at))

    def _origin(self, at: int) -> Origin:
        with open_file(self.path) as file:
            number, left = 1, at
            while left > 0 and (read := file.read(min(AT_ONCE, left))):
                number, left = number + read.count(b"\n"), left - len(read)
        return Origin(str(self.path), number)
