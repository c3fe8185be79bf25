"""The facts of a text as numbers of a claim, as exact as they are printed."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from dist_epochs.arithmetic.duration import HOURS_IN
from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.arithmetic.text import rounded
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.sentence.numerals import ABOUT, LESS, MORE
from dist_epochs.audit.sentence.reading import Found

__all__ = ["as_fact", "as_stated", "is_bound", "is_same"]

UNITS = {
    "steps": Unit.STEP,
    "global_batch": Unit.SAMPLE,
    "per_device": Unit.SAMPLE,
    "samples": Unit.SAMPLE,
    "tokens": Unit.TOKEN,
    "batch_tokens": Unit.TOKEN,
    "epochs": Unit.EPOCH,
    "devices": Unit.DEVICE,
    "batch_per_rank": Unit.SAMPLE,
    "devices_per_node": Unit.DEVICE,
}
"""What the numbers of a role count."""

EXACT = ("steps", "devices", "nodes", "devices_per_node", "gradient_accumulation", "steps_per_epoch", "epochs")
"""Settings: exact as formulas use them, unless the text says about."""

EXACT_IN_FULL = ("global_batch", "per_device", "sequence_length", "corpus", "samples", "batch_per_rank")
"""Exact where they are written to the last digit."""

LARGEST_ROUNDING = Fraction(1, 20)
"""A number that is said twice is not further from its rounded one: 500K and 1M steps are two."""
LARGEST_OF_BOUND = 10
"""What is more than a number is at most so many times it."""
HALF = Fraction(1, 2)
HALVED = ("week", "month", "year")
"""Units of which people say halves: `about 3.5 months` may be 3 or 4."""
MONTH = Interval(Fraction(487, 16), Fraction(28), Fraction(31))
"""Days of a month: 365.25 / 12, and 28 to 31."""


def as_fact(found: Found) -> Fact:
    """A fact as formulas use it: settings exact, sizes as wide as their digits."""
    quantity = _quantity(found)
    numeral = found.numeral
    if found.role == "hours" or numeral.bound in (MORE, LESS) or numeral.upper is not None:
        return as_stated(found)
    is_setting = found.role in EXACT or (found.role in EXACT_IN_FULL and quantity.is_written_out)
    return Fact(number=quantity, exact=is_setting and numeral.bound != ABOUT, digits=_digits(found))


def as_stated(found: Found) -> Fact:
    """A fact as a result: rounded to the digits that are printed, or within its bounds."""
    quantity, numeral = _quantity(found), found.numeral
    if found.role == "hours":
        return _hours(found, quantity)
    ends = _ends(found, quantity)
    if ends is not None:
        return Fact(number=quantity, between=ends)
    return Fact(number=quantity, exact=False, digits=_digits(found) if numeral.bound == ABOUT else None)


def is_bound(found: Found) -> bool:
    """Whether a number is an end, or two, and no number that formulas could use."""
    return found.numeral.bound in (MORE, LESS) or found.numeral.upper is not None


def is_same(one: Found, other: Found) -> bool:
    """Whether two facts of a role say one number, perhaps in other digits."""
    first, second = one.numeral, other.numeral
    if first.upper is not None or second.upper is not None:
        return (first.value, first.upper and first.upper.value) == (second.value, second.upper and second.upper.value)
    if one.role == "hours" and _unit_of(one) != _unit_of(other):
        hours = [fact.numeral.value * _hours_in(fact) for fact in (one, other)]
        halves = [(fact.numeral.quantity.half or Fraction(0)) * _hours_in(fact) for fact in (one, other)]
        return abs(hours[0] - hours[1]) <= min(max(halves), LARGEST_ROUNDING * hours[0])
    if first.value == second.value:
        return (
            one.words & {"each"} == other.words & {"each"} and first.bound not in (MORE, LESS)
        ) or first.bound == second.bound
    if MORE in (first.bound, second.bound) or LESS in (first.bound, second.bound):
        return False
    if one.role not in (
        "tokens",
        "samples",
        "steps",
        "batch_tokens",
        "corpus",
        "parameters",
        "flops",
        "device_hours",
        "global_batch",
    ):
        return False
    halves = [numeral.quantity.half or Fraction(0) for numeral in (first, second)]
    apart = abs(first.value - second.value)
    return apart <= min(max(halves), LARGEST_ROUNDING * first.value) and max(halves) > 20 * min(halves)


def _quantity(found: Found) -> Quantity:
    numeral = found.numeral
    unit = UNITS.get(found.role)
    if found.role == "corpus":
        unit = {"words": Unit.WORD, "tokens": Unit.TOKEN}.get(found.unit, Unit.SAMPLE)
    quantity = numeral.quantity.counted_in(unit)
    if numeral.bound != ABOUT:
        return replace(quantity, text=_plain(numeral.spelling))
    return replace(_about(quantity, numeral.spelling), text=_plain(f"~{numeral.spelling}"))


def _about(quantity: Quantity, spelling: str) -> Quantity:
    """The number with a whole unit of its last digit, as everywhere after `~`, if it has more than one digit."""
    digits = re.match(r"\D*([\d.,_]*)", spelling)
    half, value = quantity.half, quantity.value
    if half is None or digits is None or len(re.sub(r"\D", "", digits[1]).lstrip("0")) < 2:
        return quantity
    return replace(quantity, number=Interval(value, value - 2 * half, value + 2 * half))


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _digits(found: Found) -> int | None:
    """Of `about 112,600`, the digits without the zeros that stand for a place, at least two."""
    digits = re.match(r"\d[\d,_]*(?=\D|$)", found.numeral.spelling)
    if found.numeral.bound != ABOUT or digits is None or "." in found.numeral.spelling:
        return None
    whole = re.sub(r"\D", "", digits[0])
    significant = whole.rstrip("0")
    return max(2, len(significant)) if 3 <= len(whole) != len(significant) else None


def _ends(found: Found, quantity: Quantity) -> tuple[Quantity, Quantity] | None:
    numeral, value = found.numeral, quantity.value
    if numeral.upper is not None:
        return quantity.exactly(), replace(
            numeral.upper.counted_in(quantity.unit).exactly(), text=f"{numeral.upper.text}"
        )
    if numeral.bound == MORE:
        return replace(quantity.exactly(), text=quantity.text), _at(quantity, value * LARGEST_OF_BOUND)
    if numeral.bound == LESS:
        return _at(quantity, Fraction(0)), quantity.exactly()
    return None


def _at(quantity: Quantity, value: Fraction) -> Quantity:
    return replace(quantity, number=Interval.exact(value), factors=(value,), half=None, text=f"{float(value):g}")


def _unit_of(found: Found) -> str:
    """The unit of a time: `day`."""
    return found.unit.split()[0].removesuffix("s")


def _hours_in(found: Found) -> Fraction:
    """Hours in the unit of a time."""
    unit = _unit_of(found)
    return MONTH.point * 24 if unit == "month" else HOURS_IN.get(unit, Fraction(1))


def _hours(found: Found, quantity: Quantity) -> Fact:
    """A time in hours; a month is from 28 to 31 days."""
    unit = _unit_of(found)
    half = HALF if unit in HALVED and found.numeral.bound == ABOUT and quantity.value % 1 == HALF else Fraction(0)
    least, most = min(quantity.number.low, quantity.value - half), max(quantity.number.high, quantity.value + half)
    digits = Interval(quantity.value, max(least, quantity.value / 2), most)
    if unit == "month":
        hours = digits * MONTH * Interval.exact(24)
    else:
        hours = digits * Interval.exact(HOURS_IN.get(unit, Fraction(1)))
    spelling = f"{found.numeral.spelling} {found.unit}"
    text = spelling if unit == "hour" else f"{spelling} = {rounded(hours.point)} hours"
    low, high = (
        replace(quantity, number=Interval.exact(end), factors=(end,), half=None, text=f"{float(end):.6g}")
        for end in (hours.low, hours.high)
    )
    point = replace(quantity, number=Interval.exact(hours.point), factors=(hours.point,), half=None, text=text)
    return Fact(number=point, between=(low, high)) if low.value < high.value else Fact(number=point, exact=True)
