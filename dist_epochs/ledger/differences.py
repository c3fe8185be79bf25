"""Where a ledger differs from its plan, each difference with its cause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.file import drawn_from_json
from dist_epochs.ledger.plan_file import UNITS
from dist_epochs.ledger.totals import Totals

__all__ = ["Difference", "differences_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One cause of a difference between plan and ledger.

    Attributes:
        unit: What is counted; `tokens of NAME` for one source, `digest of …` for the proof.
        planned: The plan's number; of `re-planned`, the number the run was begun with.
        recorded: The ledger's number, applied steps only.
        cause: `skipped`, `stopped early`, `not finished`, `topology changed`, `re-planned` or `unexplained`.
        amount: How much of the difference this cause makes; None for digests.
    """

    unit: str
    planned: int | str
    recorded: int | str
    cause: str
    amount: int | None

    def to_json(self) -> dict[str, Any]:
        """As in `dist-epochs ledger --json`."""
        return {name: getattr(self, name) for name in self.__slots__}


def differences_of(totals: Totals, plan: Mapping[str, Any]) -> Iterator[Difference]:
    """Every difference in a unit, in a source and in a digest.

    Args:
        totals: What was recorded.
        plan: The object in `plan.json`.
    """
    recorded, skipped = ({"steps": tally.steps, **tally.by_unit()} for tally in (totals.applied, totals.skipped))
    left = _left(plan, totals.last_step)
    yield from _replanned(plan, recorded)
    for unit in UNITS:
        if plan[unit] is not None:
            yield from _explain(unit, plan[unit], recorded[unit], skipped[unit], totals, plan, left.get(unit))
    passes = dict(drawn_from_json(plan["passes"] or []))
    if passes and not totals.is_of_users_loop:
        yield from _by_source(passes, totals, plan)
        yield from _digests(passes, totals)


def _left(plan: Mapping[str, Any], done: int) -> dict[str, int]:
    """What is planned for the steps after step `done`, in the units that follow from the phases."""
    left = dict.fromkeys(UNITS[:4], 0)
    for phase in plan["phases"]:
        steps = phase["steps"] - min(done, phase["steps"])
        done -= phase["steps"] - steps
        samples = steps * phase["global_batch"]
        left["steps"] += steps
        left["micro_steps"] += steps * (phase["gradient_accumulation"] or 0)
        left["samples"] += samples
        left["positions"] += samples * (phase["sequence_length"] or 0)
    return left


def _replanned(plan: Mapping[str, Any], recorded: Mapping[str, int]) -> Iterator[Difference]:
    """What a new plan added or removed, compared with the plan that the run was begun with."""
    if not plan.get("replanned"):
        return
    first = plan["replanned"][0]["planned"]
    for unit in UNITS:
        if first.get(unit) is not None and plan[unit] is not None and first[unit] != plan[unit]:
            amount = first[unit] - plan[unit]
            yield Difference(unit=unit, planned=first[unit], recorded=recorded[unit], cause="re-planned", amount=amount)


def _explain(
    unit: str,
    planned: int,
    recorded: int,
    skipped: int,
    totals: Totals,
    plan: Mapping[str, Any],
    left: int | None,
) -> Iterator[Difference]:
    """Split the difference in one unit by cause.

    `left` is what the steps that were not taken would have drawn, where that is known. A run that ended early
    explains exactly that much, and nothing else.
    """
    if skipped:
        yield Difference(unit=unit, planned=planned, recorded=recorded, cause="skipped", amount=skipped)
    rest = planned - recorded - skipped
    if rest:
        cause = _cause(unit, rest, totals, plan, left)
        yield Difference(unit=unit, planned=planned, recorded=recorded, cause=cause, amount=rest)


def _cause(unit: str, rest: int, totals: Totals, plan: Mapping[str, Any], left: int | None) -> str:
    batch = plan["global_batch"]
    laid = {name: batch[name] for name in ("data_parallel_size", "per_device") if name in batch}
    if unit == "micro_steps" and any(s.facts.get(n, v) != v for s in totals.segments for n, v in laid.items()):
        return "topology changed"
    status = totals.segments[-1].status
    if rest > 0 and left in (None, rest) and totals.last_step < plan["steps"] and status != "finished":
        return "stopped early" if status == "stopped" else "not finished"
    return "unexplained"


def _by_source(planned: Mapping[PassKey, Counts], totals: Totals, plan: Mapping[str, Any]) -> Iterator[Difference]:
    names = list(dict.fromkeys(key.source for key in planned))
    for name in names if len(names) > 1 else ():
        for unit in ("samples", "tokens"):
            wanted, applied, skipped = (
                sum(getattr(counts, unit) for key, counts in passes.items() if key.source == name)
                for passes in (planned, totals.applied.passes, totals.skipped.passes)
            )
            yield from _explain(f"{unit} of {name}", wanted, applied, skipped, totals, plan, None)


def _digests(planned: Mapping[PassKey, Counts], totals: Totals) -> Iterator[Difference]:
    """Check that each sample was drawn exactly once: by the digest, wherever a planned part was drawn in full."""
    for key, counts in planned.items():
        drawn = totals.applied.passes.get(key, Counts()) + totals.skipped.passes.get(key, Counts())
        if drawn.samples == counts.samples and drawn != counts:
            yield Difference(
                unit=f"digest of {_part(key)}",
                planned=f"{counts.digest:032x}",
                recorded=f"{drawn.digest:032x}",
                cause="unexplained",
                amount=None,
            )
    for key, counts in totals.applied.passes.items():
        if key not in planned:
            yield Difference(
                unit=f"samples of {_part(key)}",
                planned=0,
                recorded=counts.samples,
                cause="unexplained",
                amount=-counts.samples,
            )


def _part(key: PassKey) -> str:
    return f"{key.source}, length {key.sequence_length}, pass {key.number}, phase {key.phase}"
