"""The usual other readings of a budget: what people mean where the numbers do not add up as printed.

None of them makes a claim consistent without being named as the condition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import combinations

from dist_epochs.arithmetic.agreement import Agreement
from dist_epochs.arithmetic.quantity import Quantity
from dist_epochs.arithmetic.text import rounded, scaled
from dist_epochs.audit.expression import Expression, names_in, written
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.grammar import parse_expression
from dist_epochs.audit.sentence.change import Change, quantity_like
from dist_epochs.audit.sentence.draft import GROWN, WHOLE_TEXT, Draft, DraftCheck
from dist_epochs.audit.sentence.phases import with_one_length
from dist_epochs.audit.sentence.powers import powers_of_two

__all__ = ["settling", "usual_changes"]

TOKENS_PER_WORD = (Fraction(1), Fraction(5, 2))
"""What a word may be, in tokens."""
_SIX = re.compile(r"\b6 ×")
"""FLOPs of a parameter and token in a formula."""
LEAST_CUT_OFF = 3
"""Digits of a number that may have been cut off: with fewer it is off by too much."""
MOST_SHARING = 512
"""Devices, micro-steps or devices of one model that are tried."""


def usual_changes(draft: Draft) -> tuple[Change, ...]:
    """The usual readings that change something of what contradicts."""
    wrong = draft.contradictions
    found = [*powers_of_two(draft)]
    for check in wrong:
        found += [*_of_check(draft, check)]
    kept: dict[str, Change] = {}
    for change in found:
        moved = any(change.outcome(draft, check) is not None and _touches(change, check) for check in wrong)
        if moved and change.assumes not in kept:
            kept[change.assumes] = change
    return tuple(kept.values())


def settling(draft: Draft, changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """The changes to try: with those that settle everything only two at a time, where none does alone."""
    if not changes or any(not change.contradicts(draft) for change in changes):
        return changes
    pairs = (
        one + two for one, two in combinations(changes, 2) if one.key != two.key and not set(one.facts) & set(two.facts)
    )
    return (*changes, *(pair for pair in pairs if not pair.contradicts(draft)))


def _touches(change: Change, check: DraftCheck) -> bool:
    return (
        bool(set(change.facts) & set(names_in(check.formula)))
        or check.name in change.stated
        or check.name in change.formulas
    )


def _of_check(draft: Draft, check: DraftCheck) -> Iterator[Change]:
    """What may be meant otherwise in one check that contradicts."""
    assert check.stated is not None
    ratio = check.ratio(draft.facts)
    if not ratio:
        return
    yield from _cut_off(draft, check)
    named = {draft.roles[name][0]: name for name in names_in(check.formula) if name in draft.roles}
    run = check.run
    length = next((name for name in names_in(check.formula) if name.startswith("length_after")), None)
    if check.result == GROWN and length is not None:
        said = f"the batch of {check.stated.number.text} counts tokens, not sequences"
        yield Change("batch", "the batch counts sequences", said, {length: Fact.exactly(1)})
    if run == WHOLE_TEXT:
        yield from _one_length(draft, check)
        return
    of_split = ("training_share", "held_out_share")
    share = next((name for name, its in draft.roles.items() if its[0] in of_split), None)
    if share is not None and "corpus" in named:
        fact, part = draft.facts[named["corpus"]], draft.facts[share].number.value
        value = fact.number.value * (part if draft.roles[share][0] == "training_share" else 1 - part)
        changed = replace(fact, number=quantity_like(fact.number, value), digits=None)
        without = "all but " * (draft.roles[share][0] == "held_out_share")
        said = f"epochs are over the training split, {without}{draft.facts[share].number.text} of {fact.number.text}"
        yield Change("split", "epochs are over all of the data", said, {named["corpus"]: changed})
    if check.words and "corpus" in named:
        yield from _tokens_per_word(draft, check, named["corpus"], ratio)
    length = named.get("sequence_length")
    if length is not None and "most" in draft.found[length].words and ratio > 1 and check.result != "batch_tokens":
        value = draft.facts[length].number.value / ratio
        said = f"samples have {scaled(value)} tokens on average, and {draft.facts[length].number.text} at most"
        yield Change("length", "every sample is full", said, {length: Fact.exactly(value)})
    if check.result == "global_batch":
        yield from _unstated_factor(check, ratio)
        samples = draft.names("sequence_length", run)
        if samples is not None:
            formula = parse_expression(f"({written(check.formula)}) * {samples}")
            said = f"the batch of {check.stated.number.text} counts tokens"
            yield Change("batch", "the batch counts samples", said, formulas={check.name: formula})
    if "global_batch" in named:
        yield from _of_batch(draft, check, named, run)
    accumulation = draft.names("gradient_accumulation", run)
    steps = named.get("steps")
    if steps is not None and accumulation is not None:
        fact = draft.facts[steps]
        value = fact.number.value / draft.facts[accumulation].number.value
        if value.denominator == 1:
            changed = Fact(number=quantity_like(fact.number, value), exact=True)
            yield Change(
                "steps", "steps are optimizer steps", f"the {fact.number.text} steps are micro-steps", {steps: changed}
            )
    if check.result == "steps" and accumulation is not None:
        value = check.stated.number.value / draft.facts[accumulation].number.value
        changed = Fact(number=quantity_like(check.stated.number, value), exact=False, digits=None)
        changed = replace(changed, between=_around(changed.number))
        yield Change(
            "steps",
            "steps are optimizer steps",
            f"the {check.stated.number.text} steps are micro-steps",
            {},
            {check.name: changed},
        )
    if check.result == "flops" and "tokens" in named:
        yield from _base_model(draft, check, named["tokens"])
    if {"parameters", "tokens"} <= named.keys() and _SIX.search(written(check.formula)):
        yield Change(
            "FLOPs",
            "a token costs 6 FLOPs a parameter",
            "a token costs 8 FLOPs a parameter, as with recomputation",
            formulas={check.name: parse_expression(_SIX.sub("8 ×", written(check.formula)))},
        )
        active = draft.names("active_parameters", run)
        if active is not None and "parameters" in named:
            yield Change(
                "parameters",
                "FLOPs count all parameters",
                "FLOPs count the active parameters alone",
                {named["parameters"]: draft.facts[active]},
            )
    if check.result in ("steps", "steps_per_epoch") and "ceil" in written(check.formula):
        yield from _partial_batches(draft, check, named)


def _cut_off(draft: Draft, check: DraftCheck) -> Iterator[Change]:
    """A number of three digits or more that was cut off where it should be rounded: 294B for 294.9B."""
    stated = check.stated
    assert stated is not None
    says_more = stated.exact or stated.digits is not None or stated.between is not None or stated.is_about
    digits = re.sub(r"\D", "", re.split(r"[eE×x*]", stated.spelled)[0]).lstrip("0")
    if says_more or len(digits) < LEAST_CUT_OFF:
        return
    shortened = replace(stated, rounded="down")
    if check.agreement(draft.facts, shortened) is not Agreement.CONTRADICTS:
        said = f"{stated.number.text} is cut off, not rounded"
        yield Change("cut", "numbers are rounded", said, stated={check.name: shortened}, is_small=True)


def _one_length(draft: Draft, check: DraftCheck) -> Iterator[Change]:
    """One phase's length for all of them."""
    names = {its: name for name, its in draft.roles.items()}
    for length, formulas in with_one_length(check.result, draft.runs, names):
        said = f"every step has length {scaled(draft.facts[length].number.value)}"
        formula = parse_expression(" + ".join(formulas))
        yield Change("lengths", "every phase has its own length", said, formulas={check.name: formula})


def _base_model(draft: Draft, check: DraftCheck, tokens: str) -> Iterator[Change]:
    """FLOPs of a model that was trained on, with those of the model that it started from."""
    for name, (role, _) in draft.roles.items():
        if role == "tokens" and name != tokens and draft.facts[name].number.value != draft.facts[tokens].number.value:
            fact = draft.facts[tokens]
            value = fact.number.value + draft.facts[name].number.value
            said = f"the compute of the base model's {draft.facts[name].number.text} tokens is included"
            yield Change(
                "base",
                "FLOPs are of this run alone",
                said,
                {tokens: replace(fact, number=quantity_like(fact.number, value))},
            )


def _around(quantity: Quantity) -> tuple[Quantity, Quantity]:
    return quantity_like(quantity, quantity.value - 1), quantity_like(quantity, quantity.value + 1)


def _tokens_per_word(draft: Draft, check: DraftCheck, corpus: str, ratio: Fraction) -> Iterator[Change]:
    if not TOKENS_PER_WORD[0] <= ratio <= TOKENS_PER_WORD[1]:
        return
    fact = draft.facts[corpus]
    value = Fraction(round(ratio * 100), 100)
    changed = replace(
        fact,
        number=replace(fact.number * Quantity.exact(value), text=f"{fact.number.text} × {float(value):g}"),
        digits=None,
    )
    yield Change("words", "a word is one token", f"a word is about {float(value):g} tokens", {corpus: changed})


def _unstated_factor(check: DraftCheck, ratio: Fraction) -> Iterator[Change]:
    """A batch that is a multiple, or a part, of what its stated factors give."""
    times = 1 / ratio
    formula = check.formula
    if times.denominator == 1 and 1 < times <= MOST_SHARING and check.free:
        said = {
            "gradient_accumulation": f"gradients are accumulated over {rounded(times)} micro-steps",
            "devices": f"it runs on {rounded(times)} devices",
        }[check.free]
        yield Change(
            check.free, f"{check.free.replace('_', ' ')} is one", said, formulas={check.name: _times(formula, times)}
        )
    if (
        ratio.denominator == 1
        and 1 < ratio <= MOST_SHARING
        and check.free != "devices"
        and "devices" in written(formula)
    ):
        yield Change(
            "sharing",
            "every device holds other samples",
            f"{rounded(ratio)} devices share one copy of the model",
            formulas={check.name: _times(formula, times)},
        )


def _times(formula: Expression, factor: Fraction) -> Expression:
    text = f"({written(formula)}) * {factor.numerator}"
    return parse_expression(f"{text} / {factor.denominator}" if factor.denominator > 1 else text)


def _of_batch(draft: Draft, check: DraftCheck, named: Mapping[str, str], run: int) -> Iterator[Change]:
    """A batch that is per device, in tokens, or steps that are samples."""
    name = named["global_batch"]
    fact, found = draft.facts[name], draft.found[name]
    devices = draft.names("devices", run)
    accumulation = draft.names("gradient_accumulation", run)

    def multiplied(factor: Fraction, reading: str, of: str) -> Change:
        changed = replace(fact, number=quantity_like(fact.number, fact.number.value * factor), exact=True)
        return Change("batch", reading, f"the batch of {fact.number.text} is {of}", {name: changed})

    micro_steps = None if accumulation is None else draft.facts[accumulation].number.value
    if devices is not None and "whole" not in found.words:
        count = draft.facts[devices].number.value
        yield multiplied(count, "the batch is that of all devices", "per device")
        if micro_steps is not None:
            yield multiplied(count * micro_steps, "the batch is that of all devices", "per device and micro-step")
    elif micro_steps is not None and "whole" not in found.words:
        yield multiplied(micro_steps, "the batch is that of a step", "that of a micro-step")
    if "sequence_length" in named and found.unit == "samples":
        one = Fact.exactly(1)
        yield Change(
            "batch",
            "the batch counts samples",
            f"the batch of {fact.number.text} counts tokens",
            {named["sequence_length"]: one},
        )
    steps = named.get("steps")
    if steps is not None:
        yield Change(
            "steps",
            "steps are optimizer steps",
            f"the {draft.facts[steps].number.text} steps count samples",
            {name: Fact.exactly(1)},
        )


def _partial_batches(draft: Draft, check: DraftCheck, named: Mapping[str, str]) -> Iterator[Change]:
    """Partial batches at the end of each pass."""
    if not {"corpus", "global_batch"} <= named.keys():
        return
    each = f"{named['corpus']} / {named['global_batch']}"
    epochs = f"{named['epochs']} * " if "epochs" in named else ""
    for function, done in (("ceil", "kept"), ("floor", "dropped")):
        formula = parse_expression(f"{epochs}{function}({each})")
        said = f"the last partial batch{' of each epoch' if epochs else ''} is {done}"
        yield Change("partial batches", "partial batches run on", said, formulas={check.name: formula}, is_small=True)
