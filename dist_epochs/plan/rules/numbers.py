"""Numbers in messages."""

from __future__ import annotations

from fractions import Fraction

__all__ = ["number"]


def number(value: Fraction | None) -> str:
    """Whole ones in full, others in four digits."""
    if value is None:
        return "an unknown number of"
    if value.denominator == 1:
        return f"{int(value):,}"
    return f"{float(value):,.1f}" if value >= 1000 else f"{float(value):.4g}"
