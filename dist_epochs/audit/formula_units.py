"""What the formulas of claims count: the units of facts, by their numbers or their names, go through them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from dist_epochs.arithmetic.duration import HOURS_IN
from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.audit.expression import Binary, Expression, Name, Number, Power, Rounded, evaluate
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.labels import rate_of, split_label

__all__ = [
    "CONVERTED",
    "WORDS",
    "MixedUnits",
    "Units",
    "label_of",
    "one_unit",
    "ratio_in",
    "units_of",
    "units_of_number",
]

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

CONVERTED = ("word", "byte")
"""What does not turn into tokens by itself."""

LARGEST_FACTOR = 10**6
"""A larger number within a formula is a size, of which nothing is said."""

_KNOWN = "|".join(WORDS)
_RATIO_NAME = re.compile(rf"(?P<one>{_KNOWN})s?_(?:per|an?|each)_(?:\w+_)?(?P<other>{_KNOWN})")
_LENGTH_NAME = re.compile(r"length|(^|_)(seq|ctx|context)(_|$)")
_LEFT_OUT_NAME = re.compile(r"accum|node|device|gpu|worker|rank|step|epoch|iteration|update")
_BATCH_NAME = re.compile(r"batch|per_device|(^|_)[gm]?bs(_|$)")


def units_of(formula: Expression, facts: Mapping[str, Fact]) -> Units | None:
    """What a formula counts; None if a fact in it says nothing.

    Raises:
        MixedUnits: If it adds words, bytes and tokens.
    """
    match formula:
        case Number():
            value = evaluate(formula, {}).point
            return Counter() if value < LARGEST_FACTOR else None
        case Name(name):
            return _of_fact(name, facts[name])
        case Power(base, exponent):
            inner = units_of(base, facts)
            return None if inner is None else Counter({unit: power * exponent for unit, power in inner.items()})
        case Rounded(_, inside):
            return units_of(inside, facts)
        case Binary(sign, left, right):
            one, two = units_of(left, facts), units_of(right, facts)
            if one is None or two is None:
                return None
            if sign in "*/":
                powers = {unit: one[unit] + (1 if sign == "*" else -1) * two[unit] for unit in {*one, *two}}
                return Counter({unit: power for unit, power in powers.items() if power})
            return _added(one, two, isinstance(left, Number) or isinstance(right, Number))
    raise AssertionError(formula)


def _added(one: Units, two: Units, is_bare: bool) -> Units:
    """What a sum counts."""
    counted = [[unit for unit, power in units.items() if power] for units in (one, two)]
    different = {units[0] for units in counted if len(units) == 1}
    if not is_bare and len(different) == 2 and different & set(CONVERTED):
        raise MixedUnits(different)
    return one or two


class MixedUnits(Exception):
    """Words, bytes or tokens that are added."""

    def __init__(self, units: set[str]) -> None:
        super().__init__()
        self.units = units


def _of_fact(name: str, fact: Fact) -> Units | None:
    """What a fact counts: its number says so, or its name; None if neither does."""
    number, said = fact.number, re.sub(r"[^a-z]+", "_", name.lower()).strip("_")
    if number.counts or label_of(fact) is not None:
        return units_of_number(fact)
    ratio = ratio_in(said)
    if ratio is not None:
        return ratio
    if _LENGTH_NAME.search(said):
        return Counter({"token": 1, "sample": -1})
    if _BATCH_NAME.search(said):
        return Counter({"drawn": 1})
    for word in said.split("_"):
        unit = WORDS.get(word.removesuffix("s"))
        if unit and not (unit in HOURS_IN and word == unit):  # a second phase is no second, days are days
            return one_unit(unit)
    return Counter() if _LEFT_OUT_NAME.search(said) else None


def units_of_number(fact: Fact) -> Units:
    """What a number counts by its own words."""
    label, rate = label_of(fact), rate_of(fact.number.text)
    counted = Counter(OF_UNITS[unit] for unit in fact.number.counts if unit in OF_UNITS)
    counted.subtract(OF_UNITS[unit] for unit in fact.number.over if unit in OF_UNITS)
    if label is not None:
        counted["sample" if label == "pair" else label] += 1
    if rate is not None:
        counted[rate] -= 1
    return counted


def label_of(fact: Fact) -> str | None:
    """What a number counts beside the project's units; of `3 days = 72 hours`, hours."""
    _, is_converted, converted = fact.number.text.partition(" = ")
    return split_label(converted.partition(" at ")[0] if is_converted else fact.number.text)[1]


def ratio_in(said: str) -> Units | None:
    """What a name such as `tokens_per_word` or `bytes a token` counts; None of other names."""
    match = _RATIO_NAME.search(said)
    if match is None:
        return None
    found = Counter(one_unit(WORDS[match["one"]]))
    found.subtract(one_unit(WORDS[match["other"]]))
    return found


def one_unit(unit: str) -> Units:
    """What counts one unit; nothing, if it is left out."""
    return Counter({unit: 1} if unit else {})
