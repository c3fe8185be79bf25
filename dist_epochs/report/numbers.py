"""Numbers of a report: each is one of the JSON that `--json` prints, and says which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dist_epochs.arithmetic.text import scaled
from dist_epochs.report.html import Markup, element

__all__ = ["at", "range_text", "shown"]


def at(data: Mapping[str, Any], key: str) -> Any:
    """What stands at a dotted key of nested objects and lists, e.g. `phases.0.steps`; None where nothing does."""
    found: Any = data
    for part in key.split("."):
        if isinstance(found, list):
            found = found[int(part)] if int(part) < len(found) else None
        else:
            found = found.get(part) if isinstance(found, Mapping) else None
    return found


def shown(data: Mapping[str, Any], key: str, form: Callable[[Any], str] = scaled) -> Markup:
    """A number with the key that it has in the JSON, for who reads the page by program.

    Examples:
        >>> shown({"epochs": {"samples": 10.5}}, "epochs.samples")
        '<data value="10.5" data-key="epochs.samples">10.5</data>'
    """
    value = at(data, key)
    if value is None:
        return element("span", "not known", class_="muted")
    return element("data", form(value), value=value, data_key=key)


def range_text(data: Mapping[str, Any], key: str, unit: str = "") -> Markup:
    """Both ends of a range `{"low": …, "high": …}` in three digits; one number where they read the same."""
    ends = at(data, key)
    if ends is None:
        return shown(data, key)
    low, high = (shown(data, f"{key}.{end}", _three_digits) for end in ("low", "high"))
    is_one = _three_digits(ends["low"]) == _three_digits(ends["high"])
    return element("span", low if is_one else [low, "–", high], f"\N{NO-BREAK SPACE}{unit}" if unit else "")


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
