"""Plans side by side."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any, TypeVar

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import json_number
from dist_epochs.arithmetic.text import number, scaled, short
from dist_epochs.plan.cost.memory import GIB
from dist_epochs.plan.plan import Plan
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.plan.sweep import Sweep, SweptPlan
from dist_epochs.render.cost import memory_span, span
from dist_epochs.render.markdown import bullets, markdown_table
from dist_epochs.render.text import table

__all__ = [
    "compared_rows",
    "comparison_csv",
    "comparison_json",
    "comparison_markdown",
    "comparison_text",
    "sweep_json",
    "sweep_text",
]

Shown = TypeVar("Shown")


def _known(show: Callable[[Shown], str], value: Shown | None) -> str | None:
    return None if value is None else show(value)


EPOCHS = "epochs"
"""The row that those of the sources stand below."""

ROWS: Sequence[tuple[str, Callable[[Plan], str | None]]] = (
    ("devices", lambda plan: number(plan.devices)),
    ("global batch", lambda plan: number(max(phase.global_batch for phase in plan.phases))),
    ("per device", lambda plan: number(plan.batches[0].per_device)),
    ("accumulation", lambda plan: number(max(batch.gradient_accumulation for batch in plan.batches))),
    ("steps", lambda plan: number(plan.steps)),
    ("micro-steps", lambda plan: number(plan.micro_steps)),
    ("samples", lambda plan: short(plan.samples)),
    ("positions", lambda plan: _known(short, plan.positions)),
    ("tokens", lambda plan: _known(short, plan.totals.tokens if plan.totals else None)),
    (EPOCHS, lambda plan: _known(scaled, plan.epochs["samples"])),
    ("FLOPs", lambda plan: f"{float(plan.cost.flops):.3g}" if plan.cost.flops else None),
    ("hours", lambda plan: _known(span, plan.cost.wall_hours)),
    ("days", lambda plan: _known(span, plan.cost.wall_days)),
    ("device-hours", lambda plan: _known(span, plan.cost.device_hours)),
    ("price", lambda plan: _known(span, plan.cost.price)),
    ("memory, GiB", lambda plan: _known(memory_span, plan.cost.memory)),
)
"""What is compared; a row that no plan knows is left out."""


def comparison_text(plans: Sequence[Plan]) -> str:
    """Two or more plans side by side, and the warnings of each."""
    parts = [_columns([plan.name for plan in plans], plans)]
    for plan in plans:
        parts += _warnings(plan.name, plan)
    return "\n".join(parts)


def comparison_markdown(plans: Sequence[Plan]) -> str:
    """One or more plans side by side, as a table of Markdown, and the warnings of each as a list."""
    lines = markdown_table(["", *(plan.name for plan in plans)], list(compared_rows(plans)), "<" + ">" * len(plans))
    warnings = bullets([line for plan in plans for line in _warnings(plan.name, plan)])
    return "\n".join([*lines, *(["", *warnings] if warnings else [])])


def comparison_csv(plans: Sequence[Plan]) -> str:
    """One row a plan, numbers without signs and units: `_low` and `_high` are the ends of a range.

    Epochs of a source are in `epochs_of_NAME`; memory is of one device, in GiB, and without activations where
    `memory_is_floor` is 1. What is not known is empty.
    """
    names = _source_names(plans)
    rows = [_csv_row(plan, names) for plan in plans]
    lines = io.StringIO()
    writer = csv.DictWriter(lines, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return lines.getvalue().rstrip("\n")


def _csv_row(plan: Plan, source_names: Sequence[str]) -> dict[str, str | int | float | None]:
    cost, memory = plan.cost, plan.cost.memory
    ranges = {
        "wall_hours": cost.wall_hours, "wall_days": cost.wall_days, "device_hours": cost.device_hours,
        "price": cost.price, "memory_gib": memory and memory.total / Interval.exact(GIB),
    }  # fmt: skip
    sources = {name: _source_epochs(plan, name) for name in source_names}
    return {
        "name": plan.name,
        "devices": plan.devices,
        "global_batch": max(phase.global_batch for phase in plan.phases),
        "per_device": plan.batches[0].per_device,
        "gradient_accumulation": max(batch.gradient_accumulation for batch in plan.batches),
        "steps": plan.steps,
        "micro_steps": plan.micro_steps,
        "samples": plan.samples,
        "positions": plan.positions,
        "tokens": plan.totals.tokens if plan.totals else None,
        **{f"epochs_by_{basis}": json_number(value) for basis, value in plan.epochs.items()},
        **{f"epochs_of_{name}": json_number(epochs) for name, epochs in sources.items()},
        "flops": None if cost.flops is None else float(cost.flops),
        **{
            f"{name}_{end}": None if found is None else json_number(getattr(found, end))
            for name, found in ranges.items()
            for end in ("low", "high")
        },
        "memory_is_floor": None if memory is None else int(memory.is_floor),
        "warnings": " ".join(found.rule for found in plan.warnings if not found.is_note),
    }


def _warnings(title: str, plan: Plan) -> list[str]:
    return [f"{title}: warning {found.rule}: {found.message}" for found in plan.warnings if not found.is_note]


def comparison_json(plans: Sequence[Plan]) -> dict[str, Any]:
    """The plans, in the order they were given, and beside each other what is compared first."""
    shown = [plan_json(plan) for plan in plans]
    costs = [plan["cost"] for plan in shown]
    sources = {name: [_json_epochs(plan, name) for plan in plans] for name in _source_names(plans)}
    compared = {"epochs": [plan["epochs"]["samples"] for plan in shown], "source_epochs": sources}
    compared |= {name: [cost["ranges"].get(name) for cost in costs] for name in ("wall_days", "price", "memory_bytes")}
    return {"plans": shown, "compared": compared}


def _json_epochs(plan: Plan, name: str) -> int | float | None:
    return json_number(_source_epochs(plan, name))


def _source_names(plans: Sequence[Plan]) -> list[str]:
    """The sources of mixtures, each once."""
    return list(dict.fromkeys(source.name for plan in plans if len(plan.sources) > 1 for source in plan.sources))


def _source_epochs(plan: Plan, name: str) -> Fraction | None:
    """How often a source is drawn; None if the plan has none of this name."""
    return next((source.epochs for source in plan.sources if source.name == name), None)


def sweep_text(sweep: Sweep) -> str:
    """Both series; one, where the setting does not change the batch."""
    steps, data = _measures(sweep.fixed_steps), _measures(sweep.fixed_data)
    if steps == data:
        return "\n".join(_series(f"the same steps and the same {sweep.unit}", sweep.setting, sweep.fixed_steps))
    first = _series("at the same steps", sweep.setting, sweep.fixed_steps)
    second = _series(f"at the same {sweep.unit}", sweep.setting, sweep.fixed_data)
    return "\n".join([*first, "", *second])


def sweep_json(sweep: Sweep) -> dict[str, Any]:
    """Both series, each plan whole."""
    return {
        "sweep": sweep.setting,
        "values": [swept.value for swept in sweep.fixed_steps],
        "fixed_steps": [_swept_json(swept) for swept in sweep.fixed_steps],
        f"fixed_{sweep.unit}": [_swept_json(swept) for swept in sweep.fixed_data],
    }


def _swept_json(swept: SweptPlan) -> dict[str, Any]:
    return {"value": swept.value, "error": swept.error, "plan": swept.plan and plan_json(swept.plan)}


def _measures(series: Sequence[SweptPlan]) -> list[tuple[int, int] | None]:
    return [(swept.plan.steps, swept.plan.samples) if swept.plan else None for swept in series]


def _series(title: str, setting: str, series: Sequence[SweptPlan]) -> Iterator[str]:
    yield title
    planned = [swept for swept in series if swept.plan is not None]
    plans = [swept.plan for swept in planned if swept.plan is not None]
    yield _columns([f"{setting} {swept.value}" for swept in planned], plans)
    for swept in series:
        if swept.error is not None:
            yield f"  {setting} {swept.value}: {swept.error}"
        elif swept.plan is not None:
            yield from (f"  {line}" for line in _warnings(f"{setting} {swept.value}", swept.plan))


def _columns(titles: Sequence[str], plans: Sequence[Plan]) -> str:
    return table(["", *titles], compared_rows(plans))


def compared_rows(plans: Sequence[Plan]) -> Iterator[list[str]]:
    """What is compared: a label and the text of each plan; rows that no plan knows are left out."""
    for label, show in ROWS:
        cells = [show(plan) for plan in plans]
        if any(cells):
            yield [label, *(cell or "" for cell in cells)]
        if label == EPOCHS:
            for name in _source_names(plans):
                yield [f"  of {name}", *(_known(scaled, _source_epochs(plan, name)) or "" for plan in plans)]
