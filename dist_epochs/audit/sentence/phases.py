"""What several phases give together: a total that is stated once is that of all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from dist_epochs.audit.sentence.relations import RELATIONS, Relation
from dist_epochs.audit.sentence.runs import Run

__all__ = ["WHOLE", "of_all_phases", "phase_formulas", "with_one_length"]

WHOLE = ("tokens", "samples", "epochs", "steps", "device_hours")
"""Results that may be those of all phases."""

OWN: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("tokens", "samples", "epochs"), frozenset({"steps"})),
    "steps": frozenset({"epochs"}),
    "device_hours": frozenset({"devices", "hours"}),
}
"""What a phase must state itself to have a part in a result."""
_ROLE = re.compile(r"[a-z_]{3,}")


def of_all_phases(runs: Sequence[Run]) -> frozenset[str]:
    """Results that the text states once, and that two or more of its phases have a part in."""
    return frozenset(
        role
        for role in WHOLE
        if any(role in run.facts for run in runs)
        and sum(role in run.facts and role not in run.borrowed for run in runs) == 1
        and sum(_relation(role, run) is not None for run in runs) > 1
    )


def phase_formulas(role: str, runs: Sequence[Run], names: Mapping[tuple[str, int], str]) -> list[str] | None:
    """The formula of each phase for a result; None where one of them cannot have it.

    Args:
        role: The result.
        runs: The phases.
        names: The names of facts, by role and phase.
    """
    found = []
    for at, run in enumerate(runs):
        relation = _relation(role, run)
        if relation is None:
            return None
        if not all((need, at) in names for need in relation.needs):
            return None
        found.append(_named(relation.formula, names, at))
    return found


def _named(formula: str, names: Mapping[tuple[str, int], str], at: int) -> str:
    return _ROLE.sub(lambda match: names.get((match[0], at), match[0]), formula)


def with_one_length(
    role: str, runs: Sequence[Run], names: Mapping[tuple[str, int], str]
) -> Iterator[tuple[str, list[str]]]:
    """The formulas if every phase had the length of one of them: the name of that length, and the formulas."""
    for chosen in range(len(runs)):
        length = names.get(("sequence_length", chosen))
        if length is None:
            continue
        changed = {**names, **{("sequence_length", at): length for at in range(len(runs))}}
        formulas = phase_formulas(role, runs, changed)
        if formulas is not None:
            yield length, formulas


def _relation(role: str, run: Run) -> Relation | None:
    """How a phase gives a part of a result, from its own steps; the way that borrows least from other phases."""
    corpus = run.facts["corpus"][0].unit if "corpus" in run.facts else ""
    counted = corpus if corpus in ("tokens", "words") else "samples"
    fitting = [
        relation
        for relation in RELATIONS
        if relation.result == role
        and not relation.only_about
        and relation.corpus in ("", "tokens" if counted == "words" else counted)
        and not relation.needs.isdisjoint(OWN[role])
        and not relation.needs & run.borrowed & OWN[role]
        and relation.needs <= set(run.facts)
    ]
    return min(fitting, key=lambda relation: len(relation.needs & set(run.borrowed)), default=None)
