"""A row of a table of models as a claim in the making: what its numbers say of each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import Quantity, parse
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.grammar import parse_expression
from dist_epochs.audit.model_table.peaks import Peaks
from dist_epochs.audit.model_table.rows import Row
from dist_epochs.audit.sentence.draft import Draft, DraftCheck

__all__ = [
    "ARITHMETIC",
    "BOUNDS",
    "CHIP_HOURS",
    "DEVICES",
    "STATED_UTILIZATION",
    "USUAL_UTILIZATION",
    "UTILIZATION",
    "draft_of",
    "fact_of",
    "is_language",
]

ARITHMETIC = "compute of parameters and data"
CHIP_HOURS = "chip-hours"
DEVICES = "compute of the devices"
UTILIZATION = "utilization"
USUAL_UTILIZATION = "usual utilization"
BOUNDS = "compute between its bounds"
STATED_UTILIZATION = "stated utilization"

USUAL_SHARES = (Fraction(1, 20), Fraction(4, 5))
"""Runs that are well told reach 30 to 60 %; beyond these ends something else was counted."""

LEAST_OF_HARDWARE = Fraction(3, 4)
"""What recomputation leaves of a utilization of the hardware."""

NO_EPOCHS = "the table gives no number of epochs"
COUNTED_BY_TIME = "the table worked it out from hours and devices"
SPECULATIVE = "the table calls it speculative"


def draft_of(row: Row, peaks: Peaks | None) -> Draft:
    """What the numbers of a row say of each other.

    What contradicts and rests on something assumed is left out beside what contradicts as the table has it, so that
    it stands in no reading's way.

    Args:
        row: The row.
        peaks: What its devices can do; None where it names none.
    """
    facts = dict(_facts(row, peaks))
    draft = Draft(facts=facts, roles={}, found={}, checks=tuple(_checks(row, facts)), dropped=(), runs=())
    wrong = draft.contradictions
    if all(map(draft.rests_on_guess, wrong)):
        return draft
    left_out = [check.name for check in wrong if draft.rests_on_guess(check)]
    return replace(draft, checks=tuple(check for check in draft.checks if check.name not in left_out))


def fact_of(number: Quantity, *, exact: bool | None = None, assumed: str | None = None) -> Fact:
    """A number of the table."""
    return Fact(number=number, exact=exact, assumed=assumed)


def is_language(row: Row) -> bool:
    """Whether the data are counted in tokens, which use each parameter once."""
    domain = row.texts.get("domain")
    return domain is None or domain.strip().lower() == "language"


def _facts(row: Row, peaks: Peaks | None) -> Iterator[tuple[str, Fact]]:
    numbers = row.numbers
    for name in ("parameters", "data", "compute", "fine_tuning"):
        if name in numbers:
            yield name, fact_of(numbers[name])
    epochs = numbers.get("epochs")
    whole = epochs is not None and epochs.value.denominator == 1
    yield (
        "epochs",
        fact_of(epochs, exact=whole or None)
        if epochs is not None
        else fact_of(parse("1"), exact=True, assumed=NO_EPOCHS),
    )
    if not is_language(row):
        domain = row.texts.get("domain", "")
        yield "uses", fact_of(parse("1"), exact=True, assumed=f"a datum of {domain} may use each parameter many times")
    if "devices" in numbers:
        yield "devices", fact_of(numbers["devices"], exact=True)
    if "hours" in numbers:
        yield "hours", fact_of(numbers["hours"])
    if "chip_hours" in numbers:
        yield "chip_hours", fact_of(numbers["chip_hours"])
    if "utilization" in numbers:
        yield "utilization", fact_of(numbers["utilization"])
    elif "hardware_utilization" in numbers:
        yield "utilization", _without_recomputation(numbers["hardware_utilization"])
    if peaks is not None and peaks.peak is not None and peaks.least is not None:
        yield "peak", _peak(peaks.least, peaks.peak)


def _without_recomputation(share: Quantity) -> Fact:
    """A utilization of the hardware, of which a quarter may be recomputation: 8 FLOPs a parameter where 6 count."""
    low = replace(share * Quantity.exact(LEAST_OF_HARDWARE), text=f"{LEAST_OF_HARDWARE} of {share.text}")
    return Fact(number=share, between=(low, share))


def _peak(least: Fraction, most: Fraction) -> Fact:
    if least == most:
        return replace(Fact.exactly(most), derived=True)
    ends = tuple(replace(Quantity.exact(each), text=f"{float(each):.4g}") for each in (least, most))
    return Fact(number=ends[1], between=(ends[0], ends[1]), derived=True)


def _checks(row: Row, facts: Mapping[str, Fact]) -> Iterator[DraftCheck]:
    compute = facts.get("compute")
    own = facts.get("fine_tuning") if "fine_tuning" in facts else compute
    is_tuned = "base" in row.texts and "fine_tuning" not in facts
    if own is not None and {"parameters", "data"} <= facts.keys():
        uses = " * uses" if "uses" in facts else ""
        yield _check(ARITHMETIC, f"6 * parameters * data * epochs{uses}", _reckoned(own, row, is_tuned))
    if compute is not None and {"lower", "upper"} & row.numbers.keys():
        yield _check(BOUNDS, "compute", _bounds(row, compute))
    chips = _chips(facts)
    if {"devices", "hours", "chip_hours"} <= facts.keys():
        yield _check(CHIP_HOURS, "devices * hours", facts["chip_hours"])
    if own is None or chips is None or "peak" not in facts:
        return
    share = row.numbers.get("utilization", row.numbers.get("hardware_utilization"))
    name = "fine_tuning" if "fine_tuning" in facts else "compute"
    stated = replace(own, assumed="the hours may be those of the fine-tuning alone") if is_tuned else own
    if share is not None:
        if share.value > 1:
            yield _check(STATED_UTILIZATION, "utilization", _between(Fraction(0), Fraction(1)))
        yield _check(DEVICES, f"{chips} * 3600 * peak * utilization", stated)
        return
    formula = f"{name} / ({chips} * 3600 * peak)"
    yield _check(UTILIZATION, formula, _between(Fraction(0), Fraction(1), stated.assumed))
    yield _check(USUAL_UTILIZATION, formula, _between(*USUAL_SHARES, "beyond it something else was counted"))


def _check(name: str, formula: str, stated: Fact) -> DraftCheck:
    return DraftCheck(name=name, formula=parse_expression(formula), stated=stated, run=0, result=name)


def _reckoned(own: Fact, row: Row, is_tuned: bool) -> Fact:
    """A compute that was not counted, so that it accuses no count: from hours, or speculative."""
    method = row.texts.get("method", "").lower()
    if row.texts.get("confidence", "").lower() == "speculative":
        return replace(own, assumed=SPECULATIVE)
    if is_tuned:
        return replace(own, assumed="it includes that of the base model, which the table does not tell apart")
    if method and not {"operation counting", "reported"} & {each.strip() for each in method.split(",")}:
        return replace(own, assumed=COUNTED_BY_TIME if "hardware" in method else f"the table has it by {method}")
    return own


def _chips(facts: Mapping[str, Fact]) -> str | None:
    """Device-hours: devices × hours, or what is stated of them."""
    if {"devices", "hours"} <= facts.keys():
        return "devices * hours"
    return "chip_hours" if "chip_hours" in facts else None


def _between(low: Fraction, high: Fraction, assumed: str | None = None) -> Fact:
    ends = [replace(Quantity.exact(each), text=f"{float(each):g}") for each in (low, high)]
    number = replace(Quantity.exact((low + high) / 2), text=f"{float((low + high) / 2):g}")
    return Fact(number=number, between=(ends[0], ends[1]), assumed=assumed)


def _bounds(row: Row, compute: Fact) -> Fact:
    low, high = (row.numbers.get(name) for name in ("lower", "upper"))
    low = low if low is not None else replace(Quantity.exact(0), text="0")
    high = high if high is not None else replace(Quantity.exact(10**39), text="anything")
    if low.value > high.value:
        low, high = high, low
    point = Interval.between(low.value, high.value).exactly()
    return Fact(number=replace(compute.number, number=point, factors=(point.point,), half=None), between=(low, high))
