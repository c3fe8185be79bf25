"""Watches what a run spends while it trains, and the limit of its budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from dist_epochs.ledger.limit import Limit, budget_limit
from dist_epochs.ledger.run_ledger import RunLedger
from dist_epochs.ledger.spending import Spending, Spent, spending_of
from dist_epochs.recipe import BudgetRecipe
from dist_epochs.recipe.values import read_limit
from dist_epochs.rules import rule_name

__all__ = ["SpendingWatch"]

EVERY = 5.0
"""Seconds between estimates: each takes some tenths of a millisecond."""


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
        self._limit = _limit_of(budget)
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
            self._compare(spending, self._limit)

    def take(self) -> dict[str, float | int]:
        """The values of the last estimate, once."""
        values, self._values = self._values, {}
        return values

    def _compare(self, spending: Spending, limit: Limit) -> None:
        """Compare the expected end with the limit."""
        spent: Spent = getattr(spending, limit.name)
        message = budget_limit(spent, limit)
        if message is None:
            return
        if limit.stops and spent.recorded is not None:
            self.stops = f"budget: {message}"
        if not self._warned:
            self._warned = True
            self._say(f"budget: {message}")
            self._ledger.warn(rule_name(budget_limit), message)


def _limit_of(budget: BudgetRecipe | None) -> Limit | None:
    if budget is None or budget.limit is None:
        return None
    name, amount = read_limit(budget.limit)
    return Limit(name=name, amount=amount, text=f"{budget.limit}", stops=budget.on_limit == "stop")
