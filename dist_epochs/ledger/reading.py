"""Adds up a ledger, without reading more of it than is needed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from dist_epochs.errors import InputError, Origin
from dist_epochs.ledger.file import drawn_from_json
from dist_epochs.ledger.index import STEPS, LedgerLines
from dist_epochs.ledger.totals import Segment, Totals

__all__ = ["read_totals", "totals_of"]

END = b'{"event":"end"'
TIMED = ("segment", "checkpoint", "evaluation", "end")
NOT_READ = tuple(
    b'{"event":"%s"' % event
    for event in (b"metrics", b"totals", b"mirrored", b"corpus", b"pass", b"reported", b"warning", b"unknown")
)
"""How the lines begin that add nothing: this tells them before they are parsed, which takes longer."""

Starts = Sequence[tuple[int, int]]
"""Where the line of each segment begins, and its `from_step`."""


def read_totals(path: Path, *, up_to: int | None = None) -> Totals:
    """Add up a ledger.

    A later segment's steps replace those of the same number before it; what they replace is replayed work.

    Args:
        path: The ledger file.
        up_to: The step after which a new segment will resume: steps after it count as replayed. None adds up all.

    Raises:
        InputError: If the file is missing, or a line is damaged or out of order (with its number).
    """
    return totals_of(LedgerLines(path), up_to=up_to)


def totals_of(lines: LedgerLines, *, up_to: int | None = None) -> Totals:
    """As `read_totals`, of a ledger that is open already.

    A totals line holds all steps that were drawn up to it, so those after the last one complete them. Which of them
    count follows from the totals lines that no later segment went back before; all others were replayed.
    """
    starts = _starts(lines)
    drawn, kept = _drawn(lines, starts), _kept(lines, starts, lines.size, up_to)
    replayed = drawn.replayed
    for before, left in ((drawn.applied, kept.applied), (drawn.skipped, kept.skipped)):
        replayed = replayed.combined(before.combined(left, -1), 1)
    stops = [*(at for at, _ in starts[1:]), lines.size]
    segments = [_segment(lines, at, stop) for (at, _), stop in zip(starts, stops, strict=True)]
    return Totals(kept.applied, kept.skipped, replayed, drawn.unfinished, segments, drawn.clock)


def _starts(lines: LedgerLines) -> Starts:
    starts = [(at, lines.entry(at)["from_step"]) for at, _ in lines.of("segment")]
    if not starts:
        raise InputError(
            "no segment line: this is not a ledger, or its run never began", origin=Origin(str(lines.path))
        )
    for at, line in lines.between(0, starts[0][0]):  # a loop that goes on without its ledger begins with what it did
        if not line.startswith(b'{"event":"totals"'):
            raise lines.wrong(at, "damaged: a ledger begins with a segment")
    return starts


def _drawn(lines: LedgerLines, starts: Starts) -> Totals:
    """All steps that were ever drawn, and the clock at the end of the ledger."""
    *_, last = (None, *(at for at, _ in lines.of("totals")))
    totals, begin, expected = Totals(), 0, 1
    if last is not None:
        entry = lines.entry(last)
        totals, begin, expected = Totals.from_json(entry), _after(lines, last), entry["step"] + 1
        if "clock" not in entry:
            _skip(totals, lines, begin)
    for at, stop in _ranges(starts, begin, lines.size):
        expected = _add(totals, lines, at, stop, expected)
    return totals


def _after(lines: LedgerLines, at: int) -> int:
    """Where the line after a line begins."""
    _, line = next(lines.between(at))
    return at + len(line) + 1


def _ranges(starts: Starts, begin: int, size: int) -> list[tuple[int, int]]:
    """What is left of the ledger, cut where segments begin."""
    cuts = [begin, *(at for at, _ in starts if at > begin), size]
    return [(at, stop) for at, stop in pairwise(cuts) if stop > at]


def _kept(lines: LedgerLines, starts: Starts, stop: int, up_to: int | None) -> Totals:
    """The steps that count, of those that stand before a place.

    Args:
        lines: The ledger.
        starts: Its segments.
        stop: The place.
        up_to: The last step that counts; None where all do.
    """
    parts: list[tuple[int, int, int | None, int]] = []
    totals = Totals()
    before = [] if starts[0][0] == 0 else [(0, 0)]  # what stands before the first segment
    for at, from_step in reversed([*before, *starts]):
        if up_to is None or up_to > from_step:
            anchor = _last_totals(lines, at, stop, up_to)
            if anchor is not None:
                entry = lines.entry(anchor)
                totals = Totals.from_json(entry)
                parts.append((_after(lines, anchor), stop, up_to, entry["step"] + 1))
                break
            parts.append((at, stop, up_to, from_step + 1))
            up_to = from_step
        stop = at
    for at, end, limit, expected in reversed(parts):
        _add(totals, lines, at, end, expected, up_to=limit)
    return totals


def _last_totals(lines: LedgerLines, start: int, stop: int, up_to: int | None) -> int | None:
    """The last totals line between two places whose step is not after `up_to`; steps grow within a segment."""
    found = [at for at, _ in lines.of("totals", start=start, stop=stop)]
    low, high = 0, len(found)
    while up_to is not None and low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if lines.entry(found[middle])["step"] <= up_to else (low, middle)
    found = found[: high if up_to is not None else None]
    return found[-1] if found else None


def _add(totals: Totals, lines: LedgerLines, start: int, stop: int, expected: int, *, up_to: int | None = None) -> int:
    """Add the lines of one segment, or the rest of one; steps after `up_to` are left out.

    Returns:
        The step that must follow.
    """
    opened: set[int] = set()
    for at, line in lines.between(start, stop):
        if line.startswith(NOT_READ):
            continue
        if up_to is not None and expected > up_to:
            break
        entry = lines.entry(at, line)
        event, time = entry["event"], entry.get("time")
        if event == "segment":
            totals.clock.segment(entry)
            expected = entry["from_step"] + 1
        elif event == "begin":
            opened.add(entry["step"])
            totals.clock.begin(time)
        elif event == "end":
            totals.clock.end(time)
        elif event in ("checkpoint", "evaluation"):
            totals.clock.pause(event, entry.get("seconds"), time)
        else:
            step = entry["step"]
            if step != expected:
                raise lines.wrong(at, f"step {step} where step {expected} must follow")
            expected += 1
            opened.discard(step)
            totals.clock.segment_energy_mj = entry.get("energy_mj", totals.clock.segment_energy_mj)
            totals.take(
                event, entry["micro_steps"], dict(drawn_from_json(entry["drawn"])), positions=entry.get("positions"),
                data_wait_us=entry.get("data_wait_us"), communication_us=entry.get("communication_us"), time=time,
            )  # fmt: skip
    totals.unfinished += len(opened)
    return expected


def _skip(totals: Totals, lines: LedgerLines, stop: int) -> None:
    """Set the clock to a place in a ledger whose totals lines have none, as older versions wrote them.

    Only the few lines that are no steps are read. The time of the steps between them is not attributed to any cause.
    """
    clock = totals.clock
    marks = [*lines.of(*TIMED, stop=stop), (stop, "stop")]
    for number, (at, event) in enumerate(marks):
        if number:
            _skip_steps(totals, lines, marks[number - 1][0], at)
        if event == "stop":
            break
        entry = lines.entry(at)
        if event == "segment":
            clock.segment(entry)
        elif event == "end":
            clock.end(entry.get("time"))
        else:
            clock.pause(event, entry.get("seconds"), entry.get("time"))


def _skip_steps(totals: Totals, lines: LedgerLines, start: int, stop: int) -> None:
    """Note when the last step between two lines was taken."""
    for at, line in lines.backwards(start, stop):
        if line.startswith(STEPS):
            totals.clock.skip_to(lines.entry(at, line).get("time"))
            return


def _segment(lines: LedgerLines, start: int, stop: int) -> Segment:
    """First and last step of a segment, and how it ended."""
    facts = lines.entry(start)
    from_step = facts.pop("from_step")
    del facts["event"]
    segment = Segment(from_step + 1, from_step, facts=facts)
    for at, line in lines.backwards(_after(lines, start), stop):
        if line.startswith((END, *STEPS)):
            entry = lines.entry(at, line)
            if entry["event"] != "end":
                segment.last_step = entry["step"]
                break
            segment.status, segment.reason = entry["status"], entry.get("reason")
    return segment
