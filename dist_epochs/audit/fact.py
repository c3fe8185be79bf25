"""A number as it was printed, and what it may be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

from dist_epochs.arithmetic.interval import Interval, power_of_ten
from dist_epochs.arithmetic.quantity import Quantity, Unit, parse, parse_count
from dist_epochs.arithmetic.text import number
from dist_epochs.audit.labels import as_named, split_label
from dist_epochs.errors import InputError
from dist_epochs.settings.fields import Choice, Many, Part, Place, Problem, Value, key
from dist_epochs.settings.plain import FLAG, TEXT

__all__ = ["Fact", "FactReader"]

MOST_DIGITS = 50
"""Significant digits; no number is printed with more."""

SETTINGS = (Unit.STEP, Unit.DEVICE)
"""What a run was told is exact, unless it is written with `~`: `1M steps`, `64 GPUs`."""

BATCHES_AND_LENGTHS = (Unit.SAMPLE, Unit.POSITION)
"""What counts the batch and the length, which a run is told, and the data, whose size is known as it is printed."""

_SETTING = re.compile(
    r"batch|length|context|accum|(^|_)(micro|ctx|seq|[gm]?bs?|l)(_|$)"
    r"|(^|_)per_(device|gpu|tpu|core|chip|node|worker|rank|step|update|iteration)"
)
"""Names of settings: batch, global_batch, micro_batch_size, per_device, gbs, length."""

ABOUT = ("~", "≈", "about", "approx")
_WHOLE = re.compile(r"[^\d.]*([1-9][\d,_]*)(?![\d.,_]|e)")
_PERCENT = re.compile(r"\s*(%|\bper ?cent\b)\s*$")
_ABOUT = re.compile(r"^\s*(≈|approximately\b|approx\b\.?)\s*")


def _number(data: Any) -> Quantity:
    """A number in any spelling of papers; `labels.as_named` holds what it counts against the fact's name."""
    if not isinstance(data, str):
        return parse(data, what="the number")
    text = _ABOUT.sub("~", split_label(_PERCENT.sub("%", data))[0])
    return replace(parse(text, per=tuple(Unit), what="the number"), text=data.strip())


def _digits(data: Any) -> int:
    digits = parse_count(data, what="digits")
    if digits > MOST_DIGITS:
        raise InputError(f"digits must be from 1 to {MOST_DIGITS}, not {digits}", rule="as many as are printed")
    return digits


class EndsReader:
    """The two ends of a range."""

    def read(self, data: Any, place: Place, problems: list[Problem]) -> Any:
        """Both numbers, or None and a problem."""
        ends = Many(Value(_number, least=0), exactly=2).read(data, place, problems)
        if ends is None or len(ends) != 2 or None in ends:
            return None
        if ends[0].value > ends[1].value:
            problems.append(Problem(place, f"the lower end comes first, and {ends[0].text} is above {ends[1].text}"))
        return ends

    def schema(self) -> dict[str, Any]:
        """JSON schema of a range."""
        return Many(Value(_number, least=0), exactly=2).schema()


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A number, as precise as it was printed."""

    number: Quantity = key(Value(_number, least=0))
    """The number as printed: `1M steps`, `3.3B words`, `~40`, `128,000`, `60K hours`, `160GB`. Its name counts the
    same: `corpus_bytes: 160GB`; times are converted, so `3 days` for `hours` are 72."""
    exact: bool | None = key(FLAG, None)
    """Whether it has no tolerance. Default: what a run was told (steps, batch, lengths, devices) is exact, and so is
    what is written in Ki, Mi or Gi; the rest has half a unit of the last digit written, or, with `~` and more than one
    digit, a whole one. What is stated to come out is rounded, whatever it counts."""
    digits: int | None = key(Value(_digits, ("integer",), least=1), None)
    """Significant digits it was printed with, where its spelling has others: `300B` that is rounded to one digit."""
    rounded: Literal["nearest", "down", "up"] = key(Choice(("nearest", "down", "up")), "nearest")
    """How it was shortened when it was printed."""
    between: tuple[Quantity, Quantity] | None = key(EndsReader(), None)
    """The two ends of what it may be, where more than its digits is known: `[30%, 45%]`. Without a number, it is the
    middle."""
    derived: bool = key(FLAG, False)
    """Whether it was computed here from others, and printed nowhere: then it cannot be a slip."""
    read_in: str | None = key(TEXT, None)
    """Where it was read, if not in the work cited."""
    recalled: bool = key(FLAG, False)
    """Whether it was remembered and not read. A contradiction that rests on it never makes a
    verdict inconsistent."""
    assumed: str | None = key(TEXT, None)
    """If it is stated nowhere: why it was taken. The same holds for it."""

    def __post_init__(self) -> None:
        problems = [*self._origin_problems(), *self._precision_problems()]
        if problems:
            raise InputError("; ".join(problems))

    def _origin_problems(self) -> Iterator[str]:
        if (self.read_in is not None) + self.recalled + (self.assumed is not None) > 1:
            yield "a number is read somewhere, recalled or assumed; keep one of read_in, recalled and assumed"

    def _precision_problems(self) -> Iterator[str]:
        """What its precision is said to be twice, or cannot be."""
        said = {
            f"digits: {self.digits}": self.digits is not None,
            f"rounded: {self.rounded}": self.rounded != "nearest",
            "between": self.between is not None,
            "~": self.is_about,
        }
        given = [name for name, is_given in said.items() if is_given]
        if self.exact and given:
            others = " and ".join(given)
            yield f"exact: true says that it has no tolerance, and {others} that it has some; keep one of them"
        elif self.between is not None and len(given) > 1:
            others = " and ".join(name for name in given if name != "between")
            yield f"between says what it may be, and so does {others}; keep one of them"
        if self.between is not None and not self.between[0].value <= self.number.value <= self.between[1].value:
            low, high = (end.text for end in self.between)
            yield f"between {low} and {high} does not hold the number itself, {self.number.text}"
        if self.digits is not None and not self.number.value:
            yield "0 has no significant digits; leave digits out"

    @classmethod
    def exactly(cls, value: Fraction | int) -> Fact:
        """An exact number."""
        return cls(number=replace(Quantity.exact(value), text=number(Fraction(value))), exact=True)

    @property
    def printed(self) -> str:
        """Its spelling, with the digits that it really has where the file says so, or the ends of a range.

        A number in the middle of its range was printed nowhere: the range was.
        """
        if self.between is not None:
            low, high = (end.text for end in self.between)
            is_middle = 2 * self.number.value == self.between[0].value + self.between[1].value
            return f"between {low} and {high}" if is_middle else f"{self.number.text} (between {low} and {high})"
        if self.digits is None:
            return self.number.text
        return f"{self.number.text} ({self.digits} digit{'s' * (self.digits > 1)})"

    @property
    def origin(self) -> str | None:
        """Of a number that was computed: from what, if it is known."""
        return self.assumed or self.read_in if self.derived else None

    @property
    def is_read(self) -> bool:
        """Whether it was read, in the work or elsewhere."""
        return not self.recalled and self.assumed is None

    @property
    def interval(self) -> Interval:
        """What the number may be."""
        number = self.number
        if self.between is not None:
            return Interval(number.value, self.between[0].value, self.between[1].value)
        if self._is_exact:
            return Interval.exact(number.value)
        if self.rounded != "nearest":
            return self._printed_for
        low = number.value - self.tolerance
        if low <= 0 < number.value:  # what is counted is above zero, however roughly it is written
            low = number.value / 2
        return Interval(number.value, low, number.value + self.tolerance)

    def is_printed_for(self, value: Fraction) -> bool:
        """Whether a value is printed as this number, with the digits it has; `~` makes no difference here."""
        if self.between is not None:
            return self.between[0].value <= value <= self.between[1].value
        return value == self.number.value if self.exact else self._printed_for.holds(value)

    @property
    def spelled(self) -> str:
        """Its number as it is spelled, without `~` or what stands for it."""
        return re.sub(rf"^({'|'.join(ABOUT)}[a-z.]*)\s*", "", self.number.text)

    def with_fewer_digits(self) -> Iterator[Fact]:
        """The same number, rounded to fewer digits than it is printed with, the most digits first.

        Only zeros that stand for a place may be none of its digits: `640B` may have two, `4.0K` has two. Without `~`
        two digits are the fewest. A number that says how precise it is, or is exact, has no others.
        """
        whole = _WHOLE.match(self.spelled)
        says_more = self.exact or self.digits is not None or self.between is not None or self.rounded != "nearest"
        if whole is None or says_more or self.interval.is_exact:
            return
        digits = re.sub(r"[,_]", "", whole[1])
        fewest = max(len(digits.rstrip("0")), 1 if self.is_about else 2)
        for count in range(len(digits) - 1, fewest - 1, -1):
            yield replace(self, digits=count)

    def in_percent(self) -> Fact:
        """A share as the number before its `%`, for a formula that multiplies by 100."""
        ends = self.between and (_times_hundred(self.between[0]), _times_hundred(self.between[1]))
        return replace(self, number=_times_hundred(self.number), between=ends)

    @property
    def is_percent(self) -> bool:
        """Whether it is written in per cent."""
        return _PERCENT.search(self.number.text) is not None

    @property
    def half(self) -> Fraction:
        """Half a unit of the last digit that it was printed with."""
        if self.digits is None:
            return self.number.high - self.number.value if self.number.half is None else self.number.half
        return power_of_ten(self.number.value) / Fraction(10) ** (self.digits - 1) / 2

    @property
    def tolerance(self) -> Fraction:
        """How far the number may be from its spelling: half a unit of the last digit, or with `~` a whole one."""
        if self.digits is None:
            return self.number.high - self.number.value
        return self.half * (2 if self.is_about and self.digits > 1 else 1)

    @property
    def is_about(self) -> bool:
        """Whether it is written with `~`, or a word for it."""
        return self.number.text.startswith(ABOUT)

    @property
    def _is_exact(self) -> bool:
        if self.exact is not None or self.digits is not None or self.is_about or self.rounded != "nearest":
            return bool(self.exact)
        unit = self.number.unit
        return unit in SETTINGS or (unit in BATCHES_AND_LENGTHS and self.number.is_written_out)

    @property
    def _printed_for(self) -> Interval:
        """What is printed as this number."""
        value, unit = self.number.value, 2 * self.half
        match self.rounded:
            case "down":
                return Interval(value, value, value + unit)
            case "up":
                return Interval(value, value - unit, value)
        return Interval(value, value - self.half, value + self.half)


def _times_hundred(number: Quantity) -> Quantity:
    half = None if number.half is None else 100 * number.half
    value = 100 * number.value
    return replace(number, number=number.number * Interval.exact(100), factors=(value,), half=half)


class FactReader:
    """A fact as its number alone, or with more to say; its name is the key it stands under, or that of its check."""

    def read(self, data: Any, place: Place, problems: list[Problem]) -> Any:
        """Read either form."""
        whole = data if isinstance(data, Mapping) else {"number": data}
        is_range = "between" in whole and "number" not in whole
        if is_range and isinstance(whole["between"], list | tuple) and whole["between"]:
            whole = {"number": whole["between"][0], **whole}
        fact = Part(Fact).read(whole, place, problems)
        if not isinstance(fact, Fact):
            return fact
        if is_range and fact.between is not None:
            low, high = fact.between
            middle = Interval.between(low.value, high.value).exactly()
            fact = replace(fact, number=replace(low, number=middle, factors=(middle.point,), half=None))
        name = str(next((key for key in reversed(place) if key != "stated"), ""))
        try:
            ends = fact.between and (as_named(fact.between[0], name), as_named(fact.between[1], name))
            exact = fact.exact if fact.exact is not None or ends else _is_setting(fact, name, _is_stated(place))
            return replace(fact, number=as_named(fact.number, name), between=ends, exact=exact)
        except ValueError as error:
            problems.append(Problem.of(place, error))
            return None

    def schema(self) -> dict[str, Any]:
        """JSON schema of either form."""
        needed = {"required": [], "anyOf": [{"required": ["number"]}, {"required": ["between"]}]}
        return {"anyOf": [{"type": ["string", "number"]}, Part(Fact).schema() | needed]}


def _is_stated(place: Place) -> bool:
    """Whether a place is that of a result, not of a fact."""
    return place[:1] == ("stated",) or (place[-1:] == ("stated",) and "checks" in place)


def _is_setting(fact: Fact, name: str, is_stated: bool) -> bool | None:
    """Whether a number that says nothing of its precision is exact because of its name; None if its unit tells."""
    if fact.digits is not None or fact.is_about or fact.rounded != "nearest":
        return None
    if fact.number.unit in BATCHES_AND_LENGTHS and _SETTING.search(re.sub(r"[^a-z]+", "_", name.lower())):
        return True
    return False if is_stated and fact.number.unit in SETTINGS else None
