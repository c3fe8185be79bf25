"""The audit of a text: the text with each number's role under it, the numbers that were not used, and the verdict."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from textwrap import wrap

from dist_epochs.audit.sentence.audited import SentenceAudit
from dist_epochs.audit.sentence.reading import Found
from dist_epochs.render.audit import audit_text

__all__ = ["sentence_text"]

WIDTH = 78
MOST_LINES = 60
"""Lines of a text that are repeated; of a longer one, those with facts."""


def sentence_text(found: SentenceAudit) -> str:
    """The audit of a text, for a terminal."""
    reading = found.reading
    parts = [*_annotated(reading.given, reading.facts), ""]
    if reading.unused:
        told = "; ".join(f"{_flat(number.text)} ({number.why})" for number in reading.unused[:MOST_LINES])
        more = len(reading.unused) - MOST_LINES
        parts += [*wrap(f"Not used: {told}{f' and {more:,} more' if more > 0 else ''}.", WIDTH), ""]
    return "\n".join([*parts, audit_text(found.audit)])


def _flat(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _annotated(text: str, facts: Sequence[Found]) -> Iterator[str]:
    """The lines of a text, each with the roles of its numbers under it."""
    lines = [*_lines(text)]
    is_long = len(lines) > MOST_LINES
    for start, line in lines:
        here = [fact for fact in facts if start <= fact.start < start + len(line)]
        if is_long and not here:
            continue
        yield line.replace("\t", " ")
        rows: list[str] = []
        for fact in here:
            column = _width(line[: fact.start - start])
            row = next((at for at, row in enumerate(rows) if len(row) < column), len(rows))
            if row == len(rows):
                rows.append("")
            rows[row] = f"{rows[row]:<{column}}{fact.role.replace('_', ' ')}"
        yield from rows


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The text in lines that fit, each with the place of its first character."""
    start = 0
    for line in text.splitlines(keepends=True):
        place, rest = start, line.rstrip("\r\n")
        start += len(line)
        while _width(rest) > WIDTH:
            cut = next(at for at in range(len(rest) + 1) if _width(rest[:at]) > WIDTH) - 1
            space = rest.rfind(" ", 1, cut + 1)
            cut = space + 1 if space > 0 else max(cut, 1)
            yield place, rest[:cut].rstrip()
            place, rest = place + cut, rest[cut:]
        if rest.strip():
            yield place, rest


def _width(text: str) -> int:
    """Columns of a text: characters of Chinese, Japanese and Korean take two."""
    return len(text) if text.isascii() else sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)
