"""A run that was planned anew on the way: what it had done by then, and what follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dist_epochs.arithmetic.layout import Layout
from dist_epochs.arithmetic.schedule import Phase, Schedule
from dist_epochs.errors import InputError

__all__ = ["BEFORE", "History", "history_of", "history_to_json", "read_history"]

BEFORE = -1
"""In place of a recipe's phase: it was taken under the plan before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """What a run did before its plan was changed.

    Attributes:
        phases: Every step taken, as it was planned then.
        lanes: By sequence length, the lanes that a pass is cut into. They stay, so that a pass under way
            goes on in the same order whatever the batch becomes.
        mixtures: For each phase the weights of its own sources, or None where it drew the corpus's; nothing, where no
            phase had its own.
    """

    phases: tuple[Phase, ...]
    lanes: Mapping[int, int]
    mixtures: tuple[Mapping[str, int] | None, ...] = ()

    @property
    def steps(self) -> int:
        """Steps taken."""
        return sum(phase.steps for phase in self.phases)

    def followed_by(self, layout: Layout) -> Layout:
        """These steps, and those of a new layout from that step on.

        Raises:
            InputError: If the new layout ends before.
        """
        rest = list(_cut(zip(layout.phases, layout.stretches, strict=True), self.steps))
        total = sum(phase.steps for phase in layout.phases)
        if total < self.steps:
            raise InputError(
                f"the recipe now ends after {total:,} steps, and {self.steps:,} are taken already",
                fixes=f"{self.steps:,} steps or more",
            )
        return Layout(
            phases=(*self.phases, *(phase for phase, _ in rest)),
            stretches=(*(BEFORE for _ in self.phases), *(stretch for _, stretch in rest)),
            excesses=layout.excesses,
            partial=layout.partial and bool(rest),
        )


def history_of(plan: Mapping[str, Any], step: int) -> History:
    """What a run has done after a step.

    Args:
        plan: The object in `plan.json`.
        step: Steps taken.
    """
    phases = [
        Phase(steps=each["steps"], sequence_length=each["sequence_length"], global_batch=each["global_batch"])
        for each in plan["phases"]
    ]
    before = read_history(plan)
    schedule = Schedule(phases)
    lanes = {phase.sequence_length: schedule.largest_batch(phase.sequence_length) for phase in phases}
    taken: list[Phase] = []
    for phase in phases:
        steps = min(phase.steps, step - sum(each.steps for each in taken))
        if steps:
            taken.append(replace(phase, steps=steps))
    return History(
        phases=tuple(taken),
        lanes=lanes | dict(before.lanes if before else {}),
        mixtures=_mixtures([_weights(each.get("sources")) for each in plan["phases"][: len(taken)]]),
    )


def read_history(plan: Mapping[str, Any]) -> History | None:
    """The history in a `plan.json`; None if the run was never planned anew."""
    data = plan.get("history")
    if data is None:
        return None
    phases = tuple(
        Phase(steps=steps, sequence_length=length, global_batch=batch) for steps, length, batch in data["phases"]
    )
    return History(
        phases=phases,
        lanes={int(length): lanes for length, lanes in data["lanes"].items()},
        mixtures=_mixtures(data.get("mixtures") or ()),
    )


def history_to_json(history: History) -> dict[str, Any]:
    """For `plan.json`."""
    return {
        "phases": [[phase.steps, phase.sequence_length, phase.global_batch] for phase in history.phases],
        "lanes": {str(length): lanes for length, lanes in history.lanes.items()},
        **({"mixtures": [each and dict(each) for each in history.mixtures]} if history.mixtures else {}),
    }


def _weights(sources: Sequence[Mapping[str, Any]] | None) -> dict[str, int] | None:
    """The weights of a phase's own sources, as the phases of a plan hold them."""
    return None if sources is None else {source["name"]: source["weight"] for source in sources}


def _mixtures(found: Sequence[Mapping[str, int] | None]) -> tuple[Mapping[str, int] | None, ...]:
    return tuple(found) if any(found) else ()


def _cut(phases: Iterable[tuple[Phase, int]], steps: int) -> Iterable[tuple[Phase, int]]:
    """What is left of phases when so many steps are taken."""
    for phase, stretch in phases:
        left = phase.steps - steps
        if left > 0:
            yield replace(phase, steps=left), stretch
        steps = max(0, -left)
