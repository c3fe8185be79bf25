"""Stretches of the run, and the budget they share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction

from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.errors import InputError
from dist_epochs.recipe.values import BATCH, FLOPS, HOURS, LENGTH, MONEY, SAMPLES, SHARE, STEPS, quantity
from dist_epochs.settings.fields import key

__all__ = ["BudgetRecipe", "PhaseRecipe"]


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
    """Or epochs of the corpus."""
    share: Fraction | None = key(SHARE, None)
    """Or a share of the budget. One phase without any amount takes what is left of it."""
    sequence_length: int | None = key(LENGTH, None)
    """Positions per sample. Left out only where the corpus is counted in samples."""
    global_batch: Quantity | None = key(BATCH, None)
    """Samples per step, where it differs from the batch's."""

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

    def __post_init__(self) -> None:
        given = [found.name for found in fields(self) if getattr(self, found.name) is not None]
        if len(given) != 1:
            names = ", ".join(found.name for found in fields(self))
            raise InputError(f"a budget is one of {names}, not {' and '.join(given) or 'none'}")

    @property
    def amount(self) -> tuple[str, Fraction]:
        """What it is measured in, and how much."""
        amount = _amount(self, tuple(found.name for found in fields(self)))
        assert amount is not None
        return amount


def _amount(part: object, names: tuple[str, ...]) -> tuple[str, Fraction] | None:
    for name in names:
        value = getattr(part, name)
        if value is not None:
            return name, value.value if isinstance(value, Quantity) else Fraction(value)
    return None
