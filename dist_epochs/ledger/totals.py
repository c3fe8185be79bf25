"""What a ledger adds up to, and how a file of lines becomes that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.errors import InputError
from dist_epochs.ledger.file import drawn_from_json, drawn_to_json, parse_line, read_lines

__all__ = ["Segment", "Tally", "Totals", "read_totals"]


@dataclass(slots=True)
class Tally:
    """Steps of one kind, and what they drew.

    Attributes:
        steps: Optimizer steps.
        micro_steps: Forward and backward passes on each device.
        passes: Counts by pass, over all devices.
        counts: Their sum.
        positions: Samples × sequence length, summed.
    """

    steps: int = 0
    micro_steps: int = 0
    passes: dict[PassKey, Counts] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    positions: int = 0

    def add(self, micro_steps: int, drawn: dict[PassKey, Counts]) -> None:
        """Book one step."""
        self.steps += 1
        self.micro_steps += micro_steps
        for key, counts in drawn.items():
            self.passes[key] = self.passes.get(key, Counts()) + counts
            self.counts += counts
            self.positions += key.sequence_length * counts.samples

    def to_json(self) -> dict[str, Any]:
        """For a totals line."""
        return {"steps": self.steps, "micro_steps": self.micro_steps, "drawn": drawn_to_json(self.passes)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tally:
        """From a totals line."""
        tally = cls()
        tally.add(data["micro_steps"], dict(drawn_from_json(data["drawn"])))
        tally.steps = data["steps"]
        return tally


@dataclass(slots=True)
class Segment:
    """A stretch of the run with one topology and code.

    Attributes:
        first_step: The step it began with, from 1.
        last_step: The last step it drew, `first_step` − 1 if none.
        status: `finished`, `stopped`, `failed`, or `no end` (killed, or still running).
        reason: Why it stopped or failed.
        facts: Topology, versions and time, as written.
    """

    first_step: int
    last_step: int
    status: str = "no end"
    reason: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Totals:
    """Everything a run did so far.

    Attributes:
        applied: Steps whose update was applied: what counts as trained.
        skipped: Steps drawn and not applied.
        replayed: Steps that a later segment drew again.
        unfinished: Steps begun and neither applied nor skipped.
        segments: Starts of the program.
    """

    applied: Tally = field(default_factory=Tally)
    skipped: Tally = field(default_factory=Tally)
    replayed: Tally = field(default_factory=Tally)
    unfinished: int = 0
    segments: list[Segment] = field(default_factory=list)

    @property
    def last_step(self) -> int:
        """The last step that was drawn and ended."""
        return self.applied.steps + self.skipped.steps

    def to_json(self) -> dict[str, Any]:
        """For a totals line; segments have lines of their own."""
        return {
            "applied": self.applied.to_json(),
            "skipped": self.skipped.to_json(),
            "replayed": self.replayed.to_json(),
            "unfinished": self.unfinished,
        }


def read_totals(path: Path, *, up_to: int | None = None) -> Totals:
    """Add up a ledger.

    A later segment's steps replace those of the same number before it; what they replace is replayed
    work. Reading starts at the last totals line that nothing later reaches back behind.

    Args:
        path: The ledger file.
        up_to: Read as a segment that goes on after this step will: what came after it is replayed work.

    Raises:
        InputError: If the file is missing, or a line is damaged (with its number).
    """
    lines = read_lines(path)
    starts = [
        (at, parse_line(path, at + 1, line)) for at, line in enumerate(lines) if line.startswith(b'{"event":"segment"')
    ]
    if not starts:
        raise InputError(f"{path}: no segment line; this is not a ledger, or its run never began")
    for at, entry in starts:
        if not isinstance(entry.get("from_step"), int):
            raise InputError(f"{path}:{at + 1}: damaged: a segment line without from_step")
    known = list(starts)
    if up_to is not None:
        starts = [*starts, (len(lines), {"from_step": up_to})]
    totals, begin = _anchor(path, lines, starts)
    records = _records(path, lines, begin, totals)
    expected = totals.last_step + 1
    later = {at: min((entry["from_step"] for other, entry in starts if other > at), default=None) for at, _ in starts}
    opened: dict[int, int] = {}
    segment_at = -1
    for at, entry in records:
        with _at_line(path, at):
            match entry["event"]:
                case "segment":
                    segment_at, expected = at, entry["from_step"] + 1
                case "begin":
                    opened[entry["step"]] = segment_at
                case "applied" | "skipped":
                    if entry["step"] != expected:
                        raise InputError(f"{path}:{at + 1}: step {entry['step']} where step {expected} must follow")
                    expected += 1
                    opened.pop(entry["step"], None)
                    limit = later.get(segment_at if segment_at >= 0 else _segment_before(starts, at))
                    replaced = limit is not None and entry["step"] > limit
                    kind = "replayed" if replaced else entry["event"]
                    getattr(totals, kind).add(entry["micro_steps"], dict(drawn_from_json(entry["drawn"])))
    totals.unfinished += len(opened)
    totals.segments = _segments(path, lines, known)
    return totals


@contextmanager
def _at_line(path: Path, at: int) -> Iterator[None]:
    """Name the line that lacks a field."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}:{at + 1}: damaged: {type(error).__name__} {error}") from None


def _records(path: Path, lines: list[bytes], begin: int, totals: Totals) -> Iterator[tuple[int, dict[str, Any]]]:
    wanted = (b'{"event":"segment"', b'{"event":"begin"', b'{"event":"applied"', b'{"event":"skipped"')
    known = (*wanted, b'{"event":"totals"', b'{"event":"metrics"', b'{"event":"end"')
    for at in range(begin, len(lines)):
        if not lines[at].startswith(known) or lines[at].startswith(wanted):
            yield at, parse_line(path, at + 1, lines[at])


def _anchor(path: Path, lines: list[bytes], starts: list[tuple[int, dict[str, Any]]]) -> tuple[Totals, int]:
    """The last usable totals line, and where to go on from."""
    for at in range(len(lines) - 1, -1, -1):
        if lines[at].startswith(b'{"event":"totals"'):
            entry = parse_line(path, at + 1, lines[at])
            with _at_line(path, at):
                usable = _usable(at, entry, starts)
            if usable is not None:
                return usable, at + 1
    return Totals(), 0


def _usable(at: int, entry: dict[str, Any], starts: list[tuple[int, dict[str, Any]]]) -> Totals | None:
    """A totals line as totals, unless a later segment reaches back behind it."""
    if any(start["from_step"] < entry["step"] for other, start in starts if other > at):
        return None
    applied, skipped, replayed = (Tally.from_json(entry[kind]) for kind in ("applied", "skipped", "replayed"))
    return Totals(applied, skipped, replayed, entry["unfinished"])


def _segment_before(starts: list[tuple[int, dict[str, Any]]], at: int) -> int:
    return max(start for start, _ in starts if start < at)


def _segments(path: Path, lines: list[bytes], starts: list[tuple[int, dict[str, Any]]]) -> list[Segment]:
    """First and last step of each segment, and how it ended."""
    segments = []
    stops = [at for at, _ in starts[1:]] + [len(lines)]
    for (at, entry), stop in zip(starts, stops, strict=True):
        facts = {name: value for name, value in entry.items() if name not in ("event", "from_step")}
        segment = Segment(entry["from_step"] + 1, entry["from_step"], facts=facts)
        for place in range(stop - 1, at, -1):
            if lines[place].startswith(b'{"event":"end"'):
                end = parse_line(path, place + 1, lines[place])
                segment.status, segment.reason = end["status"], end.get("reason")
            elif lines[place].startswith((b'{"event":"applied"', b'{"event":"skipped"')):
                segment.last_step = parse_line(path, place + 1, lines[place])["step"]
                break
        segments.append(segment)
    return segments
