"""What the audit tries by itself where a claim contradicts as printed: a step of rounding, and fewer digits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dist_epochs.arithmetic.agreement import Agreement
from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.audit.check import Check, Reading, agreement_of
from dist_epochs.audit.expression import Rounded, evaluate
from dist_epochs.audit.fact import Fact

__all__ = ["counts_steps", "own_reading"]

IN_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True, slots=True)
class _Remedy:
    """Another way to take one check, under which it agrees.

    Attributes:
        name: What it is called.
        assumption: What it assumes, as part of a sentence.
        check: The check, taken so.
    """

    name: str
    assumption: str
    check: Check


def own_reading(literal: Reading) -> Reading | None:
    """The reading that settles every contradiction of the literal one by rounding alone; None if there is none.

    A count of steps that the plan rounded may be one less or one more, as trainers drop or keep the last partial
    batch. A stated number that ends in zeros may be rounded to fewer digits than it is printed with: papers print 640B
    for 638.2B, and ~4,000 for 3,936.

    Args:
        literal: The reading that takes everything as printed.
    """
    found = {check.name: next(_remedies(check), None) for check in literal.contradictions}
    remedies = {name: remedy for name, remedy in found.items() if remedy is not None}
    if not found or len(remedies) < len(found):
        return None
    return replace(
        literal,
        name=" and ".join(dict.fromkeys(remedy.name for remedy in remedies.values())),
        assumes={**literal.assumes, **{f"rounding of {name}": each.assumption for name, each in remedies.items()}},
        checks=tuple(remedies[check.name].check if check.name in remedies else check for check in literal.checks),
    )


_STEPS = re.compile(r"(?:(?:number of|total|optimizer|training)[ _])*(?:steps|updates|iterations)\b", re.IGNORECASE)


def counts_steps(name: str, stated: Fact) -> bool:
    """Whether a check counts steps, which are whole: its number says so, or its name."""
    return stated.number.unit is Unit.STEP or _STEPS.match(name) is not None


def _remedies(check: Check) -> Iterator[_Remedy]:
    """What would settle a check, the likeliest first."""
    yield from _one_step(check)
    yield from _fewer_digits(check)
    yield from _fewer_digits_of_facts(check)


def _one_step(check: Check) -> Iterator[_Remedy]:
    """One step less or more, where the plan rounded the steps."""
    is_planned = bool(check.facts) and all(fact.derived for fact in check.facts.values())
    is_rounded = is_planned or isinstance(check.formula, Rounded)
    if check.stated is None or not counts_steps(check.name, check.stated) or not is_rounded:
        return
    for change, done, how in ((-1, "dropped", "less"), (1, "kept", "and")):
        derived = Interval.exact(check.derived.point + change)
        if check.stated.interval.holds(derived.point):
            taken = replace(
                check,
                derived=derived,
                how=f"{check.how}, {how} the last partial batch",
                agreement=agreement_of(derived, check.stated),
            )
            yield _Remedy(f"last batch {done}", f"the last partial batch is {done}", taken)


def _fewer_digits(check: Check) -> Iterator[_Remedy]:
    """The stated number with as many digits as agree, of those that its zeros allow."""
    if check.stated is None:
        return
    tried = [(fact, agreement_of(check.derived, fact)) for fact in check.stated.with_fewer_digits()]
    agreeing = [(fact, agreement) for fact, agreement in tried if agreement is not Agreement.CONTRADICTS]
    if not agreeing:
        return
    said = _said(check.stated, [fact for fact, _ in agreeing])
    stated, agreement = agreeing[0]
    yield _Remedy(said, said, replace(check, stated=stated, agreement=agreement))


def _fewer_digits_of_facts(check: Check) -> Iterator[_Remedy]:
    """A fact that is written with `~`, with as many digits as agree."""
    if check.stated is None or check.formula is None:
        return
    for name, fact in check.facts.items():
        agreeing = []
        for fewer in fact.with_fewer_digits() if fact.is_about else ():
            facts = {**check.facts, name: fewer}
            derived = evaluate(check.formula, {known: each.interval for known, each in facts.items()})
            agreement = agreement_of(derived, check.stated)
            if agreement is not Agreement.CONTRADICTS:
                agreeing.append(replace(check, derived=derived, facts=facts, agreement=agreement))
        if agreeing:
            said = _said(fact, [taken.facts[name] for taken in agreeing])
            yield _Remedy(said, said, agreeing[0])


def _said(printed: Fact, agreeing: Sequence[Fact]) -> str:
    """To how many digits a number is rounded, in words."""
    counts = sorted(fact.digits or 0 for fact in agreeing)
    digits = " or ".join(IN_WORDS[count] if count < len(IN_WORDS) else str(count) for count in counts)
    return f"{printed.spelled} is rounded to {digits} digit{'s' * (counts != [1])}"
