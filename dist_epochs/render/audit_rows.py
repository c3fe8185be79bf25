"""What an audit says, as words and cells: the same for a terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf, log

from dist_epochs.arithmetic.agreement import Agreement
from dist_epochs.arithmetic.text import number, precise, scaled, short
from dist_epochs.audit.check import Check, Reading, Verdict
from dist_epochs.audit.records.record import FinishedRun
from dist_epochs.audit.verdict import Audit
from dist_epochs.names import in_words
from dist_epochs.render.verdicts import word_of

__all__ = [
    "BESIDE",
    "DISPUTED",
    "FURTHER",
    "MOST_SEGMENTS",
    "NEVER",
    "SECOND",
    "Row",
    "history_of",
    "rows_of",
    "strongest",
    "tried",
    "verdict_words",
]

MOST_READINGS = 5
"""With more, one may fit by chance, and the text says so."""
LARGEST_PERCENTAGE = 1.5
"""Numbers that are further apart are told as so many times more or fewer, nearer ones in percent."""
LEAST_IN_TENTHS = 0.0005
"""Smaller shares would be shown as 0.0 per cent."""
LARGEST_IN_FULL = 10**18
MOST_SEGMENTS = 8

DECIDES, BESIDE, DISPUTED, STATED, DERIVED, SECOND, ASSUMED, FURTHER, NEVER = range(9)
"""What is kept first where room is short: what the verdict turns on; the printed reading beside it, the best change and
the first note; other contradictions, and restarts; what is stated and agrees; what merely follows; the second note and
changes that are as likely; what other readings assume; further notes; and what only the whole text holds."""

AGREEMENTS = {
    Agreement.EXACT: "exact",
    Agreement.ROUNDS: "rounds",
    Agreement.OVERLAPS: "overlaps",
    Agreement.CONTRADICTS: "no",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One number under one reading.

    Attributes:
        number: The number's name.
        reading: The reading's name; empty for the literal one.
        stated: What is stated, claimed or logged, if anything is.
        derived: What comes out.
        agreement: How they agree: `exact`, `rounds`, `overlaps`, `no`; empty if nothing is stated.
        how: The arithmetic.
        importance: How much a reader needs it, the most at 0.
        repeats: Whether the literal reading has the same row.
    """

    number: str
    reading: str
    stated: str
    derived: str
    agreement: str
    how: str
    importance: int
    repeats: bool = False


def verdict_words(audit: Audit) -> tuple[str, str]:
    """The verdict in capitals, and what it says, as the rest of its sentence."""
    return word_of(audit.verdict).upper(), _condition(audit)


def _condition(audit: Audit) -> str:
    """What follows the verdict: its condition, what contradicts, or what is missing."""
    of_run = audit.run is not None
    match audit.verdict:
        case Verdict.ONLY_IF:
            return audit.only_if or ""
        case Verdict.CONSISTENT:
            return ": what is claimed and logged follows" if of_run else "as printed"
        case Verdict.WITH_ROUNDING:
            return f"within the digits that are {'claimed and logged' if of_run else 'printed'}"
        case Verdict.INCONSISTENT:
            return f": {'; '.join(dict.fromkeys(map(_off, audit.readings[0].contradictions)))}"
        case Verdict.UNDERDETERMINED:
            return f": {audit.missing}"


def _off(check: Check) -> str:
    """A number that is not what is stated."""
    if check.stated is None:
        return f"{in_words(check.name)} ({_derived(check, in_full=True)} is not {check.printed})"
    by = "logged" if check.is_logged else "stated" if check.formula is not None else "claimed"
    derived = _derived(check, in_full=check.formula is None)
    return f"{in_words(check.name)} ({check.printed} {by}, {derived} derived)"


def strongest(audit: Audit) -> str:
    """The reading of a claim that contradicts most, in a sentence; empty if there is none to tell of."""
    if audit.contrary is None or audit.run is not None:
        return ""
    reading, check = audit.contrary
    ratio = check.ratio
    assert ratio is not None
    if 1 / LARGEST_PERCENTAGE < ratio < LARGEST_PERCENTAGE:
        apart = abs(ratio - 1)
        share = f"{apart:.1%}" if apart >= LEAST_IN_TENTHS else f"{100 * apart:.2g}%"
        times = f"{share} {'more' if ratio > 1 else 'fewer'}"
    else:
        times = f"{_times(ratio)} times as many" if ratio > 1 else f"{_times(1 / ratio)} times fewer"
    return f"Read otherwise ({reading.name}), {in_words(check.name)} come to {scaled(check.derived.point)}: {times}."


def _times(ratio: float) -> str:
    """A factor in two digits, large ones whole."""
    return f"{ratio:.2g}" if ratio < 100 else f"{ratio:,.0f}" if ratio < LARGEST_IN_FULL else f"{ratio:.2g}"


def tried(audit: Audit, full: bool) -> str:
    """How many readings of a claim were tried, where that says more than its table."""
    wrong = Verdict.INCONSISTENT
    count = len(audit.readings)
    if count == 1 or audit.run is not None or not (full or count > MOST_READINGS or audit.verdict is wrong):
        return ""
    chance = "; with so many, one may fit by chance" if count > MOST_READINGS else ""
    if audit.verdict is wrong:
        return f"None of the {count} readings that were tried settles it{chance}."
    return f"{count} readings were tried{chance}."


def rows_of(audit: Audit) -> list[list[Row]]:
    """The rows of each number, the literal reading's first.

    Numbers that the verdict turns on come first, the furthest apart at once; then those that are stated, then those
    that merely follow, each as the audit has them.
    """
    names = dict.fromkeys(check.name for reading in audit.readings for check in reading.checks)
    groups = []
    for name in names:
        mine = [(reading, check) for reading in audit.readings for check in reading.checks if check.name == name]
        groups.append((_urgency(audit, [check for _, check in mine]), _rows(audit, mine)))
    groups.sort(key=lambda group: group[0])
    return [rows for _, rows in groups]


def _urgency(audit: Audit, checks: list[Check]) -> tuple[int, float]:
    apart = [_distance(check) for check in checks if check.contradicts]
    if apart and audit.verdict in (Verdict.ONLY_IF, Verdict.INCONSISTENT):
        return 0, -max(apart)
    return (1, 0.0) if any(check.printed for check in checks) else (2, 0.0)


def _distance(check: Check) -> float:
    """How far a number is from what is stated, as a logarithm."""
    return abs(log(check.ratio)) if check.ratio and check.ratio > 0 else inf


def _rows(audit: Audit, mine: list[tuple[Reading, Check]]) -> list[Row]:
    first, *others = (_row(audit, reading, check) for reading, check in mine)
    same = replace(first, reading="", importance=DECIDES)
    others = [replace(row, repeats=replace(row, reading="", importance=DECIDES) == same) for row in others]
    if first.reading and first.stated:  # of a number that only other readings have, each of them tells
        first, *others = (replace(row, importance=min(row.importance, DISPUTED)) for row in (first, *others))
    elif any(row.importance == DECIDES and not row.repeats for row in others):
        first = replace(first, importance=min(first.importance, BESIDE))
    return [first, *others]


def _row(audit: Audit, reading: Reading, check: Check) -> Row:
    is_disputed = any(each.name == check.name for other in audit.readings for each in other.contradictions)
    settles = is_disputed and audit.only_if is not None and not reading.is_contradicted
    is_contrary = audit.contrary is not None and check is audit.contrary[1]
    if is_contrary or settles or (reading.literal and check.contradicts):
        importance = DECIDES
    elif check.contradicts:
        importance = DISPUTED
    elif not reading.literal:
        importance = ASSUMED
    else:
        importance = STATED if check.printed else DERIVED
    return Row(
        number=in_words(check.name),
        reading="" if reading.literal else reading.name,
        stated=_stated(check),
        derived=_derived(check, in_full=audit.run is not None),
        agreement=AGREEMENTS[check.agreement] if check.agreement else "",
        how=check.how,
        importance=importance,
    )


def _stated(check: Check) -> str:
    """What is stated, without the unit if the number is called by it; or the rule that is broken."""
    number, _, unit = (check.printed or "").rpartition(" ")
    is_said = unit in check.name.split() and number[-1:].isalnum() and "=" not in number
    told = number if is_said else check.printed or ""
    return f"logged {told}" if check.is_logged else told


def history_of(run: FinishedRun) -> Iterator[tuple[str, list[str]]]:
    """Starts of the program, each with its steps; and steps that were made twice or that no line tells of."""
    count = len(run.segments)
    if count > 1:
        rows = [
            f"{at}: steps {segment.steps.first:,} to {segment.steps.last:,} ({segment.where})"
            for at, segment in enumerate(run.segments)
        ]
        yield f"{count} segments, {count - 1} restart{'s' * (count > 2)}", rows
    for what, spans in (("made twice", run.overlaps), ("without a line", run.gaps)):
        total = sum(span.length for span in spans)
        told = ", ".join(f"{span.first:,}–{span.last:,}" for span in spans[:MOST_SEGMENTS])
        more = f" and {len(spans) - MOST_SEGMENTS:,} more" if len(spans) > MOST_SEGMENTS else ""
        if spans:
            yield f"{total:,} step{'s' * (total != 1)} {what}: {told}{more}", []


def _derived(check: Check, in_full: bool) -> str:
    """A derived number: of a run, counts in full, however large; of a claim in four digits, if these tell it apart."""
    point = check.derived.point
    if not in_full:
        told = scaled(point)
        return precise(point) if check.contradicts and check.printed and check.printed.startswith(told) else told
    if check.name == "mfu":
        return scaled(point) if point > 100 else f"{scaled(point * 100)} %"
    if point >= LARGEST_IN_FULL:
        return short(point)
    return number(point if point.denominator == 1 or point < 1000 else Fraction(round(point)))
