"""Watches what a run spends while it trains, and the limit of its budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from dist_epochs.ledger.run_ledger import RunLedger
from dist_epochs.ledger.spending import Spending, spending_of
from dist_epochs.recipe import BudgetRecipe
from dist_epochs.recipe.values import read_limit

__all__ = ["SpendingWatch"]

EVERY = 5.0
"""Seconds between estimates: each takes some tenths of a millisecond."""

UNITS = {"wall_hours": " h", "price": "", "energy_kwh": " kWh"}
"""What stands after a number of what is limited."""


class SpendingWatch:
    """Estimates from time to time what a run will have taken at its end, on rank 0.

    Args:
        ledger: Records the run.
        plan: The content of `plan.json`.
        facts: The line of this segment.
        budget: The budget of the recipe, which may have a limit.
        say: Prints a line.
        clock: Monotonic time in seconds.

    Attributes:
        stops: Why the run must stop; None while it may go on.
    """

    def __init__(
        self,
        ledger: RunLedger,
        plan: Mapping[str, Any],
        facts: Mapping[str, Any],
        budget: BudgetRecipe | None,
        say: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._plan, self._facts, self._say, self._clock = ledger, plan, facts, say, clock
        self._limit = read_limit(budget.limit) if budget is not None and budget.limit is not None else None
        self._text = "" if budget is None else f"{budget.limit}"
        self._stop_at_limit = budget is not None and budget.on_limit == "stop"
        self._looked, self._warned = -EVERY, False
        self._values: dict[str, float | int] = {}
        self.stops: str | None = None

    def look(self) -> None:
        """Estimate anew, if the last estimate is old; called after every step."""
        if not self._ledger.writes or self._clock() - self._looked < EVERY:
            return
        self._looked = self._clock()
        spending = spending_of(self._ledger.totals, self._plan, self._facts)
        self._values = spending.values()
        if self._limit is not None and self.stops is None:
            self._compare(spending)

    def take(self) -> dict[str, float | int]:
        """The values of the last estimate, once."""
        values, self._values = self._values, {}
        return values

    def _compare(self, spending: Spending) -> None:
        """Compare the expected end with the limit; to stop, all of its interval must be beyond."""
        assert self._limit is not None
        name, limit = self._limit
        spent = getattr(spending, name)
        if spent.recorded is None:
            self._warn(f"the limit of {self._text} cannot be watched: {spent.reason}")
            return
        expected = spent.expected
        ends = (spent.recorded,) * 3 if expected is None else (expected.low, expected.point, expected.high)
        over = ends[0] if self._stop_at_limit else ends[1]
        if over <= limit:
            return
        low, point, high, now = (f"{end:,.4g}" for end in (*ends, spent.recorded))
        message = (
            f"{point}{UNITS[name]} are expected at the end ({low} to {high}) and {now} are spent; "
            f"the limit is {self._text}"
        )
        if self._stop_at_limit:
            self.stops = f"budget: {message}"
        self._warn(message)

    def _warn(self, message: str) -> None:
        if not self._warned:
            self._warned = True
            self._say(f"budget: {message}")
            self._ledger.warn("budget-limit", message)
