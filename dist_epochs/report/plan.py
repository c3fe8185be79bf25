"""The report of a plan, or of several side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.text import number, percent, scaled, short
from dist_epochs.plan.cost.memory import GIB
from dist_epochs.plan.plan import FROM_FLAGS_ALONE, Plan
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.plan.sensitivity import ChangedAssumption
from dist_epochs.render.comparison import compared_rows
from dist_epochs.render.cost import span
from dist_epochs.render.plan import plan_head
from dist_epochs.render.plan_rows import plan_rows
from dist_epochs.render.plan_tiles import plan_tiles
from dist_epochs.report import svg
from dist_epochs.report.document import document, section, tiles, with_table
from dist_epochs.report.html import Content, Markup, element, table
from dist_epochs.report.numbers import range_text, shown
from dist_epochs.report.sections import sources_section, warnings_section

__all__ = ["plan_report", "plans_report"]

MOST_PARTS = 8
"""Phases that are drawn each by itself; a ramp has hundreds."""


def plan_report(plan: Plan, moves: Sequence[ChangedAssumption]) -> Markup:
    """A plan: what it draws and costs, each number with its formula, and what it depends on.

    Args:
        plan: The plan.
        moves: Its sensitivity.
    """
    data = plan_json(plan) | {"moves": [move.to_json() for move in moves]}
    parts = [
        *(element("p", line.strip(), class_="muted") for line in plan_head(plan)),
        tiles(_tiles(data)),
        section("Derivation", table(["what", "number", "from"], plan_rows(plan))),
        *_phases(data),
        *_cost(data),
        *sources_section(data),
        *_sensitivity(data),
        *warnings_section(("", warning) for warning in data["warnings"]),
    ]
    return document("The plan" if plan.name == FROM_FLAGS_ALONE else f"{plan.name}: the plan", parts)


def plans_report(plans: Sequence[Plan]) -> Markup:
    """Several plans side by side: a table, and what they cost as bars with their ranges."""
    data = {"plans": [plan_json(plan) for plan in plans]}
    names = [plan.name for plan in plans]
    epochs = [(plan.name, plan.epochs["samples"]) for plan in plans]
    known = [svg.Bar(name, scaled(value), float(value), float(value)) for name, value in epochs if value is not None]
    parts = [
        section("Side by side", table(["quantity", *names], compared_rows(plans))),
        section(
            "What differs",
            svg.bars("Epochs", known) if known else "",
            [_ranges(data, *quantity) for quantity in QUANTITIES],
        ),
        *warnings_section((f"{plan['name']}: ", warning) for plan in data["plans"] for warning in plan["warnings"]),
    ]
    return document(" and ".join(names) if len(names) == 2 else f"{len(names)} plans side by side", parts)


def _tiles(data: dict[str, Any]) -> Iterator[tuple[str, Content, str]]:
    """The few numbers that matter most."""
    for tile in plan_tiles(data):
        is_range = tile.is_range
        value = range_text(data, tile.key, tile.unit, tile.size) if is_range else shown(data, tile.key, tile.form)
        yield tile.label, value, tile.remark


def _phases(data: dict[str, Any]) -> Iterator[Markup]:
    """The phases to scale, where there is more than one."""
    phases = data["phases"]
    if len(phases) < 2:
        return
    by = "samples" if data["positions"] is None else "positions"
    names, whole = _phase_names(phases), sum(phase[by] for phase in phases)
    sizes = [(name, float(phase[by])) for name, phase in zip(names, phases, strict=True)]
    if len(sizes) > MOST_PARTS:
        rest = sum(size for _, size in sizes[MOST_PARTS - 1 :])
        sizes = [*sizes[: MOST_PARTS - 1], (f"{len(sizes) - MOST_PARTS + 1} more", rest)]
    plot = svg.stacked(f"{by.capitalize()} of each phase", [(f"part-{n}", *part) for n, part in enumerate(sizes)])
    rows = [
        [name, shown(data, f"phases.{n}.{by}", short), percent(phase[by] / whole)]
        for n, (name, phase) in enumerate(zip(names, phases, strict=True))
    ]
    yield section("Phases", with_table(plot, ["phase", by, "share"], rows))


def _phase_names(phases: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"{number(phase['steps'])} steps of {number(phase['global_batch'])}"
        + (f" at length {phase['sequence_length']}" if phase["sequence_length"] > 1 else "")
        for phase in phases
    ]


QUANTITIES = (
    ("time", "wall_hours", "h"),
    ("device-hours", "device_hours", "h"),
    ("price", "price", ""),
    ("memory of a device", "memory_bytes", "GiB"),
)
"""What a plan costs: its label, its key among the ranges, and the unit in which it is shown."""


def _cost(data: dict[str, Any]) -> Iterator[Markup]:
    """Hours of each phase as bars, and what the run costs as a table."""
    ranges = data["cost"]["ranges"]
    rows = [
        [f"{label}, {unit}".removesuffix(", "), *_ends(data, key, unit)]
        for label, key, unit in QUANTITIES
        if key in ranges
    ]
    if not rows:
        return
    plot = svg.bars("Hours", list(_hours(data))) if "wall_hours" in ranges else Markup()
    yield section("Cost and time", plot, table(["cost", "lowest", "highest"], rows))


def _hours(data: dict[str, Any]) -> Iterator[svg.Bar]:
    """Hours of each phase, which its share of the FLOPs tells, and of all."""
    cost, phases = data["cost"], data["phases"]
    ends, per_position = cost["ranges"]["wall_hours"], cost["flops_per_token_at"]
    whole = {end: ends[end] - cost["lost_hours"] for end in ("low", "high")}
    if len(phases) > 1 and per_position and cost["flops"]:
        for name, phase in zip(_phase_names(phases), phases, strict=True):
            share = phase["positions"] * per_position[str(phase["sequence_length"])] / cost["flops"]
            yield _bar(name, whole["low"] * share, whole["high"] * share, "h")
    yield _bar("from start to end", ends["low"], ends["high"], "h")


def _ends(data: dict[str, Any], key: str, unit: str) -> list[Markup]:
    """Both ends of a range, as cells."""
    scale = GIB if unit == "GiB" else 1
    return [shown(data, f"cost.ranges.{key}.{end}", lambda value: scaled(value / scale)) for end in ("low", "high")]


def _bar(label: str, low: float, high: float, unit: str) -> svg.Bar:
    return svg.Bar(label, f"{span(Interval.between(Fraction(low), Fraction(high)))} {unit}".strip(), low, high)


def _ranges(data: dict[str, Any], label: str, key: str, unit: str) -> Markup:
    """One quantity of several plans as bars; nothing, where no plan knows it."""
    scale = GIB if unit == "GiB" else 1
    known = [(at, plan, plan["cost"]["ranges"].get(key)) for at, plan in enumerate(data["plans"])]
    bars = [_bar(plan["name"], ends["low"] / scale, ends["high"] / scale, unit) for _, plan, ends in known if ends]
    return svg.bars(label.capitalize(), bars) if bars else Markup()


def _sensitivity(data: dict[str, Any]) -> Iterator[Markup]:
    drawn, rows = [], []
    for n, move in enumerate(data["moves"]):
        factor, answer = move["factor"], f"{scaled(move['value'])} {move['unit']}"
        drawn.append(svg.Row(move["change"], answer, min(1, factor), factor, max(1, factor)))
        why = element("code", f"dist-epochs explain {move['rule']}")
        numbers = [shown(data, f"moves.{n}.{key}") for key in ("value", "factor")]
        rows.append([move["change"], numbers[0], move["unit"], numbers[1], why])
    if drawn:
        plot = svg.intervals("With one assumption changed: the answer ÷ the planned one", drawn, None)
        yield section("Sensitivity", with_table(plot, ["instead", "answer", "unit", "÷ planned", "why"], rows))
