"""Finding the slip: which one number, changed how, would make all the others agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from fractions import Fraction
from itertools import combinations
from math import prod

from dist_epochs.arithmetic.quantity import Quantity, Unit, json_number
from dist_epochs.audit.agreement import Agreement, agreement_of
from dist_epochs.audit.claim import Fact
from dist_epochs.audit.expression import Expression, evaluate, names_in
from dist_epochs.audit.interval import Interval
from dist_epochs.errors import InputError

__all__ = ["Equation", "Slip", "Suspect", "find_suspects"]

MOST_SHOWN = 8
MOST_NUMBERS = 40
"""Numbers of a claim that are tried; claims have fewer."""

MOST_FACTORS = 6


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


TOLD = {
    Slip.ZERO: "a zero lost or added",
    Slip.DIGIT: "one digit lost, added or mistyped",
    Slip.POWER_OF_TWO: "a power of two for a power of ten, or the other way round",
    Slip.PER_DEVICE: "per device for all devices, or the other way round",
    Slip.FACTOR: "a factor too many or too few",
    Slip.RECOMPUTATION: "6 FLOPs a parameter and token for 8 with recomputation, or the other way round",
    Slip.WORDS: "words for tokens, or the other way round",
    Slip.NAMED_SIZE: "the size in a model's name for the measured one",
}

POWERS_OF_TWO = tuple(Fraction(1024, 1000) ** power for power in (1, 2, 3, 4))
TOKENS_PER_WORD = tuple(Fraction(hundredths, 100) for hundredths in (120, 124, 125, 130, 133, 140, 150))
NAMED_SIZES = (Fraction(85, 100), Fraction(115, 100))
"""How far a model's name is from its size: `7B` has 6.74 billion parameters."""


@dataclass(frozen=True, slots=True)
class Equation:
    """A check as far as slips go: a formula over facts, and the name of the stated number."""

    name: str
    formula: Expression
    stated: str


@dataclass(frozen=True, slots=True)
class Suspect:
    """A change that closes every contradiction.

    Attributes:
        name: The fact, or the check whose stated number it is.
        slip: What kind of slip it would have been.
        before: The number as printed.
        after: As it would have been.
        why: The other number that makes the factor, if there is one.
        agreement: The worst agreement of the checks it takes part in, after the change.
        support: How many of them there are.
    """

    name: str
    slip: Slip
    before: Fraction
    after: Fraction
    why: str
    agreement: Agreement
    support: int

    @property
    def told(self) -> str:
        """The change in words."""
        factor = self.after / self.before
        by = f" by {self.why}" if self.why else f" (× {float(factor):.6g})"
        return f"{self.name}: {float(self.before):.12g} → {float(self.after):.12g}{by}: {TOLD[self.slip]}"

    def to_json(self) -> dict[str, object]:
        """The suspect as the audit's JSON shows it."""
        return {
            "name": self.name,
            "slip": TOLD[self.slip],
            "before": json_number(self.before),
            "after": json_number(self.after),
            "because": self.why or None,
            "agreement": str(self.agreement),
            "checks": self.support,
        }


def find_suspects(equations: tuple[Equation, ...], numbers: Mapping[str, Fact]) -> tuple[Suspect, ...]:
    """Single changes after which nothing contradicts, the most likely first.

    Every number is tried with every slip: facts and stated numbers alike. A change counts if it closes all
    contradictions and opens none. They are ranked by how well the checks agree then, by the simplicity of the slip, and
    by how many checks the number takes part in; of two that are equal in that, the rounder number comes first.

    Args:
        equations: The checks of one reading that state something.
        numbers: Its facts and stated numbers, by the names that the equations use.
    """
    found: dict[tuple[str, Fraction], Suspect] = {}
    tried = 0
    for name, fact in numbers.items():
        mine = [eq for eq in equations if name == eq.stated or name in names_in(eq.formula)]
        others = [eq for eq in equations if eq not in mine]
        if (
            not mine
            or fact.derived
            or not fact.number.value
            or any(_agreement(eq, numbers) is Agreement.CONTRADICTS for eq in others)
        ):
            continue  # something else stays wrong whatever this number is
        tried += 1
        if tried > MOST_NUMBERS:
            break
        wanted = tuple(_solved(name, fact, numbers, mine))
        for slip, after, why in _slips(name, fact, numbers, mine, wanted):
            if wanted and not any(NEAR[0] < after / target < NEAR[1] for target in wanted):
                continue
            suspect = _tried(name, fact, slip, after, why, mine, numbers)
            known = found.get((name, after))
            if suspect is not None and (known is None or suspect.slip < known.slip):
                found[name, after] = suspect
    ranked = sorted(
        found.values(),
        key=lambda s: (list(Agreement).index(s.agreement), s.slip, -s.support, _roughness(s.after)),
    )
    return tuple(ranked[:MOST_SHOWN])


def _tried(
    name: str,
    fact: Fact,
    slip: Slip,
    after: Fraction,
    why: str,
    mine: list[Equation],
    numbers: Mapping[str, Fact],
) -> Suspect | None:
    if _is_count(fact) and (after < 1 or after.denominator != 1):
        return None
    changed = dict(numbers) | {name: _changed(fact, after)}
    if not all(_is_near(eq, changed) for eq in mine):
        return None
    worst = max((_agreement(eq, changed) for eq in mine), key=list(Agreement).index)
    if worst is Agreement.CONTRADICTS:
        return None
    return Suspect(name, slip, fact.number.value, after, why, worst, len(mine))


def _is_near(equation: Equation, numbers: Mapping[str, Fact]) -> bool:
    """Whether the points are near enough for the intervals to be worth comparing."""
    stated = numbers[equation.stated].number.value
    try:
        derived = _point(equation, numbers)
    except InputError:
        return False
    return stated != 0 and NEAR[0] < derived / stated < NEAR[1]


def _agreement(equation: Equation, numbers: Mapping[str, Fact]) -> Agreement:
    facts = {name: numbers[name].interval for name in names_in(equation.formula)}
    try:
        return agreement_of(evaluate(equation.formula, facts), numbers[equation.stated])
    except InputError:  # a change may make a divisor zero
        return Agreement.CONTRADICTS


def _changed(fact: Fact, after: Fraction) -> Fact:
    """The fact with another number, as precise in proportion; its own precision was printed for the slip."""
    number = fact.number
    factor = after / number.value
    quantity = Quantity(after, number.unit, number.low * factor, number.high * factor, (after,), number.text)
    return replace(fact, number=quantity, exact=fact.interval.is_exact)


def _slips(
    name: str, fact: Fact, numbers: Mapping[str, Fact], mine: list[Equation], wanted: tuple[Fraction, ...]
) -> Iterator[tuple[Slip, Fraction, str]]:
    """Every slip that may have led to a number: its kind, the number before it, and the other number in it."""
    value = fact.number.value
    yield from ((Slip.ZERO, value * factor, "") for factor in (Fraction(10), Fraction(1, 10)))
    yield from ((Slip.POWER_OF_TWO, after, "") for power in POWERS_OF_TWO for after in (value * power, value / power))
    for slip, factor, why in _factors(name, numbers, mine):
        yield from ((slip, after, why) for after in (value / factor, value * factor))
    yield from ((Slip.RECOMPUTATION, value * ratio, "") for ratio in (Fraction(8, 6), Fraction(6, 8)))
    if fact.number.unit in (Unit.TOKEN, Unit.WORD):
        yield from ((Slip.WORDS, after, "") for ratio in TOKENS_PER_WORD for after in (value * ratio, value / ratio))
    middle = (sum(wanted, Fraction(0)) / len(wanted),) if wanted else ()  # between what rounded checks ask for
    for after in dict.fromkeys((*wanted, *middle)):
        yield from ((Slip.DIGIT, edited, "") for edited in _edits(value) if abs(edited / after - 1) < CLOSE)
        low, high = NAMED_SIZES
        if low <= after / value <= high and _significant(value) < 3 and "parameter" in name:
            unit = 10 ** max(0, len(str(int(after))) - SIZE_DIGITS)
            yield Slip.NAMED_SIZE, Fraction(round(after / unit) * unit), ""


NEAR = (Fraction(6, 10), Fraction(16, 10))
"""How far a number may be from what its checks ask for and still be within what was printed."""

SIZE_DIGITS = 4
"""Digits of a measured size that can be told from rounded checks."""

CLOSE = Fraction(3, 100)
"""How near a mistyped number must be to what the other numbers ask for, before it is tried."""


def _factors(name: str, numbers: Mapping[str, Fact], mine: list[Equation]) -> Iterator[tuple[Slip, Fraction, str]]:
    """The numbers that stand beside one in formulas, and their products: samples for steps is steps × batch."""
    beside = sorted({other for eq in mine for other in names_in(eq.formula)} - {name})
    whole = [other for other in beside if numbers[other].number.value > 1 and _is_count(numbers[other])][:MOST_FACTORS]
    for size in range(1, len(whole) + 1):
        for chosen in combinations(whole, size):
            alone = size == 1 and numbers[chosen[0]].number.unit is Unit.DEVICE
            factor = prod(numbers[other].number.value for other in chosen)
            yield Slip.PER_DEVICE if alone else Slip.FACTOR, Fraction(factor), " × ".join(chosen)


def _is_count(fact: Fact) -> bool:
    """Whether a number counts whole things that a run was told: it can only be a whole number."""
    return fact.interval.is_exact and fact.number.value.denominator == 1


def _solved(name: str, fact: Fact, numbers: Mapping[str, Fact], mine: list[Equation]) -> Iterator[Fraction]:
    """What the number should be for each of its checks, if that is proportional to it one way or the other."""
    value = fact.number.value
    for equation in mine:
        stated = numbers[equation.stated].number.value
        derived = _point(equation, numbers)
        if name == equation.stated:
            yield derived
            continue
        doubled = _point(equation, dict(numbers) | {name: _changed(fact, value * 2)})
        if derived > 0 and stated > 0 and value > 0:
            if doubled == derived * 2:
                yield value * stated / derived
            elif doubled * 2 == derived:
                yield value * derived / stated


def _point(equation: Equation, numbers: Mapping[str, Fact]) -> Fraction:
    points = {name: Interval.exact(numbers[name].number.value) for name in names_in(equation.formula)}
    return evaluate(equation.formula, points).point


def _edits(value: Fraction) -> Iterator[Fraction]:
    """The numbers from which one lost, added or mistyped digit makes this one."""
    scale = Fraction(1)
    while value.denominator != 1 and scale < 10**12:
        value, scale = value * 10, scale * 10
    digits = str(int(value))
    for at in range(len(digits) + 1):
        yield from (Fraction(int(digits[:at] + new + digits[at:])) / scale for new in "0123456789")
        if at < len(digits):
            yield from (Fraction(int(digits[:at] + new + digits[at + 1 :])) / scale for new in "0123456789")
            if len(digits) > 1:
                yield Fraction(int(digits[:at] + digits[at + 1 :])) / scale


def _roughness(value: Fraction) -> int:
    """How little round a number is, in digits of base ten or in bits: 1,000 and 2,048 are round."""
    if value.denominator != 1:
        return 99
    bits = f"{int(value):b}".rstrip("0")
    return min(_significant(value), len(bits))


def _significant(value: Fraction) -> int:
    """Significant digits of a number as it stands."""
    while value.denominator != 1:
        value *= 10
    return len(str(int(value)).rstrip("0"))
