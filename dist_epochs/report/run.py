"""The report of a run: plan against ledger, loss, segments on the clock, and where the time went."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.text import number, scaled, short
from dist_epochs.ledger.history import SegmentTime
from dist_epochs.ledger.plan_file import UNITS
from dist_epochs.ledger.steps import LoggedRow
from dist_epochs.ledger.time import CAUSES
from dist_epochs.names import in_words
from dist_epochs.render.keyed import at
from dist_epochs.report import svg
from dist_epochs.report.document import document, notes, section, tiles, with_table
from dist_epochs.report.html import Content, Markup, element, table
from dist_epochs.report.losses import losses_section
from dist_epochs.report.numbers import shown
from dist_epochs.report.sections import sources_section, warnings_section

__all__ = ["run_report"]

MOST_SAVES = 50
"""Checkpoints of a segment that are drawn, the last ones."""

SPANS = {
    "part-0": "drawn, and counts",
    "part-5": "drawn, lost, and drawn again later",
    "part-7": "checkpoint saved",
}
"""What the time line shows, by the class of its colour."""
SPENT = (("time", "wall_hours", "h"), ("device-hours", "device_hours", "h"), ("price", "price", ""),
         ("energy", "energy_kwh", "kWh"))  # fmt: skip


def run_report(
    title: Path, data: Mapping[str, Any], rows: Iterable[LoggedRow], segments: Sequence[SegmentTime]
) -> Markup:
    """A run as a page.

    Args:
        title: The run directory.
        data: The object of `dist-epochs ledger --json`.
        rows: What was logged, by step.
        segments: Its segments on the clock.
    """
    parts = [
        _verdict(data),
        tiles(_tiles(data)),
        *_units(data),
        *_differences(data),
        *losses_section(rows),
        *_segments(data, segments),
        *_time(data),
        *_spent(data),
        *sources_section(data),
        *warnings_section(("", warning) for warning in data["warnings"] or ()),
    ]
    return document(f"{title.name or title}: the ledger", element("p", str(title), class_="muted"), parts)


def _verdict(data: Mapping[str, Any]) -> Markup:
    if data["agrees"] is None:
        return element("p", "There is no plan to compare it with.", class_="verdict plain")
    if data["agrees"]:
        return element("p", "The ledger equals the plan in every unit.", class_="verdict good")
    known = all(difference["cause"] != "unexplained" for difference in data["differences"])
    text = "The ledger differs from the plan; every cause is known." if known else "A difference has no known cause."
    return element("p", text, class_=f"verdict {'between' if known else 'poor'}")


def _tiles(data: Mapping[str, Any]) -> Iterator[tuple[str, Content, str]]:
    planned = data["planned"] or {}
    steps = f"of {number(planned['steps'])} planned" if planned.get("steps") is not None else ""
    yield "steps", shown(data, "steps.applied", number), steps
    yield "samples", shown(data, "samples", short), ""
    if data["tokens"] is not None:
        yield "tokens", shown(data, "tokens", short), "without padding"
    basis = "samples" if data["epochs"]["samples"] is not None else "tokens"
    yield "epochs", shown(data, f"epochs.{basis}"), f"by {basis}"
    if data["goodput"] is not None:
        yield "goodput", shown(data, "goodput", lambda value: f"{value:.1%}"), "of the drawn tokens count"
    if data["coverage"] is not None:
        yield "coverage", shown(data, "coverage", lambda value: f"{value:.2%}"), "of the documents at least once"


def _units(data: Mapping[str, Any]) -> Iterator[Markup]:
    """What was planned beside what was recorded."""
    planned = data["planned"]
    if planned is None:
        return
    keys = {"steps": "steps.applied"}
    rows = [
        [
            in_words(unit),
            shown(data, f"planned.{unit}", number),
            shown(data, keys.get(unit, unit), number),
            "equal" if planned[unit] == at(data, keys.get(unit, unit)) else "differs",
        ]
        for unit in UNITS
    ]
    yield section("Plan and ledger", table(["unit", "planned", "recorded", ""], rows))


def _differences(data: Mapping[str, Any]) -> Iterator[Markup]:
    rows = [
        [
            in_words(each["unit"]),
            *(shown(data, f"differences.{n}.{which}", number) for which in ("planned", "recorded")),
            each["cause"],
        ]
        for n, each in enumerate(data["differences"])
    ]  # fmt: skip
    kinds = [(kind, data["steps"][kind]) for kind in ("skipped", "replayed", "unfinished") if data["steps"][kind]]
    if rows or kinds:
        told = [f"{number(count)} steps {kind}" for kind, count in kinds]
        shown_rows = table(["unit", "planned", "recorded", "cause"], rows) if rows else ""
        yield section("Differences", shown_rows, element("p", "; ".join(told)) if told else "")


def _segments(data: Mapping[str, Any], segments: Sequence[SegmentTime]) -> Iterator[Markup]:
    """The starts of the program on one clock."""
    if not segments:
        return
    first, last = segments[0].begin, max(segment.end for segment in segments)
    unit, size = _unit(last - first)
    spans: list[svg.Span] = []
    cells = []
    for segment in segments:
        facts = data["segments"][segment.number]
        name = f"segment {segment.number}: steps {facts['first_step']:,} to {facts['last_step']:,}, {facts['status']}"
        begin, end = ((time - first) / size for time in (segment.begin, segment.end))
        kept = end if segment.lost_from is None else (segment.lost_from - first) / size
        spans.append(svg.Span(name, "part-0", begin, kept, name))
        if kept < end:
            spans.append(svg.Span(name, "part-5", kept, end, "drawn again later"))
        saves = ((time - first) / size for time in segment.saves[-MOST_SAVES:])
        spans += [svg.Span(name, "part-7", time, time, "checkpoint") for time in saves]
        devices = f"{facts.get('world_size', '?')} × {facts.get('device', 'device')}"
        times = (f"{begin:.4g}", f"{end:.4g}")
        status = f"{facts['status']}: {facts['reason']}" if facts["reason"] else facts["status"]
        cells.append([str(segment.number), devices, *times, status])
    plot = svg.time_line(f"Segments: {unit} since the first start", spans, SPANS)
    header = ["segment", "devices", f"begin, {unit}", f"end, {unit}", "status"]
    yield section("Segments and restarts", with_table(plot, header, cells))


def _time(data: Mapping[str, Any]) -> Iterator[Markup]:
    """Where the time went: every second of it has one cause."""
    causes = {name: seconds for name, seconds in data["time"]["causes"].items() if seconds}
    if not causes:
        return
    wall = data["time"]["wall_seconds"]
    ordered = sorted(causes, key=lambda name: -causes[name])
    parts = [(f"part-{n}", name, causes[name]) for n, name in enumerate(ordered[:7])]
    if ordered[7:]:
        parts.append(("part-7", "others", sum(causes[name] for name in ordered[7:])))
    rows = [
        [
            [name, element("small", CAUSES[name], class_="remark")],
            shown(data, f"time.causes.{name}"),
            f"{causes[name] / wall:.1%}",
        ]
        for name in ordered
    ]
    unit, size = _unit(wall)
    plot = svg.stacked(f"Where the time of rank 0 went: {wall / size:.3g} {unit} in all", parts)
    yield section("Time", plot, table(["cause", "seconds", "share"], rows))


def _unit(seconds: float) -> tuple[str, int]:
    """The unit in which a time is read best, and its seconds."""
    return next(((name, size) for name, size in (("hours", 3600), ("minutes", 60)) if seconds >= size), ("seconds", 1))


def _range(data: Mapping[str, Any], key: str) -> Content:
    """Both ends of a pair; one number where they read the same."""
    if not at(data, key):
        return ""
    low, high = (shown(data, f"{key}.{end}") for end in (0, 1))
    return low if len({scaled(end) for end in at(data, key)}) == 1 else [low, " to ", high]


def _spent(data: Mapping[str, Any]) -> Iterator[Markup]:
    """Planned, so far and at the end."""
    spending = data["spending"]
    known = [(label, name, unit) for label, name, unit in SPENT if spending[name]["recorded"] is not None]
    reasons = [
        f"{label} is not known: {spending[name]['reason']}"
        for label, name, _ in SPENT
        if spending[name]["recorded"] is None and spending[name]["reason"]
    ]
    rows = [
        [
            f"{label}, {unit}".removesuffix(", "),
            *(shown(data, f"spending.{name}.{which}") for which in ("planned", "recorded")),
            _range(data, f"spending.{name}.expected_range"),
        ]
        for label, name, unit in known
    ]
    if rows or reasons:
        header = ["what", "planned", "so far", "expected at the end"]
        yield section("Cost and energy", table(header, rows) if rows else "", notes(reasons) if reasons else "")
