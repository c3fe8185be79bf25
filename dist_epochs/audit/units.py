"""Units in claims: words, bytes and tokens, days and hours are never taken for each other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction

from dist_epochs.arithmetic.duration import HOURS_IN
from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.arithmetic.text import precise
from dist_epochs.arithmetic.usual_ratios import USUAL_BYTES_PER_TOKEN, USUAL_TOKENS_PER_WORD
from dist_epochs.audit.expression import Expression, evaluate, names_in, numbers_in, point_of, written
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.formula_units import (
    CONVERTED,
    WORDS,
    MixedUnits,
    Units,
    label_of,
    one_unit,
    ratio_in,
    units_of,
    units_of_number,
)  # fmt: skip
from dist_epochs.errors import InputError

__all__ = ["unit_problems"]

USUAL_RATIOS = {
    "word": ("tokens_per_word", USUAL_TOKENS_PER_WORD),
    "byte": ("bytes_per_token", USUAL_BYTES_PER_TOKEN),
}
"""Names of the ratios, and what they usually are."""

RATIOS = {"word": (Fraction(1, 2), Fraction(5, 2)), "byte": (Fraction(2), Fraction(8))}
"""A number within a formula may be a ratio of tokens to words (or words to tokens), or of bytes to tokens."""

CONVERSIONS = (7, 24, 60, 168, 365, Fraction(1461, 4), 1440, 3600, 8760, 8766, 86400)
"""A number within a formula that may turn one unit of time into another."""

FLOPS_PER_PARAMETER = (6, 8)
"""Numbers within a formula that are no ratios."""

_RATIO_SAID = re.compile(r"[÷/]|\b(?:ratio|to|over|per|an?|each)\b", re.IGNORECASE)
"""Checks that are called so compare two things."""
_TOTAL = re.compile(r"(?:of|in|seen|read|drawn|trained|processed)(?:_|$)")
"""What may follow `words` or `bytes` in the name of a check that counts them."""


def unit_problems(
    name: str, formula: Expression, stated: Fact | None, facts: Mapping[str, Fact], declared: Mapping[str, str]
) -> Iterator[InputError]:
    """Where a check takes words or bytes for tokens, with the answers at the usual ratios.

    A fact or a number of which nothing is known may be a ratio; then nothing is said. Nor is it where the claim assumes
    something called `words` or `bytes`, which says what one of them is taken for.

    Args:
        name: What the check is called.
        formula: Its formula.
        stated: What the work says it is.
        facts: The facts, by the names in the formula.
        declared: What the claim or the reading assumes, by name.
    """
    declared_units = {unit for unit in CONVERTED if f"{unit}s" in declared}
    try:
        found = units_of(formula, facts)
    except MixedUnits as mixed:
        if not mixed.units & declared_units:
            yield _added_units(formula, mixed.units)
        return
    if found is None:
        return
    yield from _time_problems(name, formula, stated, facts, found)
    wanted = _wanted(name, stated)
    draws = any(facts[known].number.unit is Unit.STEP or "step" in known for known in names_in(formula))
    if wanted is None and not (draws and stated is not None and not _RATIO_SAID.search(name)):
        return
    if wanted == Counter() and _divides_samples(found) and not [*numbers_in(formula)]:
        divided = "samples by tokens" if found["sample"] > 0 else "tokens by samples"
        yield InputError(
            f"the formula {written(formula)} divides {divided}",
            rule="a sample has as many tokens as its length",
            fixes="a fact length, multiplied into the formula or divided out of it",
        )
    for unit in [unit for unit in CONVERTED if unit not in declared_units]:
        power = found[unit] - (wanted or Counter())[unit]
        if not power or _holds_ratio(formula, unit) or (wanted is None and power > 0):
            continue
        if abs(power) == 1:
            yield _without_ratio(name, formula, facts, unit, power)
        else:
            yield InputError(
                f"the formula {written(formula)} counts {unit}s more than once",
                rule="tokens = words × tokens_per_word = bytes ÷ bytes_per_token",
                fixes="the ratio on the other side of the fraction",
            )


def _divides_samples(found: Units) -> bool:
    """Whether a formula gives samples for each token, or tokens for each sample."""
    return not found["drawn"] and abs(found["sample"]) == 1 and found["token"] == -found["sample"]


def _added_units(formula: Expression, units: Collection[str]) -> InputError:
    one, other = sorted(units)
    return InputError(
        f"the formula {written(formula)} adds {one}s and {other}s",
        rule="numbers of different units are not added",
        fixes="both in one unit",
    )


def _time_problems(
    name: str, formula: Expression, stated: Fact | None, facts: Mapping[str, Fact], found: Units
) -> Iterator[InputError]:
    """Days where hours are stated, with no number in the formula that could turn them into hours."""
    wanted = _wanted_times(name, stated)
    powers = {unit: found[unit] - (wanted or found)[unit] for unit in HOURS_IN}
    if wanted is None and len({found[unit] for unit in HOURS_IN} - {0}) > 1:  # minutes ÷ hours are neither
        powers = {unit: found[unit] for unit in HOURS_IN}
    more, less = [[unit for unit in HOURS_IN if powers[unit] == power] for power in (1, -1)]
    has_factor = any(evaluate(number, {}).point in CONVERSIONS for number in numbers_in(formula))
    if stated is None or has_factor or len(more) != 1 or len(less) != 1:
        return
    factor = HOURS_IN[more[0]] / HOURS_IN[less[0]]
    taken, counted = (more[0], less[0]) if found[more[0]] > 0 else (less[0], more[0])
    yield InputError(
        f"the formula {written(formula)} takes {taken}s for {counted}s",
        rule=f"then {name} = {precise(_point(formula, facts) * factor)}",
        consequence=f"it would be {precise(max(factor, 1 / factor))} times too {'small' if factor > 1 else 'large'}",
        fixes=f"{f'× {precise(factor)}' if factor > 1 else f'÷ {precise(1 / factor)}'} in the formula",
    )


def _wanted_times(name: str, stated: Fact | None) -> Units | None:
    """The units of time of a check: its name says so, or its stated number; None if neither does."""
    said = re.sub(r"[^a-z]+", "_", name.lower()).strip("_")
    ratio = ratio_in(said)
    if ratio is not None:
        return ratio
    named = [word.removesuffix("s") for word in said.split("_") if word.removesuffix("s") in HOURS_IN]
    if len(named) == 1 and not _RATIO_SAID.search(name):
        return one_unit(named[0])
    label = label_of(stated) if stated is not None else None
    return one_unit(label) if label is not None and label in HOURS_IN else None


def _point(formula: Expression, facts: Mapping[str, Fact]) -> Fraction:
    return point_of(formula, {known: facts[known].number.value for known in names_in(formula)})


def _without_ratio(name: str, formula: Expression, facts: Mapping[str, Fact], unit: str, power: int) -> InputError:
    """The error for words or bytes that are taken for tokens."""
    ratio_name, usual = USUAL_RATIOS[unit]
    value = _point(formula, facts)
    multiplied = (power > 0) is (unit == "word")
    answers = "; ".join(
        f"at {float(ratio):g} ({whose}) {name} = {precise(value * ratio if multiplied else value / ratio)}"
        for ratio, whose in usual
    )
    verb = f"divides by {unit}s what is counted otherwise" if power < 0 else f"gives {unit}s where others are counted"
    return InputError(
        f"the formula {written(formula)} {verb}",
        rule=f"{unit}s do not turn into tokens without a ratio: {answers}",
        consequence=f"it would take a {unit} for a token",
        fixes=(
            f"a fact {ratio_name}, multiplied into the formula or divided out of it",
            f"assumes: {{{unit}s: a {unit} is one token}}, where the work takes it so",
        ),
    )


def _wanted(name: str, stated: Fact | None) -> Units | None:
    """What a check counts: its stated number says so, or its name; None if neither does."""
    said = re.sub(r"[^a-z]+", "_", name.lower()).strip("_")
    if said.startswith(("epoch", "passes")):
        return Counter()
    ratio = ratio_in(said)
    if ratio is not None:
        return ratio
    if stated is not None:
        if stated.number.unit in (Unit.EPOCH, Unit.STEP):
            return Counter()
        if stated.number.counts or label_of(stated) == "byte":
            return units_of_number(stated)
    first, _, rest = said.partition("_")
    unit = WORDS.get(first.removesuffix("s"))
    if unit is None or not first.endswith("s") or _RATIO_SAID.search(name):
        return None
    return one_unit(unit) if unit not in CONVERTED or not rest or _TOTAL.match(rest) else None


def _holds_ratio(formula: Expression, unit: str) -> bool:
    """Whether a number within the formula may be the ratio."""
    low, high = RATIOS[unit]
    values = [evaluate(number, {}).point for number in numbers_in(formula)]
    return any(low <= value <= high and value not in FLOPS_PER_PARAMETER for value in values)
