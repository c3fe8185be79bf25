"""A run directory of our own, or the ledger of a drop-in: the reconciliation as an audit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dist_epochs.audit.records.record import Balance, FinishedRun, Number, Segment, Span, made_again, whole
from dist_epochs.ledger.plan_file import UNITS
from dist_epochs.ledger.reconcile import read_run

__all__ = ["read_own_run"]

SETTINGS = {"samples": "global_batch", "data_parallel_size": "data_parallel_size"}
"""Keys of the plan's `global_batch`, and what they are here. Its `per_device` is a maximum, and no factor."""


def read_own_run(path: Path) -> FinishedRun:
    """Read plan and ledger.

    Raises:
        InputError: If there is no ledger, or one of them is damaged.
    """
    found = read_run(path)
    return _finished(found.to_json(), found.plan, path)


def _finished(data: Mapping[str, Any], plan: Mapping[str, Any] | None, path: Path) -> FinishedRun:
    recorded = {unit: data[unit] for unit in UNITS[1:]} | {"steps": data["steps"]["applied"]}
    numbers = {}
    for name in ("steps", "samples", "tokens"):
        if (number := whole(recorded[name], "ledger", least=0)) is not None:
            numbers[name] = number
    if (epochs := Number.read(data["epochs"]["samples"], "ledger and plan")) is not None:
        numbers["epochs"] = epochs
    numbers |= dict(_settings(plan))
    if (number := whole(data["segments"][-1].get("world_size"), "ledger: world_size of the last segment")) is not None:
        numbers["devices"] = number
    segments = tuple(
        Segment(Span(one["first_step"], one["last_step"]), f"ledger, {one['status']}") for one in data["segments"]
    )
    return FinishedRun(
        kind="dist-epochs",
        path=str(path),
        numbers=numbers,
        segments=segments,
        overlaps=made_again(one for one in segments if one.steps.first > 0),
        balances=tuple(_balances(data, plan, recorded)),
        notes=tuple(_notes(data, plan)),
    )


def _settings(plan: Mapping[str, Any] | None) -> Iterator[tuple[str, Number]]:
    if plan is None:
        return
    phases, batch = plan["phases"], plan["global_batch"]
    if len(phases) == 1:
        for key, name in SETTINGS.items():
            if (number := whole(batch.get(key), f"plan.json: global_batch.{key}")) is not None:
                yield name, number
        for key in ("gradient_accumulation", "sequence_length"):
            if (number := whole(phases[0].get(key), f"plan.json: phases.0.{key}")) is not None:
                yield key, number
    if (number := whole(plan["steps"], "plan.json: steps")) is not None:
        yield "planned_steps", number


def _balances(
    data: Mapping[str, Any], plan: Mapping[str, Any] | None, recorded: Mapping[str, int]
) -> Iterator[Balance]:
    """Each unit of the plan compared with the ledger, with the causes of the differences."""
    for unit in UNITS if plan is not None else ():
        planned = data["planned"][unit]
        if planned is None:
            continue
        causes = {
            one["cause"]: one["amount"]
            for one in data["differences"]
            if one["unit"] == unit and one["cause"] not in ("unexplained", "re-planned")
        }
        yield Balance(unit=unit, planned=planned, recorded=recorded[unit], explained=causes)
    for one in data["differences"]:  # of single sources, and digests, which are numbers of 128 bits
        if one["unit"] not in UNITS and one["cause"] == "unexplained":
            planned, here = (int(end, 16) if isinstance(end, str) else end for end in (one["planned"], one["recorded"]))
            yield Balance(unit=one["unit"], planned=planned, recorded=here, explained={})


def _notes(data: Mapping[str, Any], plan: Mapping[str, Any] | None) -> Iterator[str]:
    if plan is None:
        yield "There is no plan beside this ledger, so its numbers are compared with what is claimed alone."
    reported, epochs = data["reported"], data["epochs"]["samples"]
    if reported is not None and epochs is not None:
        yield f"Epoch {reported['epoch']:.4g} by {reported['by']}; {epochs:.4g} were trained."
    yield from (f"{one['rule']}: {one['message']}." for one in data["warnings"])
    for name in ("skipped", "replayed", "unfinished"):
        if count := data["steps"][name]:
            yield f"{count:,} steps were {name}; they are not among the applied ones."
    if data["unchecked_passes"]:
        yield f"Not checked: tokens and digest of {data['unchecked_passes']:,} passes drawn in part."
