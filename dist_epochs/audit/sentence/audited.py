"""The audit of a text: its facts as a claim, recomputed as any other claim is, and its verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dist_epochs.arithmetic.text import scaled
from dist_epochs.audit.check import LITERAL, Verdict
from dist_epochs.audit.check import Reading as WayToRead
from dist_epochs.audit.claim import CheckText, Claim, ReadingText
from dist_epochs.audit.claim_audit import audit_claim
from dist_epochs.audit.expression import names_in, written
from dist_epochs.audit.sentence.building import make_draft
from dist_epochs.audit.sentence.change import Change
from dist_epochs.audit.sentence.draft import Draft, DraftCheck
from dist_epochs.audit.sentence.missing import what_is_missing
from dist_epochs.audit.sentence.reader import read_text
from dist_epochs.audit.sentence.reading import Reading
from dist_epochs.audit.sentence.usual import settling, usual_changes
from dist_epochs.audit.verdict import Audit

__all__ = ["SentenceAudit", "audit_text_of", "claim_of"]


@dataclass(frozen=True, kw_only=True)
class SentenceAudit:
    """A text, read and audited.

    Attributes:
        reading: Its facts and its other numbers.
        audit: What follows from them.
        claim: The claim that it was read as; None where nothing follows.
    """

    reading: Reading
    audit: Audit
    claim: Claim | None

    def noting(self, note: str) -> SentenceAudit:
        """The same with another note."""
        return replace(self, audit=replace(self.audit, notes=(*self.audit.notes, note)))

    def to_json(self) -> dict[str, Any]:
        """The object of `dist-epochs audit --json`."""
        return {
            **self.audit.to_json(),
            "facts": [fact.to_json() for fact in self.reading.facts],
            "unused": [number.to_json() for number in self.reading.unused],
        }


def audit_text_of(given: str, name: str = "sentence") -> SentenceAudit:
    """Read a text and audit what it states.

    Args:
        given: The text.
        name: What the audit is called by: the file, or `sentence`.

    Raises:
        InputError: If the text is empty or too long.
    """
    return audit_reading(read_text(given), name)


def audit_reading(reading: Reading, name: str) -> SentenceAudit:
    """Audit what was read of a text; where that contradicts, tokens may be the size of the data, if this agrees."""
    audited, _ = _audited(reading, name)
    if audited.audit.verdict is not Verdict.INCONSISTENT:
        return audited
    for other, condition in _as_data(reading):
        found, other_draft = _audited(other, name)
        if found.audit.verdict in _AGREEING and _rests_on_data(other_draft):
            conditions = dict.fromkeys([condition, *([found.audit.only_if] if found.audit.only_if else [])])
            return replace(found, audit=replace(found.audit, verdict=Verdict.ONLY_IF, only_if=" and ".join(conditions)))
    return audited


_TRAINED_ON = re.compile(r"(?i)\b(?:on|over|auf|sur)\s+(?:(?:the|our|about|around|roughly|approximately|some)\s+)*$")
"""Before tokens that may be those of the data or those that are drawn."""
_AGREEING = (Verdict.CONSISTENT, Verdict.WITH_ROUNDING, Verdict.ONLY_IF)


def _as_data(reading: Reading) -> Iterator[tuple[Reading, str]]:
    """The readings in which one of the numbers of tokens is the size of the data, and how each is called."""
    if any(fact.role == "corpus" for fact in reading.facts):
        return
    for at, fact in enumerate(reading.facts):
        if fact.role == "tokens" and not fact.numeral.bound and _TRAINED_ON.search(reading.given[: fact.start]):
            facts = (*reading.facts[:at], replace(fact, role="corpus"), *reading.facts[at + 1 :])
            spelled = f"{fact.numeral.spelling} {fact.unit}"
            yield replace(reading, facts=facts), f"{spelled} are the data, not those drawn"


def _rests_on_data(draft: Draft) -> bool:
    """Whether something that is stated still follows: epochs over the data, or the tokens that are drawn."""
    return any(
        check.stated is not None
        and (
            check.result == "tokens" or any(draft.roles.get(n, ("", 0))[0] == "corpus" for n in names_in(check.formula))
        )
        for check in draft.checks
    )


def _audited(reading: Reading, name: str) -> tuple[SentenceAudit, Draft]:
    draft = make_draft(reading)
    changes = settling(draft, usual_changes(draft)) if draft.contradictions else ()
    claim = claim_of(draft, changes, name)
    if claim is None:
        return SentenceAudit(reading=reading, audit=_nothing(reading, draft, name), claim=None), draft
    audit = audit_claim(name, claim)
    verdict, only_if, notes = _judged(audit, draft, changes)
    missing = audit.missing
    if verdict is Verdict.UNDERDETERMINED:
        missing = what_is_missing(reading, draft)
    notes = (*notes, *draft.dropped)
    audit = replace(audit, verdict=verdict, only_if=only_if, notes=notes, missing=missing)
    return SentenceAudit(reading=reading, audit=audit, claim=claim), draft


def claim_of(draft: Draft, changes: Sequence[Change], name: str) -> Claim | None:
    """The claim of a draft; None where nothing follows from its facts."""
    if not draft.checks:
        return None
    checks = {check.name: CheckText(formula=check.formula, stated=check.stated) for check in draft.checks}
    formulas = [check.formula for check in draft.checks] + [each for way in changes for each in way.formulas.values()]
    used = {name for formula in formulas for name in names_in(formula)}
    facts = {name: fact for name, fact in draft.facts.items() if name in used}
    assumes = {change.key: change.literal for change in changes}
    if any(check.words for check in draft.checks):
        assumes["words"] = "a word is one token"
    readings = {}
    for change in changes:
        own = {
            check.name: CheckText(
                formula=change.formulas.get(check.name, check.formula),
                stated=change.stated.get(check.name, check.stated),
            )
            for check in draft.checks
            if check.name in change.stated or check.name in change.formulas
        }
        readings[change.assumes] = ReadingText(
            assumes={change.key: change.assumes},
            checks=own or None,
            facts={name: fact for name, fact in change.facts.items() if name in facts} or None,
        )
    return Claim(title=name, facts=facts, checks=checks, assumes=assumes or None, readings=readings or None)


def _judged(audit: Audit, draft: Draft, changes: Sequence[Change]) -> tuple[Verdict, str | None, tuple[str, ...]]:
    """The verdict with the conditions that the text does not state, and notes on products that do not multiply out."""
    brought = _brought(draft)
    notes = [_off(check, draft) for check in draft.contradictions if audit.verdict is Verdict.ONLY_IF]
    match audit.verdict:
        case Verdict.CONSISTENT | Verdict.WITH_ROUNDING if brought:
            return Verdict.ONLY_IF, " and ".join(brought), tuple(notes)
        case Verdict.ONLY_IF if brought:
            small = [change for change in changes if change.is_small and change.assumes in (audit.only_if or "")]
            if small or any(said.startswith("a word is about") for said in (audit.only_if or "",)):
                own = [said for said in brought if not (said.startswith("a word") and not small)]
                conditions = own if small else [audit.only_if or "", *own]
                told = [f"This takes it that {audit.only_if}."] if small else []
                return Verdict.ONLY_IF, " and ".join(dict.fromkeys(conditions)), (*notes, *told)
            return Verdict.ONLY_IF, " and ".join(dict.fromkeys([audit.only_if or "", *brought])), tuple(notes)
    return audit.verdict, audit.only_if, tuple(notes)


def _brought(draft: Draft) -> list[str]:
    """What the agreement rests on, and the text does not state: one length for all steps, and a word as a token."""
    found = []
    for check in draft.checks:
        if check.brings:
            found.append(check.brings)
        if check.words and check.stated is not None:
            for name in names_in(check.formula):
                if draft.roles.get(name, ("", 0))[0] == "sequence_length":
                    found.append(f"every step has length {scaled(draft.facts[name].number.value)}")
            found.append("a word is one token")
    return list(dict.fromkeys(found))


def _off(check: DraftCheck, draft: Draft) -> str:
    """A product that is not what it is said to be: `256 × 512 is 131,072, not 128,000`."""
    from dist_epochs.arithmetic.text import precise
    from dist_epochs.audit.expression import evaluate

    assert check.stated is not None
    derived = evaluate(check.formula, {name: draft.facts[name].interval for name in names_in(check.formula)})
    how = written(check.formula, lambda name: scaled(draft.facts[name.name].number.value))
    return f"{how} is {precise(derived.point)}, not {check.stated.printed}."


def _nothing(reading: Reading, draft: Draft, name: str) -> Audit:
    """The audit of a text of which nothing follows."""
    return Audit(
        id=name,
        title=name,
        heading=name,
        verdict=Verdict.UNDERDETERMINED,
        only_if=None,
        readings=(WayToRead(name=LITERAL, assumes={}, checks=()),),
        missing=what_is_missing(reading, draft),
        notes=draft.dropped,
    )
