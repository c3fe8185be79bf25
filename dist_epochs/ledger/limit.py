"""The limit of a run's budget, beside what the run spends."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from dist_epochs.ledger.spending import Spent
from dist_epochs.rules import rule

__all__ = ["Limit", "budget_limit"]

UNITS = {"wall_hours": " h", "price": "", "energy_kwh": " kWh"}
"""What stands after a number of what is limited."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """What a run may take.

    Attributes:
        name: What is limited: `wall_hours`, `price` or `energy_kwh`.
        amount: The most, in hours, in the currency of the plan's price, or in kilowatt-hours.
        text: As the recipe spells it.
        stops: Whether the run stops at it.
    """

    name: str
    amount: Fraction
    text: str
    stops: bool


@rule
def budget_limit(spent: Spent, limit: Limit) -> str | None:
    """A run will take more hours, money or energy at its end than `budget.limit` of its recipe.

    The expected end is estimated from the steps that were timed, with an interval. With `on_limit: warn` the warning
    comes once, when the middle of the interval is beyond the limit, and training goes on. With `on_limit: stop` it
    comes when all of the interval is, and the run ends with a checkpoint, to be resumed with another limit. A limit
    on money needs `hardware.price`, one on energy `hardware.watts` or devices that measure it; without, the warning
    says that the limit cannot be watched.

    What to do: see in `dist-epochs ledger RUN` where the time went; then raise the limit, or shorten the run, and
    resume.
    """
    if spent.recorded is None:
        return f"the limit of {limit.text} cannot be watched: {spent.reason}"
    expected = spent.expected
    ends = (spent.recorded,) * 3 if expected is None else (expected.low, expected.point, expected.high)
    if (ends[0] if limit.stops else ends[1]) <= limit.amount:
        return None
    low, point, high, now = (f"{end:,.4g}" for end in (*ends, spent.recorded))
    return (
        f"{point}{UNITS[limit.name]} are expected at the end ({low} to {high}) and {now} are spent; "
        f"the limit is {limit.text}"
    )
