"""Reads the lines of a ledger, and adds them up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from dist_epochs.errors import InputError, Origin
from dist_epochs.ledger.file import drawn_from_json, parse_line, read_lines
from dist_epochs.ledger.totals import Segment, Tally, Totals

__all__ = ["read_totals"]

SEGMENT, TOTALS, END = b'{"event":"segment"', b'{"event":"totals"', b'{"event":"end"'
STEPS = (b'{"event":"applied"', b'{"event":"skipped"')
METRICS, MIRRORED = b'{"event":"metrics"', b'{"event":"mirrored"'
LOOP_NOTES = tuple(b'{"event":"%s"' % kind for kind in (b"corpus", b"pass", b"reported", b"warning", b"unknown"))
OTHERS = (SEGMENT, TOTALS, END, METRICS, MIRRORED, b'{"event":"checkpoint"', *LOOP_NOTES)
"""How lines begin: this tells their kind before any is parsed, which takes longer."""

Starts = Sequence[tuple[int, int]]
"""Line and `from_step` of each segment."""


def read_totals(path: Path, *, up_to: int | None = None) -> Totals:
    """Add up a ledger.

    A later segment's steps replace those of the same number before it; what they replace is replayed
    work. Reading starts at the last totals line that no later segment goes back before.

    Args:
        path: The ledger file.
        up_to: The step after which a new segment will resume: steps after it count as replayed. None adds up all.

    Raises:
        InputError: If the file is missing, or a line is damaged or out of order (with its number).
    """
    lines = read_lines(path)
    starts = _starts(path, lines)
    ahead = starts if up_to is None else [*starts, (len(lines), up_to)]
    totals, begin = _anchor(path, lines, ahead)
    ends = [*(at for at, _ in starts), len(lines)]
    for number, (start, stop) in enumerate(pairwise(ends)):
        replaced_after = min((from_step for _, from_step in ahead[number + 1 :]), default=None)
        if stop > begin:
            first = starts[number][1] + 1 if start >= begin else totals.last_step + 1
            _add_steps(totals, path, lines, range(max(start, begin), stop), first, replaced_after)
        totals.segments.append(_segment(path, lines, start, stop))
    return totals


def _starts(path: Path, lines: Sequence[bytes]) -> list[tuple[int, int]]:
    starts = []
    for at, line in enumerate(lines):
        if line.startswith(SEGMENT):
            starts.append((at, parse_line(path, at + 1, line)["from_step"]))
    if not starts:
        raise InputError("no segment line: this is not a ledger, or its run never began", origin=Origin(str(path)))
    for at in range(starts[0][0]):  # a loop that goes on without its ledger begins with what it has done
        if not lines[at].startswith(TOTALS):
            raise InputError("damaged: a ledger begins with a segment", origin=Origin(str(path), at + 1))
    return starts


def _anchor(path: Path, lines: Sequence[bytes], starts: Starts) -> tuple[Totals, int]:
    """The totals of the last usable totals line, and the line after it."""
    for at in range(len(lines) - 1, -1, -1):
        if lines[at].startswith(TOTALS):
            entry = parse_line(path, at + 1, lines[at])
            if all(from_step >= entry["step"] for start, from_step in starts if start > at):
                applied, skipped, replayed = (Tally.from_json(entry[k]) for k in ("applied", "skipped", "replayed"))
                return Totals(applied, skipped, replayed, entry["unfinished"]), at + 1
    return Totals(), 0


def _add_steps(
    totals: Totals, path: Path, lines: Sequence[bytes], place: range, expected: int, replaced_after: int | None
) -> None:
    """Add the steps of one segment; those after `replaced_after` were drawn again later."""
    opened: set[int] = set()
    for at in place:
        if lines[at].startswith(OTHERS):
            continue
        entry = parse_line(path, at + 1, lines[at])
        step = entry["step"]
        if entry["event"] == "begin":
            opened.add(step)
            continue
        if step != expected:
            raise InputError(f"step {step} where step {expected} must follow", origin=Origin(str(path), at + 1))
        expected += 1
        opened.discard(step)
        replaced = replaced_after is not None and step > replaced_after
        tally: Tally = getattr(totals, "replayed" if replaced else entry["event"])
        drawn = dict(drawn_from_json(entry["drawn"]))
        tally.add(entry["micro_steps"], drawn, entry.get("positions"), entry.get("data_wait_us"))
    totals.unfinished += len(opened)


def _segment(path: Path, lines: Sequence[bytes], start: int, stop: int) -> Segment:
    """First and last step of a segment, and how it ended."""
    facts = parse_line(path, start + 1, lines[start])
    from_step = facts.pop("from_step")
    del facts["event"]
    segment = Segment(from_step + 1, from_step, facts=facts)
    for at in range(stop - 1, start, -1):
        if lines[at].startswith((END, *STEPS)):
            entry = parse_line(path, at + 1, lines[at])
            if entry["event"] != "end":
                segment.last_step = entry["step"]
                break
            segment.status, segment.reason = entry["status"], entry.get("reason")
    return segment
