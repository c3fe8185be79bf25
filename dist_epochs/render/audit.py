"""An audit as text: the verdict and its condition first, then the arithmetic of every reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from textwrap import wrap

from dist_epochs.arithmetic.agreement import Agreement
from dist_epochs.arithmetic.text import number, scaled, short
from dist_epochs.audit.check import Check, Reading, Verdict
from dist_epochs.audit.records.record import FinishedRun, Span
from dist_epochs.audit.suspects import Suspect
from dist_epochs.audit.verdict import Audit

__all__ = ["audit_text", "audits_text"]

WIDTH = 110

MOST_READINGS = 5
"""With more, one may fit by chance, and the text says so."""
MOST_SUSPECTS = 6
MOST_SEGMENTS = 8
LARGEST_PERCENTAGE = 1.5
"""Numbers that are further apart are told as so many times more or fewer, nearer ones in percent."""
LEAST_IN_TENTHS = 0.0005
"""Smaller shares would be shown as 0.0 per cent."""
LARGEST_IN_FULL = 10**18

AGREEMENTS = {
    Agreement.EXACT: "exact",
    Agreement.ROUNDS: "rounds",
    Agreement.OVERLAPS: "overlaps",
    Agreement.CONTRADICTS: "no",
}


def audit_text(audit: Audit) -> str:
    """A claim or a finished run: what is stated, the verdict, and the derivation under each reading."""
    is_claim = audit.run is None
    parts = [audit.heading, *(_stated(audit) if is_claim else ()), "", *wrap(_verdict(audit), WIDTH)]
    if is_claim:
        parts += wrap(_strongest(audit), WIDTH)
    if audit.missing and audit.verdict is not Verdict.UNDERDETERMINED:
        parts += wrap(f"Beside that, {audit.missing}.", WIDTH)
    parts += _by_check(audit.readings) if is_claim else _by_reading(audit.readings)
    parts += _suspects(audit.suspects)
    if audit.unsearched:
        parts += ["", *wrap(f"Not searched for slips: {'; '.join(audit.unsearched)}.", WIDTH)]
    if audit.run is not None:
        parts += _history(audit.run)
    for note in audit.notes:
        parts += ["", *wrap(note, WIDTH)]
    return "\n".join(parts)


def audits_text(audits: Sequence[Audit]) -> str:
    """All claims, a line each."""
    width = max(len(audit.id) for audit in audits)
    verdicts = max(len(verdict) for verdict in Verdict)
    rows = (f"  {audit.id:<{width}}  {audit.verdict:<{verdicts}}  {audit.only_if or ''}" for audit in audits)
    return "\n".join(row.rstrip() for row in rows)


def _stated(audit: Audit) -> Iterator[str]:
    stated = [f"{check.name} {check.printed}" for check in audit.readings[0].checks if check.stated]
    if stated:
        yield from wrap(f"stated: {'; '.join(stated)}", WIDTH)


def _verdict(audit: Audit) -> str:
    of_run, tried = audit.run is not None, len(audit.readings)
    told = f"{tried} readings were tried" if tried > 1 else "one reading"
    if tried > MOST_READINGS:
        told += "; with so many, one may fit by chance"
    match audit.verdict:
        case Verdict.ONLY_IF:
            said = f"CONSISTENT ONLY IF {audit.only_if}"
        case Verdict.CONSISTENT:
            said = "CONSISTENT: what is claimed and logged follows" if of_run else "CONSISTENT as printed"
        case Verdict.WITH_ROUNDING:
            said = f"CONSISTENT within the digits that are {'claimed and logged' if of_run else 'printed'}"
        case Verdict.INCONSISTENT if of_run:
            wrong = dict.fromkeys(_label(check.name) for check in audit.readings[0].contradictions)
            said = f"INCONSISTENT: {', '.join(wrong)}"
        case Verdict.INCONSISTENT:
            said = "INCONSISTENT under every reading that was tried"
        case Verdict.UNDERDETERMINED:
            said = f"UNDERDETERMINED: {audit.missing}"
    return f"{said}." if of_run else f"{said} ({told})."


def _strongest(audit: Audit) -> str:
    """The reading that contradicts most, in a sentence."""
    if audit.contrary is None:
        return ""
    reading, check = audit.contrary
    ratio = check.ratio
    assert ratio is not None
    if 1 / LARGEST_PERCENTAGE < ratio < LARGEST_PERCENTAGE:
        apart = abs(ratio - 1)
        share = f"{apart:.1%}" if apart >= LEAST_IN_TENTHS else f"{100 * apart:.2g}%"
        times = f"{share} {'more' if ratio > 1 else 'fewer'}"
    else:
        times = f"{ratio:.2g} times as many" if ratio > 1 else f"{1 / ratio:.2g} times fewer"
    return f"Read otherwise ({reading.name}), {check.name} come to {scaled(check.derived.point)}: {times}."


def _by_check(readings: Sequence[Reading]) -> Iterator[str]:
    """Each number of a claim under every reading that has it."""
    for name in dict.fromkeys(check.name for reading in readings for check in reading.checks):
        mine = [(reading.name, check) for reading in readings for check in reading.checks if check.name == name]
        stated = dict.fromkeys(check.printed for _, check in mine if check.printed is not None)
        yield ""
        yield f"{name}, stated {' or '.join(map(str, stated))}" if stated else name
        rows = [(title, scaled(check.derived.point), _agreement(check), f"= {check.how}") for title, check in mine]
        yield from _table(rows, "<><<", least=(0, 0, 8))


def _by_reading(readings: Sequence[Reading]) -> Iterator[str]:
    """All numbers of a run, under one reading after the other."""
    for reading in readings:
        yield ""
        if len(readings) > 1:
            yield reading.name
        rows = [
            (
                _label(check.name),
                f"logged {check.printed}" if check.is_logged else check.printed or "",
                _derived(check),
                _agreement(check),
                check.how,
            )
            for check in reading.checks
        ]
        if not rows:
            yield "  nothing follows from what was read"
        else:
            yield from _table([("", "claimed", "derived", "", "how"), *rows], "<>><<")


def _table(rows: Sequence[Sequence[str]], align: str, least: Sequence[int] = ()) -> Iterator[str]:
    """Rows of cells in columns, the last as long as it is."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(align) - 1)]
    widths = [max(width, *least[at : at + 1], 0) for at, width in enumerate(widths)] + [0]
    for row in rows:
        cells = (f"{cell:{side}{width}}" for cell, side, width in zip(row, align, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()


def _agreement(check: Check) -> str:
    return AGREEMENTS[check.agreement] if check.agreement else ""


def _label(name: str) -> str:
    """A number's name as text."""
    return "MFU" if name == "mfu" else name.replace("_", " ")


def _derived(check: Check) -> str:
    """A derived number of a run: counts in full, however large."""
    point = check.derived.point
    if check.name == "mfu":
        return scaled(point) if point > 100 else f"{scaled(point * 100)} %"
    if point >= LARGEST_IN_FULL:
        return short(point)
    return number(point if point.denominator == 1 or point < 1000 else Fraction(round(point)))


def _suspects(suspects: Sequence[Suspect]) -> Iterator[str]:
    if not suspects:
        return  # no single change of a known kind would do
    yield from ("", "One change that would close it, the likeliest first")
    yield from (f"  {suspect.rank:>2}  {suspect.told}" for suspect in suspects[:MOST_SUSPECTS])
    if len(suspects) > MOST_SUSPECTS:
        yield f"  and {len(suspects) - MOST_SUSPECTS} more with --json"
    if len(suspects) > 1 and suspects[1].rank == 1:
        yield "Nothing that is stated tells those of one rank apart."


def _history(run: FinishedRun) -> Iterator[str]:
    """Starts of the program, and steps that were made twice or that no line tells of."""
    count = len(run.segments)
    if count > 1:
        yield ""
        yield f"{count} segments, {count - 1} restart{'s' * (count > 2)}"
        for at, segment in enumerate(run.segments[:MOST_SEGMENTS]):
            yield f"  {at}: steps {segment.steps.first:,} to {segment.steps.last:,}  ({segment.where})"
        if count > MOST_SEGMENTS:
            yield f"  and {count - MOST_SEGMENTS:,} more with --json"
    yield from _spans("made twice", run.overlaps)
    yield from _spans("without a line", run.gaps)


def _spans(what: str, spans: Sequence[Span]) -> Iterator[str]:
    if not spans:
        return
    told = ", ".join(f"{span.first:,}–{span.last:,}" for span in spans[:MOST_SEGMENTS])
    more = f" and {len(spans) - MOST_SEGMENTS:,} more" if len(spans) > MOST_SEGMENTS else ""
    total = sum(span.length for span in spans)
    yield ""
    yield f"{total:,} step{'s' * (total != 1)} {what}: {told}{more}"
