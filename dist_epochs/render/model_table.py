"""A table of models as text: how many contradict, then each model under its verdict, and what was not understood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dist_epochs.arithmetic.text import percent, scaled
from dist_epochs.audit.check import Verdict
from dist_epochs.audit.model_table.audited import AuditedRow, TableAudit
from dist_epochs.render.verdicts import name_of
from dist_epochs.render.wrapping import COLUMNS, paragraph

__all__ = ["model_table_text"]

LONGEST_NAME = 44
MOST_NAMED = 8
"""Devices and cells that are named; the rest stands in the JSON."""

ORDER = (Verdict.INCONSISTENT, Verdict.ONLY_IF, Verdict.WITH_ROUNDING, Verdict.CONSISTENT, Verdict.UNDERDETERMINED)
"""In which models are shown."""


def model_table_text(found: TableAudit) -> str:
    """The audit of a table of models as text."""
    return "\n".join(_parts(found))


def _parts(found: TableAudit) -> Iterator[str]:
    counts = found.counts
    models = f"{len(found.rows):,} model{'s' * (len(found.rows) != 1)}"
    told = ", ".join(f"{counts[verdict]:,} {_counted(verdict)}" for verdict in ORDER if counts[verdict])
    yield from paragraph(f"{found.table.path}: {models}: {told}.")
    for verdict in ORDER:
        heading = name_of(verdict).upper()
        rows = [row for row in found.rows if row.audit.verdict is verdict]
        shown = [row for row in rows if _says_something(row)]
        if rows:
            yield ""
            yield f"{heading:<{LONGEST_NAME + 2}}  {'6·N·D·E ÷ compute':>17}  {'utilization':>11}" if shown else heading
        for row in shown:
            yield from _row(row)
        if len(shown) < len(rows):
            yield from _indented(_nothing(len(rows) - len(shown), len(shown)), "  ")
    yield from _not_understood(found)


def _counted(verdict: Verdict) -> str:
    return "consistent under a condition" if verdict is Verdict.ONLY_IF else name_of(verdict)


def _indented(text: str, indent: str, further: str = "") -> Iterator[str]:
    """Wrapped lines that are all indented, all but the first one further."""
    for line in paragraph(text, further, width=COLUMNS - len(indent)):
        yield indent + line


def _says_something(row: AuditedRow) -> bool:
    return bool(row.audit.readings[0].checks)


def _nothing(count: int, shown: int) -> str:
    others = "other " * bool(shown)
    return f"{count:,} {others}model{'s' * (count != 1)} without two numbers that say the same."


def _row(row: AuditedRow) -> Iterator[str]:
    name = row.row.name if len(row.row.name) <= LONGEST_NAME else f"{row.row.name[: LONGEST_NAME - 1]}…"
    factor = scaled(row.factor) if row.factor is not None else ""
    share = percent(row.utilization) if row.utilization is not None else ""
    yield f"  {name:<{LONGEST_NAME}}  {factor:>17}  {share:>11}".rstrip()
    yield from _indented(row.settled_by, "    ") if row.settled_by else ()


def _not_understood(found: TableAudit) -> Iterator[str]:
    if found.missing:
        yield ""
        yield from paragraph(f"Columns that are not there: {', '.join(found.missing)}.")
    if found.unknown:
        yield ""
        yield from paragraph(f"Not in the table of devices: {_named(found.unknown)}.")
    cells = [f"line {row.row.line}, {row.row.name}: {said}" for row in found.rows for said in row.row.problems]
    if cells:
        yield ""
        yield f"Not read, {len(cells):,} cell{'s' * (len(cells) != 1)}:"
        for cell in cells[:MOST_NAMED]:
            yield from _indented(cell, "  ", "  ")
        if len(cells) > MOST_NAMED:
            yield f"  and {len(cells) - MOST_NAMED:,} more with --json"


def _named(unknown: Mapping[str, int]) -> str:
    shown = [f"{name} ({count})" if count > 1 else name for name, count in unknown.items()]
    rest = len(shown) - MOST_NAMED
    return ", ".join(shown[:MOST_NAMED]) + (f", and {rest} more with --json" if rest > 0 else "")
