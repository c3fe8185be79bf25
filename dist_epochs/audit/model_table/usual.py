"""The usual other readings of a row of a table of models: what people count otherwise where it contradicts itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import reduce
from itertools import permutations, product
from math import ceil
from operator import add

from dist_epochs.arithmetic.agreement import Agreement
from dist_epochs.arithmetic.quantity import Quantity, parse
from dist_epochs.arithmetic.text import scaled
from dist_epochs.audit.expression import evaluate, names_in, written
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.grammar import parse_expression
from dist_epochs.audit.model_table.drafts import (
    ARITHMETIC,
    CHIP_HOURS,
    DEVICES,
    STATED_UTILIZATION,
    UTILIZATION,
    is_language,
)
from dist_epochs.audit.model_table.peaks import Peaks
from dist_epochs.audit.model_table.rows import Row
from dist_epochs.audit.sentence.change import Change, quantity_like
from dist_epochs.audit.sentence.draft import Draft, DraftCheck
from dist_epochs.errors import InputError

__all__ = ["usual_changes"]

FLOPS = "a token costs 6 FLOPs a parameter"
OTHER_FLOPS = (
    (2, "a token costs 2 FLOPs a parameter, the forward pass alone"),
    (3, "a multiplication with its addition is one operation"),
    (8, "a token costs 8 FLOPs a parameter, as with recomputation"),
)
NOMINAL = Fraction(11, 10)
"""A model of 7B has up to a tenth more parameters."""
NOMINAL_WORDS = {ARITHMETIC: "sizes", CHIP_HOURS: "hours", DEVICES: "shares"}
MOST_EACH = 4
"""Changes of a check that are tried together with those of another."""
MOST_BESIDES = Fraction(2)
"""Attention and recomputation cost up to as much again as 6 FLOPs a parameter and token."""
TOLD = ("parameters", "epochs", "base")
"""Changes of which the row itself tells: active parameters, epochs, the compute of the base model."""
LIKELY_SHARES = (Fraction(1, 5), Fraction(3, 5))
"""The utilization that another unit of time must lead to: within wider ends, one of them always fits."""
MOST_RUNS = 10
"""Runs of which the hours may be those of one."""
MOST_PAUSES = Fraction(3, 2)
"""How many times longer than its steps a run may take with pauses."""
RECOMPUTED = Fraction(8, 6)
TOKENS_A_WORD = Fraction(4, 3)

_COUNT = r"\d[\d,]*(?:\.\d+)?(?:e\d+)?\s*(?:[BMT]\b|billion|million|trillion)"
_ACTIVE = re.compile(
    rf"(?P<before>{_COUNT}?)(?:\s*\*\s*10\^(?P<power>\d+))?[\s)(\"]*(?:of them |of which |parameters?|params)?"
    r"[\s(]*(?:are |is )?(?:being )?activ(?:e\b|at)"
    rf"|\bactiv(?:e|ated|ates)\b[^\d\n]{{0,30}}?(?P<after>{_COUNT})",
    re.IGNORECASE,
)
"""Active parameters in words: `36B active`, `45.9 * 10^9 activated`, `activates 13B`."""


def usual_changes(row: Row, draft: Draft, peaks: Peaks | None, computes: Mapping[str, Fact]) -> tuple[Change, ...]:
    """The usual readings of what contradicts in a row.

    Args:
        row: The row.
        draft: What its numbers say of each other.
        peaks: What its devices can do.
        computes: The compute of each model of the table, by its name in lower case.
    """
    found: list[Change] = []
    for check in draft.contradictions:
        match check.name:
            case name if name == ARITHMETIC:
                found += _of_arithmetic(row, draft, check, computes)
            case name if name in (UTILIZATION, DEVICES):
                found += _of_devices(draft, check, peaks)
            case name if name == CHIP_HOURS:
                found += _of_chip_hours(draft, check)
            case name if name == STATED_UTILIZATION:
                share = draft.facts["utilization"]
                changed = replace(share, number=quantity_like(share.number, share.number.value / 100))
                said = f"the utilization of {share.number.text} is in per cent"
                found.append(Change("per cent", "the utilization is a share", said, {"utilization": changed}))
    return _tried(row, draft, tuple({change.assumes: change for change in found}.values()))


def _tried(row: Row, draft: Draft, changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """The changes to try: each alone, and what settles each of the checks that contradict, together."""
    if any(not change.contradicts(draft) for change in changes):
        return changes
    own = [[*_settling(row, draft, check, changes)][:MOST_EACH] for check in draft.contradictions]
    found = {change.assumes: change for change in changes}
    for several in product(*own):
        different = tuple({change.assumes: change for change in several}.values())
        if different and len({change.key for change in different}) == len(different):
            whole = reduce(add, different)
            if not whole.contradicts(draft):
                found.setdefault(whole.assumes, whole)
    return tuple(found.values())


def _settling(row: Row, draft: Draft, check: DraftCheck, changes: tuple[Change, ...]) -> Iterator[Change]:
    """What settles one check: a change, one beside another of which the row itself tells, or what little is left.

    Of two guesses some pair always fits, so that pairs of them are not tried.
    """

    def settles(change: Change) -> bool:
        return change.outcome(draft, check) is not Agreement.CONTRADICTS

    alone = [change for change in changes if settles(change)]
    if alone:
        yield from alone
        return
    pairs = [one + two for one, two in permutations(changes, 2) if one.key in TOLD and one.key != two.key]
    settled = [pair for pair in pairs if settles(pair)]
    if settled:
        yield from settled
        return
    known = (None, *(change for change in changes if change.key in (*TOLD, "words")))
    for change in known if check.name != ARITHMETIC or is_language(row) else ():
        rest = _rest(draft, check, change)
        whole = change + rest if change is not None and rest is not None else rest
        if whole is not None and settles(whole):
            yield whole


def _rest(draft: Draft, check: DraftCheck, change: Change | None) -> Change | None:
    """What is left of a check: sizes, hours or shares that are nominal; of FLOPs, those besides 6 a parameter."""
    formula = (change.formulas if change else {}).get(check.name, check.formula)
    facts = {**draft.facts, **(change.facts if change else {})}
    ratio = replace(check, formula=formula).ratio(facts)
    if not ratio or check.name not in NOMINAL_WORDS:
        return None
    more = 1 / ratio
    if 1 / NOMINAL <= more <= NOMINAL:
        word = NOMINAL_WORDS[check.name]
        key, literal = word, f"{word} are as they are printed"
        said = f"{word} are nominal, and {float(abs(more - 1)):.1%} {'larger' if more > 1 else 'smaller'}"
    elif 1 < more <= MOST_BESIDES and check.name == ARITHMETIC and (change is None or change.key != "words"):
        key, literal = "FLOPs", FLOPS
        said = f"attention and recomputation make the FLOPs {float(more):.3g} times as many"
    elif 1 < ratio <= MOST_PAUSES and check.name == DEVICES:
        key, literal = "pauses", "all hours were training"
        said = f"{float(1 - more):.0%} of the hours were pauses and restarts"
    else:
        return None
    formula = parse_expression(f"({written(formula)}) * {more.numerator} / {more.denominator}")
    return Change(key, literal, said, formulas={check.name: formula})


def _of_arithmetic(row: Row, draft: Draft, check: DraftCheck, computes: Mapping[str, Fact]) -> Iterator[Change]:
    facts = draft.facts
    if facts["epochs"].assumed is None and facts["epochs"].number.value != 1:
        one = Fact.exactly(1)
        yield Change(
            "epochs", "the data are drawn once an epoch", "the data are counted with their epochs", {"epochs": one}
        )
    for active in _active(row, facts["parameters"].number.value):
        said = f"FLOPs count the {active.text} active parameters alone"
        yield Change("parameters", "FLOPs count all parameters", said, {"parameters": Fact(number=active)})
    base = computes.get(row.texts.get("base", "").lower())
    if base is not None and check.stated is not None and "fine_tuning" not in facts:
        total = parse_expression(f"6 * parameters * data * epochs + {base.number.value}")
        said = f"the compute of {row.texts['base']}, {base.number.text}, is included"
        yield Change("base", "the compute is of this run alone", said, formulas={check.name: total})
    if not is_language(row):
        return
    words = facts["data"]
    number = replace(words.number * Quantity.exact(TOKENS_A_WORD), text=f"{words.number.text} × 4 ÷ 3")
    said = "data are counted in words of 4/3 tokens"
    yield Change("words", "data are counted in tokens", said, {"data": Fact(number=number)})
    for factor, said in OTHER_FLOPS:
        formula = parse_expression(f"{factor} * parameters * data * epochs")
        yield Change("FLOPs", FLOPS, said, formulas={check.name: formula})


def _active(row: Row, most: Fraction) -> Iterator[Quantity]:
    """Active parameters that the notes name."""
    notes = " \n ".join(row.texts.get(name, "") for name in ("parameters_notes", "compute_notes"))
    seen = set()
    for match in _ACTIVE.finditer(notes):
        text = (match["before"] or match["after"]).strip()
        try:
            number = parse(text)
        except InputError:
            continue
        if match["power"] and int(match["power"]) < 20:
            number = replace(number * Quantity.exact(10 ** int(match["power"])), text=f"{text} × 10^{match['power']}")
        if 1000 < number.value < most and number.value not in seen:
            seen.add(number.value)
            yield replace(number.counted_in(None), text=" ".join(number.text.split()))


def _of_devices(draft: Draft, check: DraftCheck, peaks: Peaks | None) -> Iterator[Change]:
    """What makes a utilization of more than all, or another than the stated one."""
    yield from _of_hours(draft, check)
    literal = "the peak is the dense one"
    for said, peak in peaks.others if peaks is not None else ():
        yield Change("peak", literal, said, {"peak": replace(Fact.exactly(peak), derived=True)})
    ratio = check.ratio(draft.facts)
    if not ratio or "hours" not in draft.facts:
        return
    if check.name == DEVICES:
        formula = parse_expression(f"({written(check.formula)}) * {1 / RECOMPUTED}")
        said = "the utilization counts recomputation, 8 FLOPs a parameter for 6"
        yield Change("FLOPs", FLOPS, said, formulas={check.name: formula})
    runs = ceil(ratio / 2) if check.name == UTILIZATION else round(1 / ratio)  # it is compared with 50 %, the middle
    if 1 < runs <= MOST_RUNS:
        hours = draft.facts["hours"]
        changed = replace(hours, number=quantity_like(hours.number, hours.number.value * runs))
        least = "at least " * (check.name == UTILIZATION)
        said = f"the {scaled(hours.number.value)} hours are those of one of {least}{runs} runs"
        yield Change("hours", "the hours are those of the whole training", said, {"hours": changed})


def _of_hours(draft: Draft, check: DraftCheck) -> Iterator[Change]:
    """Days for hours, and the hours of each device for those of all, where they give a usual utilization."""
    if check.name != UTILIZATION:
        return
    facts = draft.facts
    share = evaluate(check.formula, {name: facts[name].interval for name in names_in(check.formula)}).point
    name = "chip_hours" if "chip_hours" in names_in(check.formula) else "hours"
    units = {24: f"{name.replace('_', '-')} are {'chip-days' if name == 'chip_hours' else 'days'}"}
    if name == "chip_hours" and "devices" in facts:
        count = facts["devices"].number.value
        units[int(count)] = f"chip-hours are hours, of {scaled(count)} devices each"
    for times, said in units.items():
        if times > 1 and LIKELY_SHARES[0] <= share / times <= LIKELY_SHARES[1]:
            number = facts[name].number
            changed = replace(facts[name], number=quantity_like(number, number.value * times))
            yield Change("hours", f"{name.replace('_', '-')} are what they are called", said, {name: changed})


def _of_chip_hours(draft: Draft, check: DraftCheck) -> Iterator[Change]:
    """Hours of one run and chip-hours of several, or the other way round."""
    ratio = check.ratio(draft.facts)
    for name, times in (("chip_hours", ratio), ("hours", 1 / ratio if ratio else ratio)):
        runs = round(times)
        if runs > 1 and abs(times - runs) < times / 50:
            fact = draft.facts[name]
            changed = replace(fact, number=quantity_like(fact.number, fact.number.value * runs))
            literal = "hours and chip-hours are of the same runs"
            said = f"{name.replace('_', '-')} are those of one of {runs} runs"
            is_stated = name == "chip_hours"
            facts, stated = ({}, {check.name: changed}) if is_stated else ({name: changed}, {})
            yield Change("runs", literal, said, facts, stated)
