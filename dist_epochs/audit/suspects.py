"""Finding the slip: which one number, changed how, would make all the others agree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations
from math import ceil, floor, prod

from dist_epochs.arithmetic.agreement import Agreement
from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import Unit, json_number
from dist_epochs.arithmetic.text import lossless
from dist_epochs.audit.check import agreement_of
from dist_epochs.audit.expression import Expression, Number, evaluate, names_in, numbers_in, point_of
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.slips import TOLD, Correction, Factor, Slip, corrections, is_count, roughness
from dist_epochs.errors import InputError
from dist_epochs.names import in_words

__all__ = ["Equation", "Suspect", "find_suspects"]

MOST_MULTIPLIED = 4
"""Numbers whose product may have slipped into another one: devices × per device × accumulation × length. Where a check
cannot be solved for the other one, what is asked of it is not known, and single numbers are tried."""

MOST_TIMES_WANTED = Fraction(16, 10)
"""How far a number may be from what a check asks for, even if both are printed roughly."""


_SIZE = re.compile(r"param|model[ _]?size", re.IGNORECASE)
"""How facts that count parameters are called: parameters, params, N_params, model size."""

FLOPS_PER_PARAMETER = {Number("6"), Number("8")}
"""For each parameter and token: forward and backward, without and with recomputation."""

MULTIPLIED = (Slip.PER_DEVICE, Slip.FACTOR)
"""Slips after which a count need not divide: the 3.2B steps that are printed were samples, and rounded."""

MOST_PRINTED = 5
"""Digits of a number that anybody prints who prints few: 2.2T that were 2.098083496T were printed as 2.1T."""

LEAST_SIZE = 10**6
"""Parameters of the smallest model that is named after them."""


@dataclass(frozen=True, slots=True)
class Equation:
    """A check as far as slips go: a formula over facts, and the name of the stated number."""

    name: str
    formula: Expression
    stated: str

    @property
    def names(self) -> tuple[str, ...]:
        """All numbers that stand in it."""
        return (*names_in(self.formula), self.stated)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A change that closes every contradiction.

    Attributes:
        name: The fact, or the check whose stated number it is.
        slip: What kind of slip it would have been.
        before: The number as printed.
        after: As it would have been.
        why: The other number in the slip, if there is one.
        agreement: The worst agreement of the checks it takes part in, after the change.
        support: How many of them there are.
        rougher: By how many digits it would be less round.
        is_unprinted: Whether nobody prints as many digits as it would have.
        rank: Its place; those that nothing tells apart share one.
    """

    name: str
    slip: Slip
    before: Fraction
    after: Fraction
    why: str
    agreement: Agreement
    support: int
    rougher: int
    is_unprinted: bool = False
    rank: int = 0

    @property
    def told(self) -> str:
        """The change in words, and what kind of slip it would have been."""
        by = f" by {in_words(self.why)}" if self.why else f" (× {float(self.after / self.before):.6g})"
        return f"{in_words(self.name)} {lossless(self.before)} → {lossless(self.after)}{by}, {TOLD[self.slip]}"

    @property
    def standing(self) -> tuple[int, int, int, int, int]:
        """What suspects are ranked by, the likeliest least: see `find_suspects`."""
        rough = self.agreement is Agreement.OVERLAPS
        return rough, self.is_unprinted, self.slip, self.rougher, -self.support

    def to_json(self) -> dict[str, object]:
        """The suspect as the audit's JSON shows it."""
        return {
            "rank": self.rank,
            "name": self.name,
            "slip": TOLD[self.slip],
            "before": json_number(self.before),
            "after": json_number(self.after),
            "because": self.why or None,
            "agreement": str(self.agreement),
            "checks": self.support,
        }


def find_suspects(equations: Sequence[Equation], numbers: Mapping[str, Fact]) -> tuple[Suspect, ...]:
    """Single changes after which nothing contradicts, the likeliest first.

    Every number is tried with every slip: facts and stated numbers alike. A change counts if it closes all
    contradictions and opens none. First come those after which the checks round to what is stated, then those to
    numbers that somebody would have printed, then the simpler slips, then changes to a rounder number (a run of
    1,000,000 steps is likelier than one of 976,563), then those that more checks bear out.

    Args:
        equations: The checks of one reading that state something.
        numbers: Its facts and stated numbers, by the names that the equations use.
    """
    wrong = [eq for eq in equations if _agreement(eq, numbers) is Agreement.CONTRADICTS]
    everywhere = [name for name in wrong[0].names if all(name in eq.names for eq in wrong)] if wrong else []
    found: dict[tuple[str, Fraction], Suspect] = {}
    for name in dict.fromkeys(everywhere):
        if numbers[name].derived or not numbers[name].number.value:
            continue
        for suspect in _suspects(name, numbers, [eq for eq in equations if name in eq.names]):
            known = found.get((name, suspect.after))
            if known is None or suspect.standing < known.standing:
                found[name, suspect.after] = suspect
    ranked = sorted(found.values(), key=lambda suspect: suspect.standing)
    places = [suspect.standing for suspect in ranked]
    return tuple(replace(suspect, rank=1 + places.index(suspect.standing)) for suspect in ranked)


def _suspects(name: str, numbers: Mapping[str, Fact], mine: Sequence[Equation]) -> Iterator[Suspect]:
    fact = numbers[name]
    # a printed 0.00 asks for no number: what makes it too large is found when the change is tried
    asked = [_wanted(name, numbers, equation) for equation in mine]
    wanted = [target if target is not None and target.point > 0 else None for target in asked]
    known = [target for target in wanted if target is not None]
    limits = [_limit(numbers, equation) for equation in mine]
    reach = _reach(fact, [(t, limit) for t, limit in zip(wanted, limits, strict=True) if t is not None])
    factors = tuple(_factors(name, numbers, mine, reach))
    for correction in corrections(fact, factors, _middle(known), _is_size(name, fact, mine), reach):
        if correction.slip in MULTIPLIED and is_count(fact):
            correction = correction.in_whole_units()
        after = correction.fact.number.value
        if after <= 0 or (is_count(fact) and (after < 1 or after.denominator != 1)):
            continue
        if all(t is None or 1 / limit < after / t.point < limit for t, limit in zip(wanted, limits, strict=True)):
            suspect = _tried(name, fact, correction, mine, numbers)
            if suspect is not None:
                yield suspect


def _middle(wanted: Sequence[Interval]) -> Fraction | None:
    """Between what rounded checks ask for."""
    if not wanted:
        return None
    low, high = max(target.low for target in wanted), min(target.high for target in wanted)
    return (low + high) / 2 if 0 < low <= high else sum((target.point for target in wanted), Fraction(0)) / len(wanted)


def _is_size(name: str, fact: Fact, mine: Sequence[Equation]) -> bool:
    """Whether a fact counts parameters, which have no unit: it is called so, or multiplied by 6 or 8 FLOPs."""
    if any(_SIZE.search(text) for text in (name, fact.number.text)):
        return True
    is_bare = fact.number.unit is None and fact.number.value >= LEAST_SIZE
    return is_bare and any(
        FLOPS_PER_PARAMETER & set(numbers_in(equation.formula)) for equation in mine if name != equation.stated
    )


def _tried(
    name: str, fact: Fact, correction: Correction, mine: Sequence[Equation], numbers: Mapping[str, Fact]
) -> Suspect | None:
    changed = dict(numbers) | {name: correction.fact}
    worst = max((_agreement(equation, changed) for equation in mine), key=list(Agreement).index)
    if worst is Agreement.CONTRADICTS:
        return None
    before, after = fact.number.value, correction.fact.number.value
    digits = roughness(after, correction.fact.tolerance)
    rougher = digits - roughness(before, fact.tolerance)
    # what another number was multiplied into by mistake may have had any digits
    is_unprinted = digits > MOST_PRINTED and rougher > 1 and correction.slip not in MULTIPLIED
    return Suspect(name, correction.slip, before, after, correction.why, worst, len(mine), rougher, is_unprinted)


def _agreement(equation: Equation, numbers: Mapping[str, Fact]) -> Agreement:
    facts = {name: numbers[name].interval for name in names_in(equation.formula)}
    try:
        return agreement_of(evaluate(equation.formula, facts), numbers[equation.stated])
    except InputError:  # a change may make a divisor zero
        return Agreement.CONTRADICTS


def _limit(numbers: Mapping[str, Fact], equation: Equation) -> Fraction:
    """How many times a number may be what the check asks for, as far as everything in it is known."""
    limit = Fraction(1001, 1000)
    for name in equation.names:
        interval = numbers[name].interval
        if interval.low <= 0:
            return MOST_TIMES_WANTED
        limit *= (interval.high / interval.low) ** 2
    return min(limit, MOST_TIMES_WANTED)


def _reach(fact: Fact, wanted: Sequence[tuple[Interval, Fraction]]) -> tuple[Fraction, Fraction] | None:
    """What a number has to be multiplied by to come near what its checks ask for; None if they say nothing."""
    if not wanted:
        return None
    value = fact.number.value
    return (
        max(target.point / limit for target, limit in wanted) / value,
        min(target.point * limit for target, limit in wanted) / value,
    )


def _factors(
    name: str, numbers: Mapping[str, Fact], mine: Sequence[Equation], reach: tuple[Fraction, Fraction] | None
) -> Iterator[Factor]:
    """The whole numbers beside one in formulas, and their products: samples for steps is steps × batch."""
    beside = {other for equation in mine for other in names_in(equation.formula)} - {name}
    devices = {other for other, fact in numbers.items() if fact.number.unit is Unit.DEVICE} - {name}
    if numbers[name].number.unit is Unit.DEVICE:  # devices are counted, nothing is multiplied into them
        return
    whole = {
        other: int(numbers[other].number.value)
        for other in sorted(beside | devices)
        if numbers[other].number.value > 1 and is_count(numbers[other])
    }
    for chosen, factor in _products(whole, reach):
        alone = len(chosen) == 1 and chosen[0] in devices
        yield Factor(Fraction(factor), " × ".join(chosen), Slip.PER_DEVICE if alone else Slip.FACTOR)
    if any(name == eq.stated and FLOPS_PER_PARAMETER & set(numbers_in(eq.formula)) for eq in mine):
        yield Factor(Fraction(8, 6), "8 ÷ 6", Slip.RECOMPUTATION)


def _products(
    whole: Mapping[str, int], reach: tuple[Fraction, Fraction] | None
) -> Iterator[tuple[tuple[str, ...], int]]:
    """Products of a few numbers that lead, multiplied or divided by, to where the checks ask."""
    most = MOST_MULTIPLIED if reach is not None else 1
    low, high = reach if reach is not None else (Fraction(0), Fraction(0))
    more, less = (ceil(low), floor(high)), (ceil(1 / high), floor(1 / low)) if low > 0 else (1, 0)
    for size in range(1, min(len(whole), most) + 1):
        for chosen in combinations(whole, size):
            factor = prod(whole[other] for other in chosen)
            if reach is None or more[0] <= factor <= more[1] or less[0] <= factor <= less[1]:
                yield chosen, factor


def _wanted(name: str, numbers: Mapping[str, Fact], equation: Equation) -> Interval | None:
    """What the number should be for one of its checks; None if it cannot be solved for it."""
    value = numbers[name].number.value
    if name == equation.stated:
        facts = {other: numbers[other].interval for other in names_in(equation.formula)}
        return evaluate(equation.formula, facts)
    points = {other: numbers[other].number.value for other in names_in(equation.formula)}
    try:
        at = [point_of(equation.formula, points | {name: value * times}) for times in (1, 2, 3)]
    except ZeroDivisionError:
        return None
    stated = numbers[equation.stated].interval
    return _solved(value, at, stated) or _solved(value, [1 / y for y in at if y], _inverse(stated))


def _solved(value: Fraction, at: Sequence[Fraction], wanted: Interval | None) -> Interval | None:
    """Where a straight line through three heights, at once, twice and three times a value, is as high as wanted."""
    if wanted is None or len(at) < 3 or at[1] - at[0] != at[2] - at[1] or at[1] == at[0]:
        return None
    point, *ends = (
        value + (height - at[0]) / (at[1] - at[0]) * value for height in (wanted.point, wanted.low, wanted.high)
    )
    return Interval(point, min(ends), max(ends))


def _inverse(number: Interval) -> Interval | None:
    return Interval.exact(1) / number if number.low > 0 else None
