"""The losses of a run over steps, tokens and epochs: of training and of evaluations, as lines and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import isfinite

from dist_epochs.arithmetic.text import number, scaled, short
from dist_epochs.ledger.steps import LoggedRow
from dist_epochs.report import svg
from dist_epochs.report.document import section, with_table
from dist_epochs.report.html import Content, Markup

__all__ = ["losses_section"]

TRAINING, EVALUATION = "training loss", "loss on held-out documents"
AXES = (("steps", "step"), ("tokens", "tokens"), ("epochs", "epoch"))
"""What a loss is drawn over, and where a row has it."""
MOST_POINTS = 500
"""Points of a line; of more, each stretch shows its least and its largest."""
MOST_ROWS = 12
"""Rows of the table from each line, of the first to the last."""


def losses_section(rows: Iterable[LoggedRow]) -> Iterator[Markup]:
    """Nothing where no two losses were logged.

    Args:
        rows: What was logged, by step.
    """
    series: dict[str, list[LoggedRow]] = {TRAINING: [], EVALUATION: []}
    for row in rows:
        if row.loss is not None and isfinite(row.loss):
            series[TRAINING].append(row)
        if row.evaluation_loss is not None and isfinite(row.evaluation_loss):
            series[EVALUATION].append(replace(row, loss=row.evaluation_loss))
    known = {label: mine for label, mine in series.items() if mine}
    drawn = {label: _thinned(mine) for label, mine in known.items()}
    plots = []
    for axis, name in AXES:
        lines = [svg.Line(label, _points(mine, name)) for label, mine in drawn.items()]
        if any(len(line.points) > 1 for line in lines):
            plots.append(svg.lines(f"Loss over {axis}", [line for line in lines if line.points], axis))
    if plots:
        header = ["step", "tokens", "epoch", *known]
        yield section("Loss", plots[:-1], with_table(plots[-1], header, _cells(list(known.values()))))


def _loss(row: LoggedRow) -> float:
    assert row.loss is not None
    return row.loss


def _points(rows: Sequence[LoggedRow], axis: str) -> list[tuple[float, float]]:
    return [(float(x), _loss(row)) for row in rows if (x := getattr(row, axis)) is not None]


def _thinned(rows: Sequence[LoggedRow]) -> list[LoggedRow]:
    """The least and the largest loss of each of so many stretches, in order."""
    if len(rows) <= MOST_POINTS:
        return list(rows)
    size = -(-2 * len(rows) // MOST_POINTS)
    kept: list[LoggedRow] = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        ends = {id(row): row for row in (min(part, key=_loss), max(part, key=_loss))}
        kept += sorted(ends.values(), key=lambda row: row.step)
    return kept


def _cells(series: Sequence[Sequence[LoggedRow]]) -> Iterator[list[Content]]:
    """Steps along each line, with every loss that was logged at them."""
    by_step = [{row.step: row for row in mine} for mine in series]
    for step in sorted({row.step for mine in series for row in _some(mine)}):
        found = [mine.get(step) for mine in by_step]
        row = next(row for row in found if row is not None)
        yield [
            number(step),
            "" if row.tokens is None else short(row.tokens),
            "" if row.epoch is None else scaled(row.epoch),
            *("" if row is None else f"{_loss(row):.4f}" for row in found),
        ]


def _some(rows: Sequence[LoggedRow]) -> list[LoggedRow]:
    """The first, the last, and evenly many between them."""
    last = len(rows) - 1
    return list(rows) if last < MOST_ROWS else [rows[n * last // (MOST_ROWS - 1)] for n in range(MOST_ROWS)]
