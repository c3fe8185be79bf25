"""Spans of time: a number and a unit from seconds to years."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from dist_epochs.arithmetic.quantity import parse
from dist_epochs.errors import InputError

__all__ = ["HOURS_IN", "parse_hours", "refuse_minutes_or_millions"]

HOURS_IN: Mapping[str, Fraction] = {
    "second": Fraction(1, 3600),
    "minute": Fraction(1, 60),
    "hour": Fraction(1),
    "day": Fraction(24),
    "week": Fraction(168),
    "year": Fraction(8766),
}
"""Units of time, singular, in hours; a year has 365.25 days."""

SHORT = {"s": "second", "min": "minute", "h": "hour", "d": "day"}

_BARE_M = re.compile(r".*\d\s*m\s*")

_SPAN = re.compile(rf"\s*(?P<number>.*?)\s*(?:(?P<unit>{'|'.join(HOURS_IN)})s?|(?P<short>{'|'.join(SHORT)}))?\s*")


def refuse_minutes_or_millions(text: str) -> None:
    """Refuse `30m` where a time is asked: minutes to most people, and millions everywhere else here.

    Raises:
        InputError: If the number ends with an `m` alone.

    Examples:
        >>> refuse_minutes_or_millions("30 min")
    """
    if _BARE_M.fullmatch(text):
        number = text.strip()[:-1].strip()
        raise InputError(
            f"{text!r} is not a time", rule="m could be minutes or millions", fixes=(f"'{number} min'", f"{number}M")
        )


def parse_hours(text: object, *, bare: str | None = None) -> Fraction:
    """A span of time above zero, in hours.

    Args:
        text: Such as `36 hours`, `30 min`, `3 days`.
        bare: The unit of a number without one; None where a unit must be stated.

    Raises:
        InputError: If it is no number with such a unit, or not above zero.

    Examples:
        >>> parse_hours("30 minutes"), parse_hours("3 days"), parse_hours(36, bare="hour")
        (Fraction(1, 2), Fraction(72, 1), Fraction(36, 1))
    """
    refuse_minutes_or_millions(str(text))
    match = _SPAN.fullmatch(str(text))
    unit = match and (match["unit"] or SHORT.get(match["short"] or "", bare))
    number, rule = None, ""
    try:
        number = parse(match["number"]) if match and unit else None
    except InputError as error:
        rule = error.rule if error.fixes and match else ""
    if number is None or unit is None or number.unit is not None:
        raise InputError(
            f"{str(text)!r} is not a time{'' if bare else ' with a unit'}",
            rule=rule,
            fixes=f"{'36, ' if bare else ''}'90 seconds', '30 minutes', '2 hours', '3 days' or '2 weeks'",
        )
    if number.value <= 0:
        raise InputError(f"the time is {text!r}", rule="it must be above zero")
    return number.value * HOURS_IN[unit]
