"""Where the time of a run went: every second of it has one cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dist_epochs.ledger.totals import Totals

__all__ = ["CAUSES", "TimeLine", "time_line"]

MILLION = 10**6

CAUSES = {
    "start-up": "from the start of the program to its first step; loading a checkpoint is in it",
    "compile": "what the first step of each length took beyond the others: compiling, and warming up",
    "data": "waiting for batches",
    "compute": "forward, backward and update of the steps that count",
    "communication": "waiting for the counts of other ranks",
    "evaluation": "evaluating held-out documents",
    "checkpoint": "saving checkpoints",
    "replayed": "steps that were lost, and drawn again",
    "skipped": "steps whose update was not applied",
    "idle": "between the last line of a segment and the start of the next",
    "other": "rows before a pause, saving the model, ending",
    "unattributed": "steps of which the ledger says no more",
}
"""What time is spent on, in the order in which it is shown, and what each cause means."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeLine:
    """The time of rank 0, from the start of the first segment to the last line that has a time.

    Attributes:
        causes: Whole microseconds by cause; all of `CAUSES`.
        knows_data: Whether any step recorded how long it waited for data.
        data_steps: Steps that did.
        back_us: How far the clock jumped back; such intervals count as nothing.
        not_told_apart: Causes that the steps of the last segment do not tell from computing.
    """

    causes: dict[str, int]
    knows_data: bool
    data_steps: int
    back_us: int
    not_told_apart: tuple[str, ...]

    @property
    def wall_us(self) -> int:
        """All of it."""
        return sum(self.causes.values())

    @property
    def goodput(self) -> float | None:
        """Share of the time that computed steps that count; None where some of the time has no known cause.

        `goodput` and its rest, badput, are the words of Google's ml-goodput-measurement, whose `DATA_LOADING`,
        `PROGRAM_STARTUP`, `WASTED_PROGRESS_FROM_DISRUPTION` and `UNPRODUCTIVE_CHECKPOINT_SAVE_TIME` are our data,
        start-up with compile, replayed and checkpoint.
        """
        whole = self.wall_us
        return None if not whole or self.causes["unattributed"] else self.causes["compute"] / whole

    def to_json(self) -> dict[str, Any]:
        """Seconds by cause; `data` is None where no step recorded it, and then no part of the sum."""
        seconds: dict[str, float | None] = {cause: us / MILLION for cause, us in self.causes.items()}
        if not self.knows_data:
            seconds["data"] = None
        return {
            "wall_seconds": self.wall_us / MILLION,
            "causes": seconds,
            "data_steps": self.data_steps,
            "not_told_apart": list(self.not_told_apart),
            "clock_back_seconds": self.back_us / MILLION,
            "goodput": self.goodput,
        }


def time_line(totals: Totals) -> TimeLine:
    """Where the time went, by what a ledger adds up to."""
    clock, applied = totals.clock, totals.applied
    spent = dict.fromkeys(CAUSES, 0) | clock.spent
    left = applied.time.us
    unattributed = min(spent["unattributed"], max(0, applied.data_wait_us - left))  # of steps that were not timed
    data = min(left, applied.data_wait_us)
    left -= data
    communication = min(left, applied.time.communication_us)
    left -= communication
    compiling = min(left, sum(group.first_excess_us for group in applied.time.groups.values()))
    parts = {
        "data": data + unattributed,
        "communication": communication,
        "compile": compiling,
        "compute": left - compiling,
        "replayed": totals.replayed.time.us,
        "skipped": totals.skipped.time.us,
        "unattributed": spent["unattributed"] - unattributed,
    }
    tallies = (totals.applied, totals.skipped, totals.replayed)
    steps = sum(tally.data_wait_steps for tally in tallies)
    told = clock.timed if clock.timed is not None else ("data", "communication", "evaluation", "checkpoint")
    hidden = [cause for cause in ("data", "communication", "evaluation", "checkpoint") if cause not in told]
    return TimeLine(
        causes={cause: parts.get(cause, spent[cause]) for cause in CAUSES},
        knows_data=steps > 0,
        data_steps=steps,
        back_us=clock.back_us,
        not_told_apart=tuple(hidden),
    )
