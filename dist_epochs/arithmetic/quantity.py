"""A number with a unit and the precision it was written in, and the one parser for all of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import prod

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.spelling import HEXADECIMAL, QuantityError, instead, plain, thousands_by_points
from dist_epochs.arithmetic.text import precise
from dist_epochs.arithmetic.unit import Unit, part_named, unit_named
from dist_epochs.arithmetic.written_number import PRODUCT, written_number

__all__ = [
    "Quantity", "QuantityError", "Unit", "json_number", "parse", "parse_count", "parse_length",
    "refuse_points_in_a_count",
]  # fmt: skip


LONGEST_SEQUENCE = 2**24
"""Positions of a sample."""

LONGEST_SPELLING = 100
"""Characters of a number."""

_ABOUT = re.compile(r"\s*(?:~|about\b|approximately\b)")
_QUANTITY = re.compile(
    rf"(?P<about>{_ABOUT.pattern})?\s*(?P<product>{PRODUCT})\s*(?P<unit>(?:[^\W\d_]| )*?)"
    r"\s*(?:(?:/|\bper\b|\ba\b|\ban\b)\s*(?P<per>[A-Za-z-]+))?\s*",
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit, and the interval that its spelling stands for.

    Units go with the numbers through arithmetic: steps × tokens per step are tokens, samples ÷ steps are samples per
    step. Adding or comparing numbers of different units is an error that names both.

    Attributes:
        number: The point as written, and both ends of what rounds to it.
        counts: Units that are multiplied with each other; empty for a bare number.
        over: Units that it is divided by: `STEP` in `4M tokens per step`.
        factors: The factors of a product such as `256x512`, else the point alone.
        text: The spelling, for messages.
        half: Half a unit of the last digit of the spelling: what rounds to the point lies within it. None where it is
            no spelling; with `~`, `number` may be wider.

    Examples:
        >>> parse("3.3B words")
        Quantity(3300000000 words, 3250000000 to 3350000000)
        >>> parse("256x512").factors
        (Fraction(256, 1), Fraction(512, 1))
        >>> Quantity.exact(100, Unit.STEP) * Quantity.exact(8, Unit.SAMPLE, per=Unit.STEP)
        Quantity(800 samples)
    """

    number: Interval
    counts: tuple[Unit, ...] = ()
    over: tuple[Unit, ...] = ()
    factors: tuple[Fraction, ...] = field(default=(), compare=False)
    text: str = field(default="", compare=False)
    half: Fraction | None = field(default=None, compare=False)

    @classmethod
    def exact(cls, value: Fraction | int, unit: Unit | None = None, *, per: Unit | None = None) -> Quantity:
        """A number known exactly, such as a setting."""
        return cls.of(Interval.exact(value), unit, per=per)

    @classmethod
    def of(cls, number: Interval, unit: Unit | None = None, *, per: Unit | None = None) -> Quantity:
        """A number between two ends, in a unit."""
        return cls(number, _units(unit), _units(per), (number.point,), str(number.point))

    @property
    def value(self) -> Fraction:
        """The number as written."""
        return self.number.point

    @property
    def low(self) -> Fraction:
        """The lower end of what rounds to the number as written."""
        return self.number.low

    @property
    def high(self) -> Fraction:
        """The upper end of what rounds to the number as written."""
        return self.number.high

    @property
    def unit(self) -> Unit | None:
        """What it counts; None for a bare number, and for a product of several units."""
        return self.counts[0] if len(self.counts) == 1 else None

    @property
    def per(self) -> Unit | None:
        """What it is for, if it says so: `STEP` in `4M tokens per step`. None is the whole run."""
        return self.over[0] if len(self.over) == 1 else None

    @property
    def is_product(self) -> bool:
        """Whether it is written as factors, and nothing says what they count together."""
        return not self.counts and len(self.factors) > 1

    @property
    def is_about(self) -> bool:
        """Whether it is written as a rough number: `~40`, `about 40`."""
        return _ABOUT.match(plain(self.text)) is not None

    @property
    def is_written_out(self) -> bool:
        """Whether it is whole and spelled to its last digit: `698`, `5498x8`, and neither `2.4M` nor `150K`."""
        most = prod((factor + Fraction(1, 2) for factor in self.factors), start=Fraction(1))
        is_whole = all(factor.denominator == 1 for factor in self.factors)
        return is_whole and self.value + (self.half or 0) <= most

    def exactly(self) -> Quantity:
        """The same number without the tolerance of its spelling: settings are exact."""
        return replace(self, number=self.number.exactly(), half=None)

    def counted_in(self, unit: Unit | None, *, per: Unit | None = None) -> Quantity:
        """The same number in another unit: for a bare number that gets one, or where two units are taken as one."""
        return replace(self, counts=_units(unit), over=_units(per))

    def __add__(self, other: Quantity) -> Quantity:
        self._check_same_unit(other, "added to")
        return Quantity(self.number + other.number, self.counts, self.over)

    def __sub__(self, other: Quantity) -> Quantity:
        self._check_same_unit(other, "reduced by")
        return Quantity(self.number - other.number, self.counts, self.over)

    def __lt__(self, other: Quantity) -> bool:
        self._check_same_unit(other, "compared with")
        return self.value < other.value

    def __le__(self, other: Quantity) -> bool:
        self._check_same_unit(other, "compared with")
        return self.value <= other.value

    def __mul__(self, other: Quantity) -> Quantity:
        return Quantity(self.number * other.number, *_cancelled(self.counts + other.counts, self.over + other.over))

    def __truediv__(self, other: Quantity) -> Quantity:
        if other.low <= 0:
            raise QuantityError(
                f"{self.in_words} cannot be divided by {other.text or other.value}", rule="it may be zero"
            )
        return Quantity(self.number / other.number, *_cancelled(self.counts + other.over, self.over + other.counts))

    def _check_same_unit(self, other: Quantity, verb: str) -> None:
        if (self.counts, self.over) != (other.counts, other.over):
            raise QuantityError(f"{self.in_words} cannot be {verb} {other.in_words}", rule="they have different units")

    @property
    def unit_in_words(self) -> str:
        """Its unit as text, empty for a bare number.

        Examples:
            >>> Quantity.exact(8, Unit.SAMPLE, per=Unit.STEP).unit_in_words
            'samples per step'
        """
        counted = "-".join(self.counts) + "s" * bool(self.counts)
        return " per ".join(part for part in (counted, *self.over) if part) if self.counts or self.over else ""

    @property
    def in_words(self) -> str:
        """The point with its unit."""
        return f"{precise(self.value)} {self.unit_in_words}".rstrip()

    def __repr__(self) -> str:
        unit = f" {self.unit_in_words}" if self.unit_in_words else ""
        ends = "" if self.number.is_exact else f", {self.low} to {self.high}"
        return f"Quantity({self.value}{unit}{ends})"


def _units(unit: Unit | None) -> tuple[Unit, ...]:
    return () if unit is None else (unit,)


def _cancelled(counts: tuple[Unit, ...], over: tuple[Unit, ...]) -> tuple[tuple[Unit, ...], tuple[Unit, ...]]:
    """Units of a product or quotient: what stands above and below goes away."""
    above, below = Counter(counts), Counter(over)
    return tuple(sorted((above - below).elements())), tuple(sorted((below - above).elements()))


def parse(
    text: str | int | float, *, unit: Unit | None = None, per: Collection[Unit] = (), what: str = "number"
) -> Quantity:
    """Read a number in any spelling the project accepts.

    `1M`, `3.3B words`, `256x512`, `2**16`, `90k`, `1/3`, `1e6`, `1_000_000`, `90%`, `~40`, and what people write for
    these elsewhere (`spelling.plain`): `1m`, `256X512`, `2^16`, `100만`, full-width digits. The tolerance is half a
    unit of the last digit written, also with `~` and one digit; with `~` and more digits it is a whole one: `~40` is 39
    to 41, `~2` is 1.5 to 2.5. Powers, and numbers in Ki, Mi, Gi or Ti without `~`, are exact.

    Args:
        text: The spelling, or a plain number (read as its shortest spelling).
        unit: The unit a bare number gets, and the only one accepted; None accepts any.
        per: What the number may be for. Where `500 steps per epoch` is not expected, it must not be read as 500 steps.
        what: The name of the number, for messages.

    Raises:
        QuantityError: If it is not a number, counts something else, or counts it for a part of the run; if samples or
            devices are written as a product; if a point may stand between thousands.

    Examples:
        >>> parse("~40 epochs")
        Quantity(40 epochs, 39 to 41)
        >>> parse("1/3").value
        Fraction(1, 3)
    """
    spelling = str(text).strip()
    if len(spelling) > LONGEST_SPELLING:
        raise QuantityError(
            f"{what} {spelling[:20]!r}… is not a number",
            rule=f"it has {len(spelling)} characters, and at most {LONGEST_SPELLING} are read",
        )
    plainly = plain(spelling)
    match = None if HEXADECIMAL.search(plainly) else _QUANTITY.fullmatch(plainly)
    if match is None or isinstance(text, bool):
        rule, fixes = instead(plainly)
        raise QuantityError(f"{what} {spelling!r} is not a number", rule=rule, fixes=fixes)
    found = unit_named(match["unit"], spelling, what)
    if unit is not None and found not in (None, unit):
        raise QuantityError(f"{what} {spelling!r} counts {found}s", rule=f"it must count {unit}s")
    part = part_named(match["per"], spelling, what)
    if part is not None and part not in per:
        wanted = f"for one {' or one '.join(per)}" if per else "for the whole run"
        raise QuantityError(
            f"{what} {spelling!r} is for one {part}",
            rule=f"it must be {wanted}",
            fixes=_INSTEAD.get(part, "multiplying it yourself"),
        )
    if part is None and (found or unit) not in (None, Unit.EPOCH):
        refuse_points_in_a_count(text, what)
    is_about = match["about"] is not None
    written = written_number(match["product"], is_about=is_about, spelling=spelling, what=what)
    if unit in _NO_PRODUCT and found is None and written.is_product:
        rule, fixes = _NO_PRODUCT[unit]
        value = precise(written.number.point)
        raise QuantityError(f"{what} {spelling!r} is a product", rule=f"{value} is no number of {rule}", fixes=fixes)
    return Quantity(written.number, _units(found or unit), _units(part), written.factors, spelling, written.half)


def parse_count(
    text: str | int | float,
    *,
    unit: Unit | None = None,
    per: Collection[Unit] = (),
    what: str = "number",
    least: int = 1,
) -> int:
    """Read a whole number that is exact, such as a setting.

    Raises:
        QuantityError: If it is not whole, or below `least`.

    Examples:
        >>> parse_count("90k", unit=Unit.STEP, what="steps")
        90000
    """
    value = parse(text, unit=unit, per=per, what=what).value
    refuse_points_in_a_count(text, what)
    if value.denominator != 1:
        raise QuantityError(f"{what} {text!s} is {value}", rule="it must be a whole number")
    if value < least:
        raise QuantityError(f"{what} must be at least {least}, not {value}")
    return int(value)


def refuse_points_in_a_count(text: object, what: str) -> None:
    """Refuse `10.000` where whole things are counted: it may be ten, or ten thousand in the writer's language.

    Raises:
        QuantityError: If it is spelled so, without a scale that says what the point is.

    Examples:
        >>> refuse_points_in_a_count("1.024M tokens", "tokens")
    """
    meanings = None if type(text) in (int, float) else thousands_by_points(str(text))
    if meanings is None:
        return
    many, few = (meaning.strip("'") for meaning in meanings)
    raise QuantityError(
        f"{what} {str(text).strip()!r} may be {many} or {few}",
        rule="a point is before decimals here and between thousands elsewhere, and what is counted is whole",
        fixes=meanings[: 1 if "." in few else 2],
    )


def parse_length(text: str | int | float, *, what: str = "sequence length") -> int:
    """Read a sequence length: positions, or tokens, which is what fills them.

    Raises:
        QuantityError: If it is not a whole number from 2 to `LONGEST_SEQUENCE`.

    Examples:
        >>> parse_length("4Ki"), parse_length("512 tokens")
        (4096, 512)
    """
    first, comma, _ = str(text).strip().partition(",")
    if comma and len(first) == 3:  # 128,512 is how two lengths are written; 2,048 is how one is
        raise QuantityError(
            f"{what} {text!r} has a comma",
            rule="it looks like two lengths, and one is asked for",
            fixes=("one length without a comma", "a recipe with a phase for each length"),
        )
    quantity = parse(text, per=(Unit.SAMPLE,), what=what)
    unit = Unit.TOKEN if quantity.unit is Unit.TOKEN else Unit.POSITION
    length = parse_count(text, unit=unit, per=(Unit.SAMPLE,), what=what, least=2)
    if length > LONGEST_SEQUENCE:
        raise QuantityError(
            f"{what} {text!s} is longer than any model takes", rule=f"at most {LONGEST_SEQUENCE:,} positions are read"
        )
    return length


def json_number(value: Fraction | None) -> int | float | None:
    """A number as JSON holds it: whole ones exactly, others as the nearest float.

    Examples:
        >>> json_number(Fraction(6, 2)), json_number(Fraction(1, 2)), json_number(None)
        (3, 0.5, None)
    """
    if value is None:
        return None
    return int(value) if value.denominator == 1 else float(value)


_INSTEAD = {
    Unit.STEP: ("--batch or batch.global_batch for what one step draws",),
    Unit.EPOCH: ("multiplying it by the epochs", "the epochs alone"),
}
"""What to do about a number that is for a part of the run."""

_NO_PRODUCT = {
    Unit.SAMPLE: (
        "samples: batches are written samples × length",
        ("the samples, with the length apart (--sequence-length 512)", "'8x32 samples', where the product is meant"),
    ),
    Unit.DEVICE: (
        "devices",
        ("a kind of device with its letters, as in 8xRTX4090", "'2x8 devices' for two nodes of eight"),
    ),
}
"""Units in which a bare product is more likely something else, and what to write instead."""
