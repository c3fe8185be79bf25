"""Numbers of a JSON object by their dotted key, and ranges as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["at", "range_of", "three_digits"]


def at(data: Mapping[str, Any], key: str) -> Any:
    """What stands at a dotted key of nested objects and lists, e.g. `phases.0.steps`; None where nothing does."""
    found: Any = data
    for part in key.split("."):
        if isinstance(found, list):
            found = found[int(part)] if int(part) < len(found) else None
        else:
            found = found.get(part) if isinstance(found, Mapping) else None
    return found


def range_of(ends: Mapping[str, float], size: int = 1) -> str:
    """Both ends of a range in three digits, divided by a size; one number where they read the same.

    Examples:
        >>> range_of({"low": 2.2624, "high": 3.3936}), range_of({"low": 1, "high": 1})
        ('2.26–3.39', '1')
    """
    return "–".join(dict.fromkeys(three_digits(ends[end] / size) for end in ("low", "high")))


def three_digits(value: float) -> str:
    """A number in three digits; a large one in all of its whole ones."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
