"""Numbers of a report: each is one of the JSON that `--json` prints, and says which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dist_epochs.arithmetic.text import scaled
from dist_epochs.render.keyed import at, range_of, three_digits
from dist_epochs.report.html import Markup, element

__all__ = ["range_text", "shown"]


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


def range_text(data: Mapping[str, Any], key: str, unit: str = "", size: int = 1) -> Markup:
    """Both ends of a range `{"low": …, "high": …}` in three digits; one number where they read the same.

    Args:
        data: The object.
        key: Where the range stands in it.
        unit: What stands behind it.
        size: What the ends are divided by for that unit.
    """
    ends = at(data, key)
    if ends is None:
        return shown(data, key)
    low, high = (shown(data, f"{key}.{end}", lambda value: three_digits(value / size)) for end in ("low", "high"))
    is_one = "–" not in range_of(ends, size)
    return element("span", low if is_one else [low, "–", high], f"\N{NO-BREAK SPACE}{unit}" if unit else "")
