"""The audit of a text: the verdict, the text with each number's role under it, and what follows from them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dist_epochs.audit.sentence.audited import SentenceAudit
from dist_epochs.audit.sentence.reading import Found
from dist_epochs.names import in_words
from dist_epochs.render.audit import audit_text
from dist_epochs.render.wrapping import COLUMNS, paragraph, width_of

__all__ = ["flat", "sentence_text", "unused_text"]

WIDTH = COLUMNS - 2
MOST_LINES = 60
"""Lines of a text that are repeated; of a longer one, those with facts."""
MOST_LINES_OF_A_SCREEN = 6
MOST_UNUSED = 60
"""Numbers that are no facts and are listed."""
MOST_UNUSED_OF_A_SCREEN = 6


def sentence_text(found: SentenceAudit, *, full: bool = False) -> str:
    """The audit of a text, for a terminal.

    Args:
        found: The audit.
        full: Whether everything is shown; else what fits into 24 rows, if the text is short enough.
    """
    reading = found.reading
    lines = [*_annotated(reading.given, reading.facts, MOST_LINES if full else MOST_LINES_OF_A_SCREEN, full)]
    unused = unused_text(found, MOST_UNUSED if full else MOST_UNUSED_OF_A_SCREEN)
    return audit_text(found.audit, full=full, subject=[*lines, *paragraph(unused, "  ")] if unused else lines)


def unused_text(found: SentenceAudit, most: int = MOST_UNUSED) -> str:
    """The numbers that are no facts, each with what it is."""
    unused = found.reading.unused
    told = "; ".join(f"{flat(number.text)} ({number.why})" for number in unused[:most])
    more = f" and {len(unused) - most:,} more" if len(unused) > most else ""
    return f"Not used: {told}{more}." if unused else ""


def flat(text: str) -> str:
    """A part of the text on one line."""
    return re.sub(r"\s+", " ", text).strip()


def _annotated(text: str, facts: Sequence[Found], most: int, full: bool) -> Iterator[str]:
    """The lines of a text, each with the roles of its numbers under it."""
    lines = [*_lines(text)]
    if len(lines) > most:
        lines = [(start, line) for start, line in lines if any(start <= at.start < start + len(line) for at in facts)]
    shown = lines if full else lines[:most]
    for start, line in shown:
        here = [fact for fact in facts if start <= fact.start < start + len(line)]
        yield line.replace("\t", " ")
        rows: list[str] = []
        for fact in here:
            role = in_words(fact.role)
            column = min(width_of(line[: fact.start - start]), COLUMNS - len(role))
            row = next((at for at, row in enumerate(rows) if len(row) < column), len(rows))
            if row == len(rows):
                rows.append("")
            rows[row] = f"{rows[row]:<{column}}{role}"
        yield from rows
    if len(lines) > len(shown):
        yield f"({len(lines) - len(shown):,} more lines with numbers: --full)"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The text in lines that fit, each with the place of its first character."""
    start = 0
    for line in text.splitlines(keepends=True):
        place, rest = start, line.rstrip("\r\n")
        start += len(line)
        while width_of(rest) > WIDTH:
            cut = next(at for at in range(len(rest) + 1) if width_of(rest[:at]) > WIDTH) - 1
            space = rest.rfind(" ", 1, cut + 1)
            cut = space + 1 if space > 0 else max(cut, 1)
            yield place, rest[:cut].rstrip()
            place, rest = place + cut, rest[cut:]
        if rest.strip():
            yield place, rest
