"""Units of what formulas of claims compute: words, bytes and tokens, days and hours are never taken for each other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction

from dist_epochs.arithmetic.duration import HOURS_IN
from dist_epochs.arithmetic.identity import USUAL_BYTES_PER_TOKEN, USUAL_TOKENS_PER_WORD
from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.arithmetic.text import precise
from dist_epochs.audit.expression import (
    Binary,
    Expression,
    Name,
    Number,
    Power,
    Rounded,
    evaluate,
    names_in,
    numbers_in,
    point_of,
    written,
)  # fmt: skip
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.labels import rate_of, split_label
from dist_epochs.errors import InputError

__all__ = ["unit_problems"]

Units = Counter[str]
"""Powers of what data is counted in; steps, epochs and devices are left out, for batches are said without them."""

WORDS = {
    "token": "token", "piece": "token", "subword": "token", "position": "token",
    "word": "word", "byte": "byte", "sample": "sample", "sequence": "sample", "image": "sample",
    **{time: time for time in HOURS_IN},
    "step": "", "batch": "", "update": "", "iteration": "", "epoch": "", "device": "", "gpu": "",
}  # fmt: skip
"""What words of names count, singular; what is left out is empty."""

OF_UNITS = {
    Unit.TOKEN: "token", Unit.POSITION: "token", Unit.WORD: "word", Unit.SAMPLE: "sample", Unit.DOCUMENT: "document",
}  # fmt: skip

CONVERTED = {"word": ("tokens_per_word", USUAL_TOKENS_PER_WORD), "byte": ("bytes_per_token", USUAL_BYTES_PER_TOKEN)}
"""What does not turn into tokens by itself: the name of the ratio, and the usual ones."""

RATIOS = {"word": (Fraction(1, 2), Fraction(5, 2)), "byte": (Fraction(2), Fraction(8))}
"""A number within a formula may be a ratio of tokens to words (or words to tokens), or of bytes to tokens."""

CONVERSIONS = (7, 24, 60, 168, 365, Fraction(1461, 4), 1440, 3600, 8760, 8766, 86400)
"""A number within a formula that may turn one unit of time into another."""

FLOPS_PER_PARAMETER = (6, 8)
LARGEST_FACTOR = 10**6
"""A larger number within a formula is a size, of which nothing is said."""

_KNOWN = "|".join(WORDS)
_RATIO_NAME = re.compile(rf"(?P<one>{_KNOWN})s?_(?:per|an?|each)_(?:\w+_)?(?P<other>{_KNOWN})")
_RATIO_SAID = re.compile(r"[÷/]|\b(?:ratio|to|over|per|an?|each)\b", re.IGNORECASE)
"""Checks that are called so compare two things."""
_TOTAL = re.compile(r"(?:of|in|seen|read|drawn|trained|processed)(?:_|$)")
"""What may follow `words` or `bytes` in the name of a check that counts them."""
_LENGTH_NAME = re.compile(r"length|(^|_)(seq|ctx|context)(_|$)")
_LEFT_OUT_NAME = re.compile(r"accum|node|device|gpu|worker|rank|step|epoch|iteration|update")
_BATCH_NAME = re.compile(r"batch|per_device|(^|_)[gm]?bs(_|$)")


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
        found = _units(formula, facts)
    except _Mixed as mixed:
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
    times = [unit for unit in HOURS_IN if found[unit]]
    said = [word.removesuffix("s") for word in re.findall("[a-z]+", name.lower())]
    label = _label(stated) if stated is not None else None
    named = [word for word in said if word in HOURS_IN and not {"per", "a", "an"} & set(said)]
    wanted = named[0] if len(named) == 1 else label if label in HOURS_IN else None
    has_factor = any(evaluate(number, {}).point in CONVERSIONS for number in numbers_in(formula))
    if stated is None or wanted is None or len(times) != 1 or found[times[0]] != 1 or times[0] == wanted or has_factor:
        return
    factor = HOURS_IN[times[0]] / HOURS_IN[wanted]
    told = f"× {precise(factor)}" if factor > 1 else f"÷ {precise(1 / factor)}"
    yield InputError(
        f"the formula {written(formula)} gives {times[0]}s where {wanted}s are counted",
        rule=f"then {name} = {precise(_point(formula, facts) * factor)}",
        consequence=f"{times[0]}s would be taken for {wanted}s",
        fixes=f"{told} in the formula",
    )


def _point(formula: Expression, facts: Mapping[str, Fact]) -> Fraction:
    return point_of(formula, {known: facts[known].number.value for known in names_in(formula)})


def _without_ratio(name: str, formula: Expression, facts: Mapping[str, Fact], unit: str, power: int) -> InputError:
    """The error for words or bytes that are taken for tokens."""
    ratio_name, usual = CONVERTED[unit]
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
    ratio = _ratio(said)
    if ratio is not None:
        return ratio
    if stated is not None:
        if stated.number.unit in (Unit.EPOCH, Unit.STEP):
            return Counter()
        if stated.number.counts or _label(stated) == "byte":
            return _of_number(stated)
    first, _, rest = said.partition("_")
    unit = WORDS.get(first.removesuffix("s"))
    if unit is None or not first.endswith("s") or _RATIO_SAID.search(name):
        return None
    return _one(unit) if unit not in CONVERTED or not rest or _TOTAL.match(rest) else None


def _units(formula: Expression, facts: Mapping[str, Fact]) -> Units | None:
    """What a formula counts; None if a fact in it says nothing.

    Raises:
        _Mixed: If it adds words, bytes and tokens.
    """
    match formula:
        case Number():
            value = evaluate(formula, {}).point
            return Counter() if value < LARGEST_FACTOR else None
        case Name(name):
            return _of_fact(name, facts[name])
        case Power(base, exponent):
            inner = _units(base, facts)
            return None if inner is None else Counter({unit: power * exponent for unit, power in inner.items()})
        case Rounded(_, inside):
            return _units(inside, facts)
        case Binary(sign, left, right):
            one, two = _units(left, facts), _units(right, facts)
            if one is None or two is None:
                return None
            if sign in "*/":
                powers = {unit: one[unit] + (1 if sign == "*" else -1) * two[unit] for unit in {*one, *two}}
                return Counter({unit: power for unit, power in powers.items() if power})
            return _added(one, two, isinstance(left, Number) or isinstance(right, Number))
    raise AssertionError(formula)


def _added(one: Units, two: Units, is_bare: bool) -> Units:
    """What a sum counts."""
    single = [next(iter(units)) for units in (one, two) if sum(map(abs, units.values())) == 1]
    different = set(single)
    if not is_bare and len(single) == len(different) == 2 and different & set(CONVERTED):
        raise _Mixed(different)
    return one or two


class _Mixed(Exception):
    """Words, bytes or tokens that are added."""

    def __init__(self, units: set[str]) -> None:
        super().__init__()
        self.units = units


def _of_fact(name: str, fact: Fact) -> Units | None:
    """What a fact counts: its number says so, or its name; None if neither does."""
    number, said = fact.number, re.sub(r"[^a-z]+", "_", name.lower()).strip("_")
    if number.counts or _label(fact) is not None:
        return _of_number(fact)
    ratio = _ratio(said)
    if ratio is not None:
        return ratio
    if _LENGTH_NAME.search(said):
        return Counter({"token": 1, "sample": -1})
    if _BATCH_NAME.search(said):
        return Counter({"drawn": 1})
    for word in said.split("_"):
        unit = WORDS.get(word.removesuffix("s"))
        if unit and not (unit in HOURS_IN and word == unit):  # a second phase is no second, days are days
            return _one(unit)
    return Counter() if _LEFT_OUT_NAME.search(said) else None


def _of_number(fact: Fact) -> Units:
    """What a number counts by its own words."""
    label, rate = _label(fact), rate_of(fact.number.text)
    counted = Counter(OF_UNITS[unit] for unit in fact.number.counts if unit in OF_UNITS)
    counted.subtract(OF_UNITS[unit] for unit in fact.number.over if unit in OF_UNITS)
    if label is not None:
        counted["sample" if label == "pair" else label] += 1
    if rate is not None:
        counted[rate] -= 1
    return counted


def _label(fact: Fact) -> str | None:
    """What a number counts beside the project's units; of `3 days = 72 hours`, hours."""
    _, is_converted, converted = fact.number.text.partition(" = ")
    return split_label(converted.partition(" at ")[0] if is_converted else fact.number.text)[1]


def _ratio(said: str) -> Units | None:
    """What a name such as `tokens_per_word` or `bytes a token` counts; None of other names."""
    match = _RATIO_NAME.search(said)
    if match is None:
        return None
    found = Counter(_one(WORDS[match["one"]]))
    found.subtract(_one(WORDS[match["other"]]))
    return found


def _one(unit: str) -> Units:
    return Counter({unit: 1} if unit else {})


def _holds_ratio(formula: Expression, unit: str) -> bool:
    """Whether a number within the formula may be the ratio."""
    low, high = RATIOS[unit]
    values = [evaluate(number, {}).point for number in numbers_in(formula)]
    return any(low <= value <= high and value not in FLOPS_PER_PARAMETER for value in values)
