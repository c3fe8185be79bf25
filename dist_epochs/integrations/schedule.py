"""The learning-rate schedule of a user's own loop: how far it has advanced, and where it ends."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

__all__ = ["Schedule", "advanced", "end_of"]

SCHEDULE_ENDS = {"OneCycleLR": ("total_steps",), "CosineAnnealingLR": ("T_max",), "PolynomialLR": ("total_iters",)}
"""Attributes that hold the end of torch's schedules; in other schedules such a number is the end of a warm-up."""

LARGEST_END = 2**40
"""Advances beyond which the end of a schedule is not searched."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How far a learning-rate schedule has advanced, and how many steps were taken.

    Attributes:
        advanced: How often it was advanced since the first step.
        steps: Optimizer steps in that time.
        ends_at: Advances after which it has reached its end; None where that is not known.
    """

    advanced: int
    steps: int
    ends_at: int | None

    @property
    def factor(self) -> Fraction:
        """Advances per step."""
        return Fraction(self.advanced, self.steps)


def advanced(scheduler: object) -> int | None:
    """How often a scheduler was advanced; None if that is not known.

    Args:
        scheduler: torch's, or Accelerate's around it.
    """
    count = getattr(getattr(scheduler, "scheduler", scheduler), "last_epoch", None)
    return count if isinstance(count, int) else None


def end_of(scheduler: object) -> int | None:
    """The advance at which a schedule reaches its end: as it was configured, or where its factor becomes 0."""
    inner = getattr(scheduler, "scheduler", scheduler)
    for name in SCHEDULE_ENDS.get(type(inner).__name__, ()):
        end = getattr(inner, name, None)
        if isinstance(end, int):
            return end
    functions = getattr(inner, "lr_lambdas", None)
    if not functions:
        return None
    end = getattr(functions[0], "keywords", {}).get("num_training_steps")
    return end if isinstance(end, int) else _first_zero(functions[0])


def _first_zero(factor: Any) -> int | None:
    """The first advance at which a falling factor is 0, found by doubling and bisection."""
    try:
        above, below = 1, 2
        while factor(below) > 0:
            above, below = below, 2 * below
            if below > LARGEST_END:
                return None
        while below - above > 1:
            middle = (above + below) // 2
            above, below = (middle, below) if factor(middle) > 0 else (above, middle)
    except Exception:  # a function of the user's, called with steps that it may not expect
        return None
    return below
