"""What two runs logged: the first row whose learning rate or loss differs, and the loss against tokens."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dist_epochs.audit.compare.evidence import ComparedRun
from dist_epochs.audit.compare.samples import FirstDifference
from dist_epochs.ledger.steps import LoggedRow
from dist_epochs.names import in_words

__all__ = ["LogsCompared", "LossCurve", "compare_logs"]

WRITTEN = 1e-9
"""Relative difference of two learning rates up to which they are one: a float that was computed in two ways."""
LOGGED_EPOCH = 6e-3
"""Difference of two epochs up to which they are one: a Trainer before version 5 logs two decimals."""
POINTS = 4
"""Parts of the axis over which losses are averaged: single rows are noisy."""
MOST_ROWS = 1 << 14


@dataclass(frozen=True, kw_only=True, slots=True)
class LossCurve:
    """Mean losses over equal parts of what both runs have behind them.

    Attributes:
        unit: `tokens`, or `steps` where a run does not say at how many tokens it was.
        ends: Where each part ends.
        a: Mean loss of the first run in each part; None where it logged nothing there.
        b: Of the second run.
    """

    unit: str
    ends: tuple[int, ...]
    a: tuple[float | None, ...]
    b: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogsCompared:
    """Rows that both runs logged, by step.

    Attributes:
        rows: How many.
        rate: The first whose learning rate differs.
        epoch: The first whose epoch differs: the same step has drawn another share of the data.
        loss: The first whose loss differs at all.
        largest: The largest relative difference of two losses; None without any.
        tell_rates: Whether the first, and whether the second run logged its learning rate.
        curve: Their losses against tokens, whatever the steps; None where one of them logged none.
    """

    rows: int = 0
    rate: FirstDifference | None = None
    epoch: FirstDifference | None = None
    loss: FirstDifference | None = None
    largest: float | None = None
    tell_rates: tuple[bool, bool] = (False, False)
    curve: LossCurve | None = None

    @property
    def first(self) -> FirstDifference | None:
        """The earliest of them; of one step the learning rate before the loss."""
        found = [each for each in (self.rate, self.epoch, self.loss) if each is not None]
        return min(found, key=lambda each: each.step, default=None)


class _Kept:
    """Passes rows on, and keeps of those with a loss some thousands, evenly."""

    def __init__(self) -> None:
        self.rows: list[LoggedRow] = []
        self.tells_rate = False
        self._seen, self._every = 0, 1
        self._last: LoggedRow | None = None

    def passing(self, rows: Iterable[LoggedRow]) -> Iterator[LoggedRow]:
        """The rows as they come."""
        for row in rows:
            self.tells_rate |= row.learning_rate is not None
            if row.loss is not None:
                self._keep(row)
            yield row
        if self._last is not None and self.rows[-1] is not self._last:
            self.rows.append(self._last)

    def _keep(self, row: LoggedRow) -> None:
        self._last = row
        if self._seen % self._every == 0:
            self.rows.append(row)
        self._seen += 1
        if len(self.rows) >= MOST_ROWS:
            self.rows, self._every = self.rows[::2], 2 * self._every


def compare_logs(a: ComparedRun, b: ComparedRun) -> LogsCompared:
    """Compare what was logged, in one reading of it.

    Raises:
        InputError: If a line of a ledger is damaged.
    """
    count, largest = 0, None
    first: dict[str, FirstDifference] = {}
    kept = _Kept(), _Kept()
    rows = [each.passing(run.logged()) for each, run in zip(kept, (a, b), strict=True)]
    for one, two in _at_same_steps(*rows):
        count += 1
        for name in ("learning_rate", "epoch", "loss"):
            here, there = getattr(one, name), getattr(two, name)
            if here is None or there is None:
                continue
            apart = _apart(here, there)
            if name == "loss":
                largest = max(largest or 0.0, apart)
            tolerance = {"learning_rate": WRITTEN, "epoch": LOGGED_EPOCH / max(here, there, LOGGED_EPOCH), "loss": 0}
            if apart > tolerance[name]:
                first.setdefault(name, FirstDifference(one.step, in_words(name), here, there))
    for each in rows:
        deque(each, maxlen=0)  # what one run logged after the other had ended
    return LogsCompared(
        rows=count, rate=first.get("learning_rate"), epoch=first.get("epoch"), loss=first.get("loss"), largest=largest,
        tell_rates=(kept[0].tells_rate, kept[1].tells_rate), curve=_curve(kept[0].rows, kept[1].rows),
    )  # fmt: skip


def _curve(*rows: list[LoggedRow]) -> LossCurve | None:
    """Losses at the same tokens; None where one run logged none."""
    if not all(rows):
        return None
    unit = "tokens" if all(row.tokens is not None for each in rows for row in each) else "steps"
    places = [[(row.tokens if unit == "tokens" else row.step) or 0 for row in each] for each in rows]
    end = min(each[-1] for each in places)
    if end <= 0:
        return None
    ends = tuple(sorted({max(1, end * part // POINTS) for part in range(1, POINTS + 1)}))
    a, b = (tuple(_means(zip(at, each, strict=True), ends)) for at, each in zip(places, rows, strict=True))
    return LossCurve(unit=unit, ends=ends, a=a, b=b)


def _apart(a: float, b: float) -> float:
    """The difference of two numbers, relative to the larger; 0 for two that are no numbers."""
    if math.isnan(a) and math.isnan(b):
        return 0.0
    if a == b:
        return 0.0
    largest = max(abs(a), abs(b))
    return abs(a - b) / largest if math.isfinite(largest) and not math.isnan(a - b) else math.inf


def _at_same_steps(a: Iterator[LoggedRow], b: Iterator[LoggedRow]) -> Iterator[tuple[LoggedRow, LoggedRow]]:
    here, there = next(a, None), next(b, None)
    while here is not None and there is not None:
        if here.step < there.step:
            here = next(a, None)
        elif there.step < here.step:
            there = next(b, None)
        else:
            yield here, there
            here, there = next(a, None), next(b, None)


def _means(rows: Iterable[tuple[int, LoggedRow]], ends: Sequence[int]) -> Iterator[float | None]:
    """The mean loss between each end and the one before."""
    sums, counts = [0.0] * len(ends), [0] * len(ends)
    for place, row in rows:
        part = next((at for at, end in enumerate(ends) if place <= end), None)
        if part is not None and row.loss is not None:
            sums[part] += row.loss
            counts[part] += 1
    for total, count in zip(sums, counts, strict=True):
        yield total / count if count else None
