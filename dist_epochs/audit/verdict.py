"""Each reading's checks, how well they agree, and the verdict that follows by rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import log
from typing import Any

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import json_number
from dist_epochs.audit.agreement import Agreement, agreement_of, worst_of
from dist_epochs.audit.claim import LITERAL, CheckText, Claim
from dist_epochs.audit.expression import Expression, evaluate, names_in
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.grammar import parse_expression
from dist_epochs.audit.suspects import Equation, Suspect, find_suspects

__all__ = ["Audit", "Check", "Reading", "Verdict", "audit_claim"]


class Verdict(StrEnum):
    """What is to be said of a claim."""

    CONSISTENT = "consistent"
    WITH_ROUNDING = "consistent-with-rounding"
    ONLY_IF = "consistent-only-if"
    INCONSISTENT = "inconsistent"
    UNDERDETERMINED = "underdetermined"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One number, derived and stated.

    Attributes:
        name: What it is.
        formula: How it is derived.
        facts: The facts in it, as this reading has them.
        derived: What comes out.
        stated: What the work says; None if it says nothing.
        agreement: How they agree; None if nothing is stated.
    """

    name: str
    formula: Expression
    facts: Mapping[str, Fact]
    derived: Interval
    stated: Fact | None
    agreement: Agreement | None

    @property
    def is_unread(self) -> bool:
        """Whether a number in it was remembered or assumed, not read."""
        return any(not fact.is_read for fact in (*self.facts.values(), *([self.stated] if self.stated else [])))

    @property
    def is_guessed_wrong(self) -> bool:
        """Whether it contradicts, and a number in it was remembered or assumed."""
        return self.agreement is Agreement.CONTRADICTS and self.is_unread

    @property
    def ratio(self) -> float | None:
        """Derived ÷ stated."""
        if self.stated is None or not self.stated.number.value:
            return None
        return float(self.derived.point / self.stated.number.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A way to read the claim.

    Attributes:
        name: Its name; `as printed` for the literal one.
        literal: Whether it takes everything as it stands.
        assumes: What it takes for granted, by name.
        checks: Its checks.
        left_out: The claim's checks that it leaves out, with its own facts.
    """

    name: str
    literal: bool
    assumes: Mapping[str, str]
    checks: tuple[Check, ...]
    left_out: tuple[Check, ...] = ()

    @property
    def worst(self) -> Agreement | None:
        """The worst agreement of what is stated; None if nothing is."""
        return worst_of(check.agreement for check in self.checks)


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """A claim, recomputed.

    Attributes:
        id: The claim's name.
        claim: The claim.
        verdict: What follows by rule.
        only_if: The condition under which it is consistent, what matters most first.
        readings: All readings, the literal one first.
        suspects: Where the literal reading contradicts: single changes that would close it.
        missing: What would have to be known for what is stated, or for a verdict.
        unsearched: Where the literal reading contradicts: the settings that facts were worked out from. Slips in them
            are not searched.
    """

    id: str
    claim: Claim
    verdict: Verdict
    only_if: str | None
    readings: tuple[Reading, ...]
    suspects: tuple[Suspect, ...] = ()
    missing: str | None = None
    unsearched: tuple[str, ...] = ()

    @property
    def contrary(self) -> tuple[Reading, Check] | None:
        """Beside a condition: the reading that contradicts most for the assumptions it changes, and its check."""
        if self.only_if is None:
            return None
        found = [
            (reading, check)
            for reading in self.readings
            for check in reading.checks
            if check.agreement is Agreement.CONTRADICTS and check.ratio
        ]
        own = [pair for pair in found if not pair[0].literal] or found
        printed = self.readings[0].assumes
        return max(
            own,
            key=lambda pair: abs(log(pair[1].ratio or 1)) / max(1, len(pair[0].assumes.items() - printed.items())),
            default=None,
        )

    def to_json(self) -> dict[str, Any]:
        """The object of `dist-epochs audit --json`."""
        return {
            "id": self.id,
            "title": self.claim.title,
            "verdict": str(self.verdict),
            "only_if": self.only_if,
            "readings": [
                {
                    "name": reading.name,
                    "literal": reading.literal,
                    "assumes": dict(reading.assumes),
                    "checks": [_check_json(check) for check in reading.checks],
                }
                for reading in self.readings
            ],
            "suspects": [suspect.to_json() for suspect in self.suspects],
            "missing": self.missing,
            "unsearched": list(self.unsearched),
            "notes": list(self.claim.notes),
        }


def audit_claim(name: str, claim: Claim) -> Audit:
    """Recompute a claim under each of its readings.

    The verdict follows by rule. Nothing stated: underdetermined. The literal reading holds exactly or rounds to
    what is stated: consistent; it overlaps somewhere: consistent with rounding; it contradicts, and another reading
    does not: consistent only if; else inconsistent, unless a contradiction rests on a number that was recalled
    or assumed, not read: underdetermined.
    """
    readings = (_reading(claim, None), *(_reading(claim, title) for title in claim.readings or {}))
    verdict = _verdict(readings, claim.unknown)
    return Audit(
        id=name,
        claim=claim,
        verdict=verdict,
        only_if=_only_if(readings, verdict),
        readings=readings,
        suspects=_suspects(readings[0]),
        missing=_missing(readings[0], claim.unknown, verdict),
        unsearched=_unsearched(readings[0]),
    )


def _unsearched(literal: Reading) -> tuple[str, ...]:
    """What facts in contradictions were worked out from."""
    wrong = [c for c in literal.checks if c.agreement is Agreement.CONTRADICTS and not c.is_guessed_wrong]
    derived = [fact for check in wrong for fact in check.facts.values() if fact.derived and fact.is_read]
    return tuple(dict.fromkeys(fact.read_in for fact in derived if fact.read_in is not None))


def _suspects(literal: Reading) -> tuple[Suspect, ...]:
    """What may be mistyped, where the literal reading contradicts; what rests on a guess points at nobody."""
    checks = [check for check in literal.checks if check.stated is not None and not check.is_guessed_wrong]
    if not any(check.agreement is Agreement.CONTRADICTS for check in checks):
        return ()
    stated = {f"stated {check.name}": check.stated for check in checks if check.stated is not None}
    facts = {name: fact for check in checks for name, fact in check.facts.items()}
    equations = tuple(Equation(check.name, check.formula, f"stated {check.name}") for check in checks)
    return find_suspects(equations, {**facts, **stated})


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
        literal=title is None,
        assumes={**(claim.assumes or {}), **((text.assumes if text else None) or {})},
        checks=tuple(_check(name, check, stated.get(name), facts) for name, check in checks.items()),
        left_out=tuple(_check(name, check, None, facts) for name, check in left_out.items()),
    )


def _check(name: str, text: CheckText, base: CheckText | None, facts: Mapping[str, Fact]) -> Check:
    formula = text.formula or (base.formula if base else None)
    assert formula is not None  # the claim checks it
    stated = text.stated or (base.stated if base else None)
    expression = parse_expression(formula)
    derived = evaluate(expression, {known: fact.interval for known, fact in facts.items()})
    return Check(
        name=name,
        formula=expression,
        facts={known: facts[known] for known in names_in(expression)},
        derived=derived,
        stated=stated,
        agreement=agreement_of(derived, stated) if stated is not None else None,
    )


def _missing(literal: Reading, unknown: Mapping[str, str] | None, verdict: Verdict) -> str | None:
    """What is stated and cannot be derived, or why there is no verdict."""
    if unknown:
        return "; ".join(f"{name} cannot be derived without {what}" for name, what in unknown.items())
    if verdict is not Verdict.UNDERDETERMINED:
        return None
    if literal.worst is None:
        return "nothing that follows from its numbers is stated"
    return "its contradictions rest on numbers that were recalled or assumed, not read"


def _verdict(readings: tuple[Reading, ...], unknown: Mapping[str, str] | None) -> Verdict:
    literal, *others = readings
    if unknown and literal.worst is not Agreement.CONTRADICTS:
        return Verdict.UNDERDETERMINED
    match literal.worst:
        case None:
            return Verdict.UNDERDETERMINED
        case Agreement.EXACT | Agreement.ROUNDS:
            return Verdict.CONSISTENT
        case Agreement.OVERLAPS:
            return Verdict.WITH_ROUNDING
    if any(_agrees(reading) for reading in others):
        return Verdict.ONLY_IF
    contradictions = [check for check in literal.checks if check.agreement is Agreement.CONTRADICTS]
    if all(check.is_unread for check in contradictions):
        return Verdict.UNDERDETERMINED
    return Verdict.INCONSISTENT


def _agrees(reading: Reading) -> bool:
    """Whether nothing that is stated contradicts a reading.

    What it leaves out of the claim counts, too: a reading cannot settle one number by not looking at another.
    """
    found = [*reading.checks, *reading.left_out]
    return not any(check.agreement is Agreement.CONTRADICTS for check in found)


def _only_if(readings: tuple[Reading, ...], verdict: Verdict) -> str | None:
    """What the agreeing reading assumes and a contradicting one does not, by how much that changes.

    Readings that were tried and contradict tell how much each assumption matters: those that change one assumption
    first, then those that change more, whose effect is shared by the assumptions not yet known.
    """
    if verdict is not Verdict.ONLY_IF:
        return None
    best = min(
        (reading for reading in readings[1:] if _agrees(reading)),
        key=lambda reading: list(Agreement).index(reading.worst or Agreement.CONTRADICTS),
    )
    effects: dict[str, float] = {}
    tried = [
        (other, [name for name in best.assumes if other.assumes.get(name) != best.assumes[name]]) for other in readings
    ]
    for other, different in sorted(tried, key=lambda pair: len(pair[1])):
        new = [name for name in different if name not in effects]
        if new and other.worst is Agreement.CONTRADICTS:
            left = _effect(best, other) - sum(effects[name] for name in different if name in effects)
            effects |= {name: max(left, 0.0) / len(new) for name in new}
    printed = readings[0].assumes
    settles = [name for name in best.assumes if best.assumes[name] != printed.get(name)]
    if not settles:  # the agreeing reading changes facts and no assumption: its name says which
        return best.name
    ranked = sorted(effects, key=lambda name: -effects[name])
    large = [name for name in ranked if effects[name] >= LARGE] or ranked
    return " and ".join(best.assumes[name] for name in large) or best.name


LARGE = log(1.1)
"""Assumptions that move a stated number by a tenth or more come into the condition, if there are any."""


def _effect(best: Reading, other: Reading) -> float:
    """How far another reading moves the stated numbers, at most, as a logarithm."""
    mine = {check.name: check for check in best.checks if check.stated is not None}
    moves = [
        abs(log(check.derived.point / mine[check.name].derived.point))
        for check in other.checks
        if check.name in mine and check.derived.point > 0 < mine[check.name].derived.point
    ]
    return max(moves, default=0.0)


def _check_json(check: Check) -> dict[str, Any]:
    derived = check.derived.point
    return {
        "name": check.name,
        "derived": str(json_number(derived)) if derived.denominator == 1 else str(derived),
        "value": json_number(derived),
        "low": json_number(check.derived.low),
        "high": json_number(check.derived.high),
        "stated": check.stated.printed if check.stated else None,
        "agreement": str(check.agreement) if check.agreement else None,
        "ratio": check.ratio,
    }
