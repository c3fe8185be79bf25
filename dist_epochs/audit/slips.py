"""Slips of authors: how the number that was printed may have come from the one that was meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from fractions import Fraction

from dist_epochs.arithmetic.interval import Interval, power_of_ten
from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.audit.fact import Fact

__all__ = ["TOLD", "Correction", "Factor", "Slip", "corrections", "is_count", "roughness"]


class Slip(IntEnum):
    """Kinds of slips, the simplest first."""

    ZERO = 0
    NAMED_SIZE = 1
    POWER_OF_TWO = 2
    PER_DEVICE = 3
    FACTOR = 4
    RECOMPUTATION = 5
    WORDS = 6
    DIGIT = 7
    DIGIT_TOO_MANY = 8
    WORDS_UNUSUAL = 9


TOLD = {
    Slip.ZERO: "a zero lost or added",
    Slip.NAMED_SIZE: "the size in a model's name for the measured one",
    Slip.POWER_OF_TWO: "a power of two for a power of ten, or the other way round",
    Slip.PER_DEVICE: "per device for all devices, or the other way round",
    Slip.FACTOR: "a factor too many or too few",
    Slip.RECOMPUTATION: "6 FLOPs a parameter and token for 8 with recomputation, or the other way round",
    Slip.WORDS: "words for tokens, or the other way round",
    Slip.DIGIT: "one digit lost, added or mistyped, or two swapped",
    Slip.DIGIT_TOO_MANY: "one digit too many",
    Slip.WORDS_UNUSUAL: "words for tokens, or the other way round",
}

TOKENS_PER_WORD = tuple(Fraction(hundredths, 100) for hundredths in (120, 124, 125, 130, 133, 140, 150))
FEWEST_TOKENS_PER_WORD, MOST_TOKENS_PER_WORD = Fraction(11, 10), Fraction(17, 10)
NAMED_SIZES = (Fraction(85, 100), Fraction(115, 100))
"""How far a model's name is from its size: `7B` has 6.74 billion parameters."""

NAME_DIGITS = 2
"""Digits of a name: `7B`, `1.3B`; with three only as in `175B`, for `735,000,000` is not a name."""

_LONG_NAME = re.compile(r"\s*[1-9]\d\d\s*[MBT]\b")

DEVICES_OF_NODE = 8
MOST_DEVICES = 2**16
"""Devices that a claim does not state come in whole nodes."""

SIZE_DIGITS = 4
"""Digits of a measured size that can be told from rounded checks."""


@dataclass(frozen=True, slots=True)
class Factor:
    """A number that may have slipped into another one, or out of it.

    Attributes:
        value: The number.
        why: What it is.
        slip: Which slip that would be.
    """

    value: Fraction
    why: str
    slip: Slip


@dataclass(frozen=True, slots=True)
class Correction:
    """The number that may have been meant.

    Attributes:
        slip: What happened to it.
        fact: It, as precise as the slip leaves it.
        why: The other number in the slip, if there is one.
    """

    slip: Slip
    fact: Fact
    why: str = ""

    def in_whole_units(self) -> Correction:
        """The same with the nearest whole number."""
        fact = self.fact
        return replace(self, fact=_with(fact, Fraction(round(fact.number.value)), fact.tolerance))


def corrections(
    fact: Fact,
    factors: Sequence[Factor],
    wanted: Fraction | None,
    is_size: bool,
    reach: tuple[Fraction, Fraction] | None,
) -> Iterator[Correction]:
    """Every slip that may have led to a number, and the number before it.

    Args:
        fact: The number as printed.
        factors: Other numbers that may have been multiplied into it, or left out.
        wanted: What the number should be for its checks; for slips that could lead anywhere.
        is_size: Whether it counts a model's parameters.
        reach: What it is multiplied by at least and at most, if that is known; mistyped digits that lead elsewhere
            are left out, of which there are hundreds.
    """
    value = fact.number.value
    yield from (Correction(Slip.ZERO, _times(fact, factor)) for factor in (Fraction(10), Fraction(1, 10)))
    yield from (Correction(Slip.POWER_OF_TWO, _times(fact, factor)) for factor in _binary(fact))
    for factor in factors:
        yield from (Correction(factor.slip, _times(fact, by), factor.why) for by in (1 / factor.value, factor.value))
    if value in (6, 8):
        yield Correction(Slip.RECOMPUTATION, _times(fact, (14 - value) / value))
    for slip, meant, half in _edits(fact):
        if reach is None or reach[0] * value <= meant <= reach[1] * value:
            changed = _with(fact, meant, half)
            if not changed.interval.holds(value):  # else nothing was lost but precision
                yield Correction(slip, changed)
    if wanted is not None:
        yield from _towards(fact, wanted, is_size, {factor.value for factor in factors})


def _is_name(number: Quantity) -> bool:
    """Whether a size is as short as those in names of models."""
    return _significant(number.value) <= NAME_DIGITS or _LONG_NAME.match(number.text) is not None


def is_count(fact: Fact) -> bool:
    """Whether a number counts whole things that a run was told: it can only be a whole number."""
    return fact.interval.is_exact and fact.number.value.denominator == 1


MOST_DIGITS = 100
"""Digits of a number that has no end of them, such as a third."""


def roughness(value: Fraction, half: Fraction = Fraction(0)) -> int:
    """How little round a number is, in digits of base ten or in bits: 1,000 and 2,048 are round.

    Args:
        value: The number.
        half: Its tolerance; digits without end count as far as they are beyond it.
    """
    whole = _digits(value)
    if whole is None and half > 0:
        unit = power_of_ten(half)
        whole = round(value / unit)
    if whole is None:
        return MOST_DIGITS
    return min(len(str(whole).rstrip("0")), len(f"{whole:b}".rstrip("0")))


def _digits(value: Fraction) -> int | None:
    """The digits of a number as a whole one, without its decimal point; None if they never end, as in a third."""
    rest, places = value.denominator, 0
    while rest % 10 == 0:
        rest, places = rest // 10, places + 1
    for prime in (2, 5):
        while rest % prime == 0:
            rest, places = rest // prime, places + 1
    return int(value * 10**places) if rest == 1 else None


def _binary(fact: Fact) -> Iterator[Fraction]:
    """The factors between K and Ki, M and Mi and so on that the number is large enough for."""
    for power in (1, 2, 3, 4):
        value, factor = fact.number.value, Fraction(1024, 1000) ** power
        if value >= 1000**power:
            yield factor
        if value >= 1024**power and not (is_count(fact) and value % 1024**power):
            yield 1 / factor


def _towards(fact: Fact, target: Fraction, is_size: bool, known: Collection[Fraction]) -> Iterator[Correction]:
    """Slips with a factor of their own that leads to what is wanted, where no known one does."""
    number, factor = fact.number, target / fact.number.value
    if number.unit in (Unit.TOKEN, Unit.WORD):
        ratio = factor if number.unit is Unit.TOKEN else 1 / factor  # printed as tokens, and words in fact
        for usual in TOKENS_PER_WORD:
            if abs(ratio / usual - 1) < NEAR_USUAL_RATIO:
                why = f"{float(usual):g} tokens a word"
                yield Correction(Slip.WORDS, _times(fact, usual if ratio == factor else 1 / usual), why)
        if FEWEST_TOKENS_PER_WORD <= ratio <= MOST_TOKENS_PER_WORD:
            yield Correction(Slip.WORDS_UNUSUAL, _rounded(fact, target), f"{float(ratio):.3g} tokens a word")
    low, high = NAMED_SIZES
    if low <= factor <= high and is_size and _is_name(number):
        yield Correction(Slip.NAMED_SIZE, _rounded(fact, target))
    devices = round(factor / DEVICES_OF_NODE) * DEVICES_OF_NODE
    if number.unit is Unit.SAMPLE and DEVICES_OF_NODE <= devices <= MOST_DEVICES and devices not in known:
        yield Correction(Slip.PER_DEVICE, _times(fact, Fraction(devices)), f"{devices} devices")


NEAR_USUAL_RATIO = Fraction(2, 100)
"""How near the checks must ask for a usual number of tokens a word."""


def _times(fact: Fact, factor: Fraction) -> Fact:
    """The number times a factor, as precise in proportion."""
    return _with(fact, fact.number.value * factor, fact.tolerance * factor)


def _rounded(fact: Fact, target: Fraction) -> Fact:
    unit = Fraction(10) ** (len(str(int(target))) - SIZE_DIGITS)
    value = round(target / unit) * unit
    return _with(fact, value if not is_count(fact) or value.denominator == 1 else Fraction(round(target)), unit / 2)


def _with(fact: Fact, value: Fraction, tolerance: Fraction) -> Fact:
    """The fact with another number, as precise as is said."""
    number, exact = fact.number, fact.interval.is_exact
    text = "" if exact else number.text  # a `~` in it would say that it is not exact
    half = tolerance * (fact.half / fact.tolerance if fact.tolerance else 1)
    changed = replace(
        number, number=Interval(value, value - tolerance, value + tolerance), factors=(value,), text=text, half=half
    )
    return replace(fact, number=changed, digits=None, between=None, exact=exact)


def _edits(fact: Fact) -> Iterator[tuple[Slip, Fraction, Fraction]]:
    """The numbers from which one lost, added or mistyped digit, or two swapped ones, make this one.

    A rounded number's digits say how precise it is, so that one too many is an unlikely slip: whoever wrote it would
    have rounded to fewer. Each comes with how far it may be from what was meant.
    """
    half = fact.tolerance
    unit = _last_digit(fact)
    if unit is None:
        return
    digits = str(int(fact.number.value / unit))
    too_many = Slip.DIGIT if fact.interval.is_exact else Slip.DIGIT_TOO_MANY
    for at in range(len(digits) + 1):
        before, here, after = digits[:at], digits[at : at + 1], digits[at + 1 :]
        for new in "0123456789":
            if here not in ("", new):
                yield Slip.DIGIT, int(before + new + after) * unit, half
            longer = int(before + new + here + after)
            yield Slip.DIGIT, longer * unit, half
            if before:
                yield Slip.DIGIT, longer * unit / 10, half / 10
        if after and here != after[0]:
            swapped = int(before + after[0] + here + after[1:])
            yield Slip.DIGIT, swapped * unit, half
        if here and before + after:
            shorter = int(before + after)
            yield too_many, shorter * unit, half
            if before and after:
                yield too_many, shorter * unit * 10, half * 10


def _last_digit(fact: Fact) -> Fraction | None:
    """What a number's last digit counts; None if its digits have no end."""
    value, half = fact.number.value, fact.tolerance
    whole = _digits(value)
    if whole is None:
        return None
    unit = min(value / whole, Fraction(1))
    if not is_count(fact):
        while unit < half:
            unit *= 10
    return unit


def _significant(value: Fraction) -> int:
    """Significant digits of a number as it stands."""
    whole = _digits(value)
    return MOST_DIGITS if whole is None else len(str(whole).rstrip("0"))
