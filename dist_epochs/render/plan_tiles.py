"""The few numbers of a plan that matter most, for the page and for reports: which of its JSON, and what to remark."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dist_epochs.arithmetic.text import number, scaled, short

__all__ = ["PlanTile", "plan_tiles"]


@dataclass(frozen=True, slots=True)
class PlanTile:
    """One number.

    Attributes:
        label: What it is.
        key: Where it stands in the JSON, dotted; of a number with a range, where its `low` and `high` stand.
        remark: What to know of it.
        form: How the number is written; a range is written in three digits.
        unit: What stands behind it.
        size: What it is divided by for that unit.
        is_range: Whether it has two ends.
    """

    label: str
    key: str
    remark: str
    form: Callable[[Any], str] = scaled
    unit: str = ""
    size: int = 1
    is_range: bool = False


def plan_tiles(data: Mapping[str, Any]) -> Iterator[PlanTile]:
    """What is known of a plan, the object of `dist-epochs plan --json`, in the order in which it is shown."""
    batch, cost = data["global_batch"], data["cost"] or {}
    yield PlanTile("steps", "steps", f"of {number(batch['samples'])} samples" if batch["samples"] else "", number)
    if batch["positions"]:
        yield PlanTile("global batch", "global_batch.positions", "positions a step", short)
    drawn = {"tokens": "without padding", "positions": "samples × length", "samples": "drawn in all"}
    for name, remark in drawn.items():
        if data[name] is not None:
            yield PlanTile(name, name, remark, short)
            break
    if data["epochs"]["samples"] is not None:
        yield PlanTile("epochs", "epochs.samples", "estimated: not counted yet" if data["estimated"] else "counted")
    on = f"on {batch['devices']} × {cost.get('device') or 'device'}"
    costs = (("time", "wall_hours", on, "h", 1), ("price", "price", "at the stated price of a device-hour", "", 1),
             ("memory", "memory_bytes", "a device", "GiB", 2**30))  # fmt: skip
    for label, key, remark, unit, size in costs:
        if key in (cost.get("ranges") or {}):
            yield PlanTile(label, f"cost.ranges.{key}", remark, unit=unit, size=size, is_range=True)
