"""A claim, recomputed under each of its readings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil, floor

from dist_epochs.arithmetic.agreement import Agreement
from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.text import scaled
from dist_epochs.audit.check import LITERAL, Check, Reading, Verdict, agreement_of
from dist_epochs.audit.claim import CheckText, Claim
from dist_epochs.audit.expression import Expression, Name, Number, evaluate, names_in, numbers_in, written
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.own_readings import counts_steps, own_reading
from dist_epochs.audit.suspects import Equation, Suspect, find_suspects
from dist_epochs.audit.verdict import Audit, judge
from dist_epochs.names import in_words

__all__ = ["audit_claim"]

_PERCENT = re.compile(r"%|per ?cent|pct", re.IGNORECASE)
"""Names of checks that count hundredths."""


def audit_claim(name: str, claim: Claim) -> Audit:
    """Recompute a claim under each of its readings; the verdict follows by the rules of `judge`.

    What is stated and cannot be derived is named beside the verdict of the rest. Where no reading settles a
    contradiction, rounding is tried (`own_reading`).

    Args:
        name: What the audit is called by.
        claim: The claim.
    """
    readings = (_reading(claim, None), *(_reading(claim, title) for title in claim.readings or {}))
    verdict, only_if = judge(readings, is_open=False)
    own = own_reading(readings[0]) if verdict is Verdict.INCONSISTENT else None
    if own is not None:
        readings = (*readings, own)
        verdict, only_if = judge(readings, is_open=False)
    return Audit(
        id=name,
        title=claim.title,
        heading=claim.heading,
        verdict=verdict,
        only_if=only_if,
        readings=readings,
        missing=_missing(readings[0], claim.unknown, verdict),
        notes=claim.notes,
        suspects=_suspects(readings[0]),
        unsearched=_unsearched(readings[0]),
        sources=claim.sources,
    )


def _reading(claim: Claim, title: str | None) -> Reading:
    text = (claim.readings or {})[title] if title is not None else None
    facts = {**claim.facts, **((text.facts if text else None) or {})}
    own = (text.checks if text else None) or {}
    stated = claim.checks or {}
    base: Mapping[str, CheckText] = {} if text is not None and text.only else stated
    checks = {**{name: own.get(name, check) for name, check in base.items()}, **own}
    left_out = {name: check for name, check in stated.items() if name not in checks and check.stated is not None}
    return Reading(
        name=title or LITERAL,
        assumes={**(claim.assumes or {}), **((text.assumes if text else None) or {})},
        checks=tuple(_check(name, check, stated.get(name), facts) for name, check in checks.items()),
        left_out=tuple(_check(name, check, None, facts) for name, check in left_out.items()),
    )


def _check(name: str, text: CheckText, base: CheckText | None, facts: Mapping[str, Fact]) -> Check:
    formula = text.formula or (base.formula if base else None)
    assert formula is not None  # the claim checks it
    stated = text.stated or (base.stated if base else None)
    used = {known: facts[known] for known in names_in(formula)}
    derived = evaluate(formula, {known: fact.interval for known, fact in used.items()})
    if stated is not None and stated.is_percent and (derived.point > 1 or _is_in_percent(name, formula)):
        stated = _nearer(derived, stated.in_percent(), stated)
    agreement = agreement_of(derived, stated) if stated is not None else None
    whole = _whole_steps(name, derived, stated) if agreement not in (None, Agreement.EXACT) else ""
    return Check(
        name=name,
        derived=derived,
        how=_arithmetic(formula, used) + whole,
        stated=stated,
        agreement=Agreement.ROUNDS if whole else agreement,
        uses=frozenset(used),
        formula=formula,
        facts=used,
    )


def _is_in_percent(name: str, formula: Expression) -> bool:
    """Whether a formula may give a number below one before a `%`: it multiplies by 100, or something is called so."""
    return Number("100") in numbers_in(formula) or any(_PERCENT.search(each) for each in (name, *names_in(formula)))


def _nearer(derived: Interval, one: Fact, other: Fact) -> Fact:
    """The stated number that a derived one is nearer to."""
    points = (one.number.value, other.number.value)
    return one if derived.point * derived.point > points[0] * points[1] else other


def _whole_steps(name: str, derived: Interval, stated: Fact | None) -> str:
    """A count of steps is whole: how the stated one follows from a derived one that is not, if it is next to it."""
    if stated is None or not counts_steps(name, stated):
        return ""
    point, value = derived.point, stated.number.value
    if point.denominator == 1 or not stated.number.is_written_out or value not in (floor(point), ceil(point)):
        return ""
    return f", {'up' if value > point else 'down'} to the next whole step"


def _arithmetic(formula: Expression, facts: Mapping[str, Fact]) -> str:
    """The formula with its facts' numbers; of a fact alone, its name and where it is from."""
    if isinstance(formula, Name):
        fact = facts[formula.name]
        name = in_words(formula.name)
        return f"{name}, from {fact.origin}" if fact.origin else name
    if isinstance(formula, Number):
        return written(formula)
    return written(formula, lambda name: scaled(facts[name.name].number.value))


def _missing(literal: Reading, unknown: Mapping[str, str] | None, verdict: Verdict) -> str | None:
    """What is stated and cannot be derived, or why there is no verdict."""
    if unknown:
        return "; ".join(f"{in_words(name)} cannot be derived without {what}" for name, what in unknown.items())
    if verdict is not Verdict.UNDERDETERMINED:
        return None
    if literal.worst is None:
        return "nothing that follows from its numbers is stated"
    return "its contradictions rest on numbers that were recalled or assumed, not read"


def _suspects(literal: Reading) -> tuple[Suspect, ...]:
    """What may be mistyped, where the literal reading contradicts.

    No suspect is looked for in a contradiction that rests on a number that was recalled or assumed.
    """
    checks = [check for check in literal.checks if check.stated is not None and not _rests_on_guess(check)]
    if not any(check.contradicts for check in checks):
        return ()
    facts: dict[str, Fact] = {}
    equations = []
    for check in checks:
        assert check.stated is not None
        assert check.formula is not None
        equations.append(Equation(check.name, check.formula, f"stated {check.name}"))
        facts |= check.facts
    stated = {f"stated {check.name}": check.stated for check in checks if check.stated is not None}
    return find_suspects(equations, {**facts, **stated})


def _unsearched(literal: Reading) -> tuple[str, ...]:
    """What facts in contradictions were worked out from."""
    wrong = [check for check in literal.contradictions if not _rests_on_guess(check)]
    derived = [fact for check in wrong for fact in check.facts.values() if fact.derived and fact.is_read]
    return tuple(dict.fromkeys(fact.read_in for fact in derived if fact.read_in is not None))


def _rests_on_guess(check: Check) -> bool:
    """Whether it contradicts, and a number in it was recalled or assumed."""
    return check.contradicts and check.is_unread
