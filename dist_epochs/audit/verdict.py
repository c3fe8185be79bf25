"""The verdict, which follows by rule from the readings of a claim or a run, and the audit that holds both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING, Any

from dist_epochs.arithmetic.agreement import Agreement
from dist_epochs.audit.check import Check, Reading, Verdict
from dist_epochs.audit.suspects import Suspect

if TYPE_CHECKING:
    from dist_epochs.audit.records.record import FinishedRun

__all__ = ["Audit", "judge"]

LARGE_EFFECT = log(1.1)
"""Assumptions that move a stated number by a tenth or more come into the condition, if there are any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """A claim or a finished run, recomputed.

    Attributes:
        id: The claim's name, or the run's path.
        title: What it is.
        heading: The same with where to find it, in one line.
        verdict: What follows by rule.
        only_if: The condition under which it is consistent, what matters most first.
        readings: All readings, the literal one first.
        missing: What would have to be known for what is stated, or for a verdict.
        notes: What else is worth knowing.
        suspects: Where the literal reading of a claim contradicts: single changes that would close it.
        unsearched: Where the literal reading of a claim contradicts: the settings that facts were worked out from.
            Slips in them are not searched.
        sources: Where a claim's numbers were read, with addresses; and what was recalled or assumed, not read.
        run: The run; None for a claim.
        record: Of a run, what its files say and what follows from them alone, by name.
    """

    id: str
    title: str
    heading: str
    verdict: Verdict
    only_if: str | None
    readings: tuple[Reading, ...]
    missing: str | None
    notes: tuple[str, ...]
    suspects: tuple[Suspect, ...] = ()
    unsearched: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    run: FinishedRun | None = None
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def contrary(self) -> tuple[Reading, Check] | None:
        """Beside a condition: the reading that contradicts most for the assumptions it changes, and its check."""
        if self.only_if is None:
            return None
        found = [(reading, check) for reading in self.readings for check in reading.contradictions if check.ratio]
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
            "title": self.title,
            **({"kind": self.run.kind} if self.run is not None else {}),
            "verdict": str(self.verdict),
            "only_if": self.only_if,
            "readings": [reading.to_json() for reading in self.readings],
            "suspects": [suspect.to_json() for suspect in self.suspects],
            "missing": self.missing,
            "unsearched": list(self.unsearched),
            "sources": list(self.sources),
            **({**self.run.to_json(), "record": dict(self.record)} if self.run is not None else {}),
            "notes": list(self.notes),
        }


def judge(readings: Sequence[Reading], *, is_open: bool) -> tuple[Verdict, str | None]:
    """The verdict, and the condition where it is consistent only under one.

    The literal reading contradicts, and another one does not: consistent only if. Every reading contradicts:
    inconsistent, unless each contradiction of the literal one rests on a number that was recalled or assumed, not
    read: underdetermined. Nothing stated, or something that cannot be derived: underdetermined. Else consistent, or
    consistent with rounding, if something only overlaps.

    Args:
        readings: All readings, the literal one first.
        is_open: Whether something is stated that cannot be derived.
    """
    literal, *others = readings
    if literal.worst is Agreement.CONTRADICTS:
        agreeing = [reading for reading in others if not reading.is_contradicted]
        if agreeing:
            best = min(agreeing, key=lambda reading: list(Agreement).index(reading.worst or Agreement.CONTRADICTS))
            return Verdict.ONLY_IF, _condition(readings, best)
        is_unread = all(check.is_unread for check in literal.contradictions)
        return (Verdict.UNDERDETERMINED if is_unread else Verdict.INCONSISTENT), None
    if literal.worst is None or is_open:
        return Verdict.UNDERDETERMINED, None
    return (Verdict.WITH_ROUNDING if literal.worst is Agreement.OVERLAPS else Verdict.CONSISTENT), None


def _condition(readings: Sequence[Reading], best: Reading) -> str:
    """What the agreeing reading assumes and contradicting ones do not, by how much that changes.

    Readings that were tried and contradict tell how much each assumption matters: those that change one assumption
    first, then those that change more, whose effect is shared by the assumptions not yet known. Where the reading
    assumes something that no contradicting one does, that is the condition; else it takes all that sets it apart from
    one of them.
    """
    effects: dict[str, float] = {}
    wrong = [other for other in readings if other.worst is Agreement.CONTRADICTS]
    tried = [
        (other, [name for name in best.assumes if other.assumes.get(name) != best.assumes[name]]) for other in wrong
    ]
    for other, different in sorted(tried, key=lambda pair: len(pair[1])):
        new = [name for name in different if name not in effects]
        if new:
            left = _effect(best, other) - sum(effects[name] for name in different if name in effects)
            effects |= {name: max(left, 0.0) / len(new) for name in new}
    printed = readings[0].assumes
    if all(best.assumes[name] == printed.get(name) for name in best.assumes):
        return best.name  # it changes facts and no assumption: its name says which
    ranked = sorted(effects, key=lambda name: -effects[name])
    own = [name for name in ranked if all(name in different for _, different in tried)] or ranked
    large = [name for name in own if effects[name] >= LARGE_EFFECT] or own
    return " and ".join(best.assumes[name] for name in large) or best.name


def _effect(best: Reading, other: Reading) -> float:
    """How far another reading moves derived numbers against what is stated, at most, as a logarithm."""
    mine = {check.name: check.ratio for check in best.checks}
    ratios = [(check.ratio, mine.get(check.name)) for check in other.checks]
    return max((abs(log(one / two)) for one, two in ratios if one is not None and two and one > 0 < two), default=0.0)
