"""An audit as text of 80 columns: the verdict first, then what a screen holds of the rest, or all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from dist_epochs.audit.check import Verdict
from dist_epochs.audit.records.record import FinishedRun
from dist_epochs.audit.suspects import Suspect
from dist_epochs.audit.verdict import Audit
from dist_epochs.render.audit_rows import (
    BESIDE,
    DISPUTED,
    FURTHER,
    MOST_SEGMENTS,
    NEVER,
    SECOND,
    Row,
    history_of,
    rows_of,
    strongest,
    tried,
    verdict_words,
)
from dist_epochs.render.wrapping import COLUMNS, paragraph, wrapped_table

__all__ = ["audit_text", "audits_text"]

MOST_ROWS = 23
"""A terminal opens with 24, and the last one is the prompt's."""
LEAST_ROWS = 8
"""Rows that are left for the arithmetic below a long text."""
MOST_SUSPECTS = 6
MOST_SEGMENTS_OF_A_SCREEN = 2
INDENT = "  "


class _Part(NamedTuple):
    """Something that is shown if there is room: a row of the table, or lines below it.

    Attributes:
        kind: What it is called when it is left out: `row`, `note`, `change`.
        importance: The most important have the least.
        content: The row, or the lines.
    """

    kind: str
    importance: int
    content: Row | tuple[str, ...]


def audit_text(audit: Audit, *, full: bool = False, subject: Sequence[str] | None = None) -> str:
    """A claim, a text or a finished run: the verdict, what it is of, and the arithmetic.

    Args:
        audit: The audit.
        full: Whether everything is shown; else what fits into 24 rows, the most important first.
        subject: What was audited, in lines that fit. Default: where the claim or the run is found.
    """
    head = [*_verdict(audit, full), "", *(paragraph(audit.heading, INDENT) if subject is None else subject)]
    parts = [*_parts(audit, full)]
    if full:
        return "\n".join([*head, *_body(audit, parts, parts, full=True)])
    most = max(MOST_ROWS - len(head), LEAST_ROWS)
    by_importance = sorted((part for part in parts if part.importance < NEVER), key=lambda part: part.importance)
    count = _most_that_fit(len(by_importance), lambda count: _body(audit, by_importance[:count], parts), most)
    return "\n".join([*head, *_body(audit, by_importance[:count], parts)])


def _most_that_fit(parts: int, body: Callable[[int], Sequence[str]], most: int) -> int:
    """How many parts fit into so many lines, at least one."""
    low, high = 1, parts
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(body(middle)) <= most else (low, middle - 1)
    return min(low, parts)


def audits_text(audits: Sequence[Audit]) -> str:
    """All claims, a line each."""
    rows = [(audit.id, str(audit.verdict), audit.only_if or "") for audit in audits]
    verdicts = max(len(verdict) for verdict in Verdict)
    rows = [(name, f"{verdict:<{verdicts}}", only_if) for name, verdict, only_if in rows]
    return "\n".join(line for lines in wrapped_table(rows, "<<<", wraps="--w") for line in lines)


def _verdict(audit: Audit, full: bool) -> Iterator[str]:
    word, rest = verdict_words(audit)
    yield from paragraph(f"{word}{'' if rest.startswith(':') else ' '}{rest}.", INDENT)
    beside = f"Beside that, {audit.missing}." if audit.missing and audit.verdict is not Verdict.UNDERDETERMINED else ""
    rest = " ".join(said for said in (strongest(audit), beside) if said)
    for said in (rest, tried(audit, full)):
        yield from paragraph(said) if said else ()


def _parts(audit: Audit, full: bool) -> Iterator[_Part]:
    """All that may be shown, in its order."""
    for rows in rows_of(audit):
        yield from (_Part("row", row.importance, row) for row in rows if full or not row.repeats)
    yield from _suspects(audit.suspects, full)
    if audit.unsearched:
        told = f"Not searched for slips: {'; '.join(audit.unsearched)}."
        yield _Part("note", FURTHER, tuple(paragraph(told, INDENT)))
    if audit.run is not None:
        yield from (_Part("note", DISPUTED, tuple(lines)) for lines in _history(audit.run, full))
    for at, note in enumerate(audit.notes):
        lines = paragraph(note) if full else paragraph(f"- {note}", INDENT)
        yield _Part("note", (BESIDE, SECOND)[at] if at < 2 else FURTHER, tuple(lines))


def _body(audit: Audit, shown: Sequence[_Part], parts: Sequence[_Part], *, full: bool = False) -> list[str]:
    """The table and what is below it, of the parts that are shown, and what is not."""
    chosen = {id(part) for part in shown}
    rows = [part.content for part in parts if id(part) in chosen and isinstance(part.content, Row)]
    below = [part for part in parts if id(part) in chosen and not isinstance(part.content, Row)]
    lines = ["", *_table(audit, rows)] if rows else []
    if not any(isinstance(part.content, Row) for part in parts) and audit.run is not None:
        lines += ["", "  nothing follows from what was read"]
    previous = ""
    for part in below:
        assert not isinstance(part.content, Row)
        if not previous or full or part.kind != previous:
            lines.append("")
        lines += part.content
        previous = part.kind
    left = [part.kind for part in parts if id(part) not in chosen]
    if left:
        counts = {kind: left.count(kind) for kind in dict.fromkeys(left)}
        told = ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items())
        lines.append(f"({told} more: --full)")
    return lines


def _table(audit: Audit, rows: Sequence[Row]) -> Iterator[str]:
    header = ("", "stated" if audit.run is None else "claimed", "derived", "", "how")
    cells: list[tuple[str, ...]] = []
    last, stated = "", ""
    for at, row in enumerate(rows):
        told = (row.stated, row.derived, row.agreement, row.how)
        is_alone = row.number != last and (at + 1 == len(rows) or rows[at + 1].number != row.number)
        if row.number == last and row.reading:
            cells.append((f"  {row.reading}", row.stated if row.stated != stated else "", *told[1:]))
        elif not row.reading:
            cells.append((row.number, *told))
        elif is_alone:
            cells.append((row.number if row.number == row.reading else f"{row.number} ({row.reading})", *told))
        else:
            cells += [(row.number, "", "", "", ""), (f"  {row.reading}", *told)]
        last, stated = row.number, row.stated
    if not any(row.stated for row in rows):
        header = (header[0], "", *header[2:])
    for lines in wrapped_table([header, *cells], "<>><<", wraps="ww--w"):
        yield from lines


def _suspects(suspects: Sequence[Suspect], full: bool) -> Iterator[_Part]:
    """Single changes that would close the contradictions: the likeliest, or some more."""
    if full and suspects:
        lines = ["One change that would close it, the likeliest first"]
        for suspect in suspects[:MOST_SUSPECTS]:
            lines += [
                f"  {line}" for line in paragraph(f"{suspect.rank}. {suspect.told}", "   ", width=COLUMNS - len(INDENT))
            ]
        if len(suspects) > MOST_SUSPECTS:
            lines.append(f"  and {len(suspects) - MOST_SUSPECTS} more with --json")
        if len(suspects) > 1 and suspects[1].rank == 1:
            lines.append("Nothing that is stated tells those of one rank apart.")
        yield _Part("change", BESIDE, tuple(lines))
        return
    for at, suspect in enumerate(suspects[:MOST_SUSPECTS]):
        first = "One change would close it" if at == 0 else "Or, as likely"
        importance = BESIDE if at == 0 else SECOND if suspect.rank == 1 else NEVER
        yield _Part("change", importance, tuple(paragraph(f"{first}: {suspect.told}.", INDENT)))


def _indented(text: str) -> list[str]:
    """The lines of a numbered text below its title."""
    return [INDENT + line for line in paragraph(text, "   ", width=COLUMNS - len(INDENT))]


def _history(run: FinishedRun, full: bool) -> Iterator[list[str]]:
    for title, rows in history_of(run):
        most = MOST_SEGMENTS if full else MOST_SEGMENTS_OF_A_SCREEN
        lines = paragraph(title if full else f"- {title}", INDENT)
        for row in rows[:most]:
            lines += _indented(row)
        if len(rows) > most:
            lines.append(f"  and {len(rows) - most:,} more with {'--json' if full else '--full'}")
        yield lines
