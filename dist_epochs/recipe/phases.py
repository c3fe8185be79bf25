"""Stretches of the run, and the budget they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Literal

from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.errors import InputError
from dist_epochs.recipe.values import (
    BATCH,
    FLOPS,
    HOURS,
    LENGTH,
    LIMIT,
    MONEY,
    POSITIVE,
    SAMPLES,
    SHARE,
    STEPS,
    quantity,
)
from dist_epochs.settings.fields import Choice, Table, key

__all__ = ["BudgetRecipe", "PhaseRecipe"]

LIMITS = ("limit", "on_limit")
"""Settings of a budget that do not say how long the run is."""


@dataclass(frozen=True, kw_only=True)
class PhaseRecipe:
    """A stretch of the run with one sequence length. It ends with the first step that reaches its amount."""

    steps: int | None = key(STEPS, None)
    """Optimizer steps."""
    samples: int | None = key(SAMPLES, None)
    """Or samples drawn."""
    tokens: Quantity | None = key(quantity(Unit.TOKEN, Unit.POSITION), None)
    """Or tokens drawn, padding included: samples × sequence length."""
    epochs: Quantity | None = key(quantity(Unit.EPOCH), None)
    """Or epochs of the sources that it draws."""
    share: Fraction | None = key(SHARE, None)
    """Or a share of the budget. One phase without any amount takes what is left of it."""
    sequence_length: int | None = key(LENGTH, None)
    """Positions per sample. Left out only where the corpus is counted in samples."""
    global_batch: Quantity | None = key(BATCH, None)
    """Samples per step, where it differs from the batch's."""
    sources: Mapping[str, Fraction] | None = key(Table(POSITIVE), None)
    """Share of the samples drawn from each source in this phase, in any proportion, where it differs from the corpus's
    weights or temperature; sources that are not named are not drawn. A source goes on where it stopped before."""

    def __post_init__(self) -> None:
        amounts = [
            name for name in ("steps", "samples", "tokens", "epochs", "share") if getattr(self, name) is not None
        ]
        if len(amounts) > 1:
            raise InputError(f"a phase has one amount, not {' and '.join(amounts)}")

    @property
    def amount(self) -> tuple[str, Fraction] | None:
        """What it is measured in, and how much; None takes the rest of the budget."""
        return _amount(self, ("steps", "samples", "tokens", "epochs", "share"))


@dataclass(frozen=True, kw_only=True)
class BudgetRecipe:
    """The whole run in one number, whichever is known."""

    steps: int | None = key(STEPS, None)
    """Optimizer steps."""
    samples: int | None = key(SAMPLES, None)
    """Samples drawn in all."""
    tokens: Quantity | None = key(quantity(Unit.TOKEN, Unit.POSITION), None)
    """Tokens drawn in all, padding included: samples × sequence length."""
    epochs: Quantity | None = key(quantity(Unit.EPOCH), None)
    """Epochs of the corpus."""
    hours: Fraction | None = key(HOURS, None)
    """Hours (or `3 days`) on all devices together; needs `hardware`."""
    flops: Fraction | None = key(FLOPS, None)
    """Training FLOPs in all; needs `model`."""
    money: Fraction | None = key(MONEY, None)
    """What may be spent, in the currency of hardware.price."""
    limit: str | None = key(LIMIT, None)
    """What the run may really take: `24 h`, `$500` or `30 kWh`. It plans nothing, and may stand alone."""
    on_limit: Literal["warn", "stop"] = key(Choice(("warn", "stop")), "warn")
    """What training does when its expected end passes the limit: `warn` once, or `stop` with a checkpoint."""

    def __post_init__(self) -> None:
        names = tuple(found.name for found in fields(self) if found.name not in LIMITS)
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) > 1 or not (given or self.limit):
            raise InputError(f"a budget is one of {', '.join(names)}, not {' and '.join(given) or 'none'}")

    @property
    def amount(self) -> tuple[str, Fraction]:
        """What the length of the run is measured in, and how much; of a budget that is more than a limit."""
        amount = _amount(self, tuple(found.name for found in fields(self) if found.name not in LIMITS))
        assert amount is not None
        return amount

    @property
    def is_length(self) -> bool:
        """Whether it says how long the run is; else it only limits it."""
        return any(getattr(self, found.name) is not None for found in fields(self) if found.name not in LIMITS)


def _amount(part: object, names: tuple[str, ...]) -> tuple[str, Fraction] | None:
    for name in names:
        value = getattr(part, name)
        if value is not None:
            return name, value.value if isinstance(value, Quantity) else Fraction(value)
    return None
