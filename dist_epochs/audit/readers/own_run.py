"""A run directory of our own, or the ledger of a drop-in: the reconciliation as an audit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dist_epochs.audit.records.keys import Keys, read_keys
from dist_epochs.audit.records.record import Balance, FinishedRun, Number, Segment, Span, made_again, whole
from dist_epochs.ledger.plan_file import UNITS
from dist_epochs.ledger.reconcile import read_run

__all__ = ["read_own_run"]

BATCH: Keys = {"global_batch": ("samples",), "data_parallel_size": ("data_parallel_size",)}
"""Keys of the plan's `global_batch`. Its `per_device` is a maximum, and no factor."""
PHASE: Keys = {"gradient_accumulation": ("gradient_accumulation",), "sequence_length": ("sequence_length",)}
SEGMENT: Keys = {"devices": ("world_size",)}


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
    numbers |= _settings(plan) if plan is not None else {}
    numbers |= read_keys(data["segments"][-1], SEGMENT, "ledger: {} of the last segment".format)
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


def _settings(plan: Mapping[str, Any]) -> dict[str, Number]:
    """What the plan states; of several phases, the steps alone."""
    found = read_keys(plan, {"planned_steps": ("steps",)}, "plan.json: {}".format)
    if len(plan["phases"]) == 1:
        found |= read_keys(plan["global_batch"], BATCH, "plan.json: global_batch.{}".format)
        found |= read_keys(plan["phases"][0], PHASE, "plan.json: phases.0.{}".format)
    return found


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
