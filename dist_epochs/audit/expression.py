"""Formulas of claims: what they are made of, and what they come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import product as combinations
from math import ceil, floor
from typing import Any, Literal, TypeVar, cast

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import parse
from dist_epochs.errors import InputError, nearest

__all__ = [
    "FUNCTIONS",
    "Binary",
    "Expression",
    "Name",
    "Number",
    "Power",
    "Rounded",
    "evaluate",
    "names_in",
    "numbers_in",
    "point_of",
    "total",
    "written",
]

Operator = Literal["+", "-", "*", "/"]

LARGEST = 10**60
MOST_CORNERS = 6
"""Names that are not exact and stand more than once and whose ends are tried one by one; with more, they get the wider
interval of those combined step by step, which is exact for names that stand once."""
MOST_BOXES = 64
"""Combinations of ends and pieces that are tried."""
MOST_BITS = 20_000
"""Of numbers on the way to a formula's value."""


class Operators:
    """Formulas are put together in code as they are written: `Name("steps") * Name("batch")`."""

    __slots__ = ()

    def __add__(self, other: Expression) -> Binary:
        return Binary("+", cast("Expression", self), other)

    def __mul__(self, other: Expression) -> Binary:
        return Binary("*", cast("Expression", self), other)

    def __truediv__(self, other: Expression) -> Binary:
        return Binary("/", cast("Expression", self), other)


@dataclass(frozen=True, slots=True)
class Number(Operators):
    """A number written in the formula; exact."""

    text: str


@dataclass(frozen=True, slots=True)
class Name(Operators):
    """A fact."""

    name: str


@dataclass(frozen=True, slots=True)
class Binary(Operators):
    """Two parts and the sign between them."""

    sign: Operator
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Power(Operators):
    """A part to a whole power."""

    base: Expression
    exponent: int


@dataclass(frozen=True, slots=True)
class Rounded(Operators):
    """A part, to the next whole number up or down."""

    function: Literal["ceil", "floor"]
    inside: Expression


Expression = Number | Name | Binary | Power | Rounded

FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {"ceil": ceil, "floor": floor}
"""Functions of formulas, by name."""


def total(parts: Sequence[Expression]) -> Expression:
    """The sum of some parts, of which there is at least one.

    Examples:
        >>> written(total([Name("a"), Name("b") * Name("c")]) / Name("d"))
        '(a + b × c) ÷ d'
    """
    first, *others = parts
    for other in others:
        first += other
    return first


def evaluate(expression: Expression, facts: Mapping[str, Interval]) -> Interval:
    """The value of a formula, with the tolerance of its facts.

    A fact that stands twice has one value at a time: where it pushes the formula one way, the ends are those at its
    own ends, so a formula is not given more tolerance than it has. It is never given less.

    Raises:
        InputError: If a name is not a fact, or something is divided by zero.

    Examples:
        >>> from dist_epochs.audit.grammar import parse_expression
        >>> from fractions import Fraction
        >>> x = Interval(*map(Fraction, (10, 9, 11)))
        >>> evaluate(parse_expression("(2*x + x)/x"), {"x": x}).is_exact
        True
    """
    for name in names_in(expression):
        if name not in facts:
            raise InputError(f"there is no fact {name!r}{nearest(name, facts)}")
    try:
        point = point_of(expression, {name: fact.point for name, fact in facts.items()})
    except ZeroDivisionError:
        raise InputError("a number cannot be divided by zero") from None
    if abs(point) > LARGEST or 0 < abs(point) < Fraction(1, LARGEST):
        raise InputError("the formula's value is beyond anything that is counted")
    uses = Counter(_uses(expression))
    loose = [name for name in uses if uses[name] > 1 and not facts[name].is_exact]
    found = list(_pieces(expression, facts, loose))
    return Interval(point, min(end.low for end in found), max(end.high for end in found))


def _pieces(expression: Expression, facts: Mapping[str, Interval], loose: Sequence[str]) -> Iterator[Interval]:
    """Values that together hold every value of a formula.

    Of a name that stands more than once and only ever pushes the formula one way, the two ends are enough. Another
    one, as in p × (1 - p), may do its utmost in between: its range is cut into pieces, and each is combined step by
    step, which gives too much tolerance rather than too little.
    """
    if not loose:
        yield _value(expression, facts, _exact)
        return
    _check_divisors(expression, facts)
    ends = [name for name in loose if _is_monotone(expression, name, facts)]
    if len(ends) > MOST_CORNERS:
        ends = []
    cut = [name for name in loose if name not in ends]
    number = max(1, int((MOST_BOXES >> len(ends)) ** (1 / max(1, len(cut)))))
    parts = [
        *([Interval.exact(facts[name].low), Interval.exact(facts[name].high)] for name in ends),
        *(list(facts[name].cut(number)) for name in cut),
    ]
    for chosen in combinations(*parts):
        yield _value(expression, dict(facts) | dict(zip((*ends, *cut), chosen, strict=True)), _exact)


def _check_divisors(expression: Expression, facts: Mapping[str, Interval]) -> None:
    """Refuse a divisor that may be zero somewhere in between.

    Raises:
        InputError: If there is one.
    """
    match expression:
        case Binary(sign, left, right):
            _check_divisors(left, facts)
            _check_divisors(right, facts)
            if sign == "/":
                divisor = evaluate(right, facts)
                if divisor.low <= 0 <= divisor.high:
                    raise InputError("a number cannot be divided by one that may be zero")
        case Power(inner, _) | Rounded(_, inner):
            _check_divisors(inner, facts)


def _is_monotone(expression: Expression, name: str, facts: Mapping[str, Interval]) -> bool:
    """Whether a fact pushes a formula one way all over its range, whatever the others are within theirs.

    A quotient of two straight lines does, and what has a slope of one sign.
    """
    if max(_degrees(expression, name)) <= 1:
        return True
    try:
        slope = _value(
            expression, {other: _Slope.of(fact, other == name) for other, fact in facts.items()}, _flat
        ).slope
    except InputError:
        return False
    return slope.low >= 0 or slope.high <= 0


def _degrees(expression: Expression, name: str) -> tuple[int, int]:
    """Of a formula as one fraction: how often a fact is multiplied into what is above, and into what is below."""
    match expression:
        case Name(other):
            return int(other == name), 0
        case Power(base, exponent):
            above, below = _degrees(base, name)
            return above * exponent, below * exponent
        case Binary(sign, left, right):
            (above, below), (other_above, other_below) = _degrees(left, name), _degrees(right, name)
            match sign:
                case "*":
                    return above + other_above, below + other_below
                case "/":
                    return above + other_below, below + other_above
            return max(above + other_below, other_above + below), below + other_below
        case Rounded(_, inside):
            above, below = _degrees(inside, name)
            return 2 * above, 2 * below  # its steps are no straight line
    return 0, 0


@dataclass(frozen=True, slots=True)
class _Slope:
    """A formula's value, and how fast it grows with one of its facts."""

    value: Interval
    slope: Interval

    @classmethod
    def of(cls, fact: Interval, is_it: bool) -> _Slope:
        return cls(fact, Interval.exact(int(is_it)))

    def __add__(self, other: _Slope) -> _Slope:
        return _Slope(self.value + other.value, self.slope + other.slope)

    def __sub__(self, other: _Slope) -> _Slope:
        return _Slope(self.value - other.value, self.slope - other.slope)

    def __mul__(self, other: _Slope) -> _Slope:
        return _Slope(self.value * other.value, self.slope * other.value + other.slope * self.value)

    def __truediv__(self, other: _Slope) -> _Slope:
        above = self.slope * other.value - other.slope * self.value
        return _Slope(self.value / other.value, above / (other.value * other.value))

    def __floor__(self) -> _Slope:
        raise InputError("steps have no slope")

    __ceil__ = __floor__

    def __pow__(self, exponent: int) -> _Slope:
        if exponent == 0:
            return _flat("1")
        times = Interval.exact(exponent) * self.value ** (exponent - 1)
        return _Slope(self.value**exponent, times * self.slope)


def _flat(text: str) -> _Slope:
    return _Slope(_exact(text), Interval.exact(0))


def names_in(expression: Expression) -> tuple[str, ...]:
    """The facts of a formula, each once, in order."""
    return tuple(dict.fromkeys(_uses(expression)))


def numbers_in(expression: Expression) -> Iterator[Number]:
    """The numbers that are written in a formula."""
    match expression:
        case Number():
            yield expression
        case Binary(_, left, right):
            yield from numbers_in(left)
            yield from numbers_in(right)
        case Power(inner, _) | Rounded(_, inner):
            yield from numbers_in(inner)


def point_of(expression: Expression, values: Mapping[str, Fraction]) -> Fraction:
    """The value of a formula over exact numbers.

    Raises:
        ZeroDivisionError: If something is divided by zero.

    Examples:
        >>> from dist_epochs.audit.grammar import parse_expression
        >>> point_of(parse_expression("steps * 256"), {"steps": Fraction(1000)})
        Fraction(256000, 1)
    """
    return _value(expression, values, _number)


def written(expression: Expression, show: Callable[[Name], str] = lambda name: name.name) -> str:
    """A formula as text, with × and ÷; names as `show` writes them, for example as their numbers."""
    match expression:
        case Number(text):
            return text
        case Name():
            return show(expression)
        case Power(base, exponent):
            inner = written(base, show)
            return f"({inner})**{exponent}" if isinstance(base, Binary) else f"{inner}**{exponent}"
        case Rounded(function, inside):
            return f"{function}({written(inside, show)})"
        case Binary(sign, left, right):
            one, two = written(left, show), written(right, show)
            if sign in "*/" and isinstance(left, Binary) and left.sign in "+-":
                one = f"({one})"
            if isinstance(right, Binary) and (sign == "/" or (sign in "*-" and right.sign in "+-")):
                two = f"({two})"
            return f"{one} { ({'*': '×', '/': '÷', '-': '−'}.get(sign, sign)) } {two}"
    raise AssertionError(expression)


def _uses(expression: Expression) -> Iterator[str]:
    """The facts of a formula as often as they stand in it; under a power, once for each factor."""
    match expression:
        case Name(name):
            yield name
        case Binary(_, left, right):
            yield from _uses(left)
            yield from _uses(right)
        case Power(base, exponent):
            for name in _uses(base):
                yield from (name,) * max(1, min(exponent, 2))
        case Rounded(_, inside):
            yield from _uses(inside)


Field = TypeVar("Field", Fraction, Interval, _Slope)


def _value(expression: Expression, facts: Mapping[str, Field], number: Callable[[str], Field]) -> Field:
    match expression:
        case Number(text):
            return number(text)
        case Name(name):
            return facts[name]
        case Power(base, exponent):
            whole = _value(base, facts, number)
            if (
                isinstance(whole, Fraction)
                and exponent * (whole.numerator * whole.denominator).bit_length() > MOST_BITS
            ):
                raise InputError("the formula's value is beyond anything that is counted")
            return whole**exponent
        case Rounded(function, inside):
            rounded = FUNCTIONS[function](_value(inside, facts, number))
            return cast("Field", Fraction(rounded) if isinstance(rounded, int) else rounded)
        case Binary(sign, left, right):
            one, two = _value(left, facts, number), _value(right, facts, number)
            match sign:
                case "+":
                    return one + two
                case "-":
                    return one - two
                case "*":
                    return one * two
            return one / two
    raise AssertionError(expression)


def _bits(number: Fraction) -> int:
    return (number.numerator * number.denominator).bit_length()


def _exact(text: str) -> Interval:
    return Interval.exact(_number(text))


@lru_cache(maxsize=1000)
def _number(text: str) -> Fraction:
    return parse(text).value
