"""The audit of a text: the verdict, the text with each number's role under it, and what follows from them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dist_epochs.audit.sentence.audited import SentenceAudit
from dist_epochs.audit.sentence.reading import Found
from dist_epochs.render.audit import audit_text
from dist_epochs.render.audit_markdown import audit_markdown
from dist_epochs.render.markdown import bullets, markdown_table, quoted
from dist_epochs.render.wrapping import COLUMNS, paragraph, width_of

__all__ = ["sentence_markdown", "sentence_text"]

WIDTH = COLUMNS - 2
MOST_LINES = 60
"""Lines of a text that are repeated; of a longer one, those with facts."""
MOST_LINES_OF_A_SCREEN = 8
MOST_UNUSED = 60
MOST_UNUSED_OF_A_SCREEN = 6


def sentence_text(found: SentenceAudit, *, full: bool = False) -> str:
    """The audit of a text, for a terminal.

    Args:
        found: The audit.
        full: Whether everything is shown; else what fits into 24 rows, if the text is short enough.
    """
    reading = found.reading
    lines = [*_annotated(reading.given, reading.facts, MOST_LINES if full else MOST_LINES_OF_A_SCREEN, full)]
    unused = _unused(found, MOST_UNUSED if full else MOST_UNUSED_OF_A_SCREEN)
    return audit_text(found.audit, full=full, subject=[*lines, *paragraph(unused, "  ")] if unused else lines)


def sentence_markdown(found: SentenceAudit) -> str:
    """The audit of a text, for a review: the text, its facts, and the audit."""
    reading = found.reading
    rows = []
    for fact in reading.facts:
        data = fact.to_json()
        rows.append((_flat(fact.text), fact.role.replace("_", " "), _value(data["value"]), data["unit"] or ""))
    blocks = [[*quoted(reading.given)], markdown_table(("text", "is read as", "value", "unit"), rows, "<<><")]
    unused = _unused(found, MOST_UNUSED)
    blocks += [bullets([unused])] if unused else []
    return audit_markdown(found.audit, ["\n\n".join("\n".join(block) for block in blocks if block)])


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return " to ".join(map(_value, value))
    return f"{value:,.12g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _unused(found: SentenceAudit, most: int) -> str:
    """The numbers that are no facts, each with what it is."""
    unused = found.reading.unused
    told = "; ".join(f"{_flat(number.text)} ({number.why})" for number in unused[:most])
    more = f" and {len(unused) - most:,} more" if len(unused) > most else ""
    return f"Not used: {told}{more}." if unused else ""


def _flat(text: str) -> str:
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
            role = fact.role.replace("_", " ")
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
