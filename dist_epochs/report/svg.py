"""Draws plots as SVG: bars with their ranges, intervals, lines, a time line.

A plot is as wide as its place and keeps its text at one size: x is in per cent, y in pixels. Colours are classes, which
the style sheet sets for light and dark. Each plot stands beside a table of its numbers, so that it may be skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dist_epochs.report.html import Markup, element, empty
from dist_epochs.report.scale import Scale, tick_texts

__all__ = ["Bar", "Line", "Row", "Span", "bars", "intervals", "lines", "stacked", "time_line"]

BAR, REACH, STACK, PLOT = 12, 18, 26, 220
"""Heights in pixels: of a bar, of an interval, of a bar of parts, of a plot of lines."""
LEAST = 0.8
"""Per cent of a plot that the band of an exact number is wide."""
LINES = 4
"""Colours of lines; a fifth line has the first one's."""
UNITS = 1000
"""Inner units of a plot of lines, in both directions."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from zero.

    Attributes:
        label: What it is.
        text: Its value, as written.
        low: Its value, or the lower end of its range.
        high: The upper end.
    """

    label: str
    text: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Row:
    """An interval with a point in it.

    Attributes:
        label: What it is.
        text: Its value, as written.
        low: Lower end.
        value: The point.
        high: Upper end.
        kind: Class of its colour: `good`, `poor` or `plain`.
    """

    label: str
    text: str
    low: float
    value: float
    high: float
    kind: str = "plain"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a plot.

    Attributes:
        label: What it is.
        points: x and y, by x.
    """

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a time line.

    Attributes:
        row: Which row it stands in.
        kind: Class of its colour, and its entry of the legend.
        begin: Where it begins.
        end: Where it ends.
        text: What it is.
    """

    row: str
    kind: str
    begin: float
    end: float
    text: str


def bars(title: str, rows: Sequence[Bar]) -> Markup:
    """Bars below each other; a range is the lighter end of its bar."""
    scale = Scale.around(*(row.high for row in rows), zero=True)
    drawn = []
    for row in rows:
        low, high = scale.place(row.low), scale.place(row.high)
        marks = [_box(0, 100, 0, "track", BAR), _box(0, low, 0, "bar", BAR)]
        drawn.append(_row(row.label, row.text, [*marks, _box(low, high, 0, "range", BAR)], BAR))
    return _figure(title, drawn)


def intervals(title: str, rows: Sequence[Row], stated: tuple[float, float] | None) -> Markup:
    """Intervals below each other, with a band for what was stated."""
    ends = [end for row in rows for end in (row.low, row.value, row.high)]
    scale = Scale.around(*ends, *(stated or ()), margin=0.06)
    band = []
    if stated is not None:
        left, right = (scale.place(end) for end in stated)
        band.append(_box(left - LEAST / 2, right + LEAST / 2, 0, "stated", REACH))
    middle = REACH / 2
    drawn = []
    for row in rows:
        marks = [
            empty("line", x1="0%", x2="100%", y1=middle, y2=middle, class_="grid"),
            _box(scale.place(row.low), scale.place(row.high), middle - 3, f"reach {row.kind}", 6),
            empty("circle", cx=_percent(scale.place(row.value)), cy=middle, r=5, class_=f"point {row.kind}"),
        ]
        drawn.append(_row(row.label, row.text, [*band, *marks], REACH, row.kind))
    legend = [("stated", "stated")] if stated is not None else []
    return _figure(title, [*drawn, _axis(scale)], _legend(legend))


def lines(title: str, series: Sequence[Line], x_label: str) -> Markup:
    """Lines over one axis; the plot is stretched to its place, the text is not."""
    across = Scale.around(*(x for line in series for x, _ in line.points))
    up = Scale.around(*(y for line in series for _, y in line.points), margin=0.05)
    grid, texts = [], []
    ticks = up.ticks(5)
    for tick, text in zip(ticks, tick_texts(ticks), strict=True):
        y = round(PLOT * (1 - up.place(tick) / 100), 1)
        grid.append(empty("line", x1="0%", x2="100%", y1=y, y2=y, class_="grid"))
        texts.append(element("text", text, x=-6, y=y + 4, text_anchor="end"))
    paths = [
        empty("polyline", points=_points(line.points, across, up), class_=f"line line-{at % LINES}")
        for at, line in enumerate(series)
    ]
    box = f"0 0 {UNITS} {UNITS}"
    inner = element("svg", paths, viewBox=box, preserveAspectRatio="none", width="100%", height=PLOT)
    names = [(f"line-{at % LINES}", line.label) for at, line in enumerate(series)] if len(series) > 1 else []
    ends = "; ".join(f"{line.label}: {line.points[0][1]:.4g} to {line.points[-1][1]:.4g}" for line in series)
    drawn = element("div", [_svg([*grid, inner, *texts], PLOT), _axis(across, x_label)], class_="beside-numbers")
    return _figure(title, [drawn], _legend(names, _stroke), f"{title}. {ends}")


def stacked(title: str, parts: Sequence[tuple[str, str, float]]) -> Markup:
    """One bar cut into parts: class, label and size of each."""
    whole = sum(size for _, _, size in parts) or 1.0
    drawn, left = [], 0.0
    for kind, label, size in parts:
        right = left + size / whole * 100
        drawn.append(_box(left, right, 0, f"part {kind}", STACK, label))
        left = right
    return _figure(title, [_svg(drawn, STACK)], _legend([(kind, label) for kind, label, _ in parts]))


def time_line(title: str, spans: Sequence[Span], legend: Mapping[str, str]) -> Markup:
    """Stretches of time in rows.

    Args:
        title: Of the plot.
        spans: In any order; rows stand in the order in which they come first.
        legend: Text of each kind.
    """
    scale = Scale.around(*(end for span in spans for end in (span.begin, span.end)))
    drawn = []
    for name in dict.fromkeys(span.row for span in spans):
        marks = [_box(0, 100, 0, "track", BAR)]
        for span in (span for span in spans if span.row == name):
            left, right = scale.place(span.begin), scale.place(span.end)
            marks.append(_box(left, max(right, left + LEAST / 4), 0, f"part {span.kind}", BAR, span.text))
        drawn.append(_row(name, "", marks, BAR))
    shown = [(kind, text) for kind, text in legend.items() if any(span.kind == kind for span in spans)]
    return _figure(title, [*drawn, _axis(scale)], _legend(shown))


def _figure(title: str, drawn: Sequence[Markup], legend: Markup | None = None, told: str | None = None) -> Markup:
    """A plot with its title, as one picture to who does not see it: its numbers stand in a table.

    Args:
        title: Above the plot.
        drawn: The plot.
        legend: Below it.
        told: What a screen reader says of it; None is the title.
    """
    picture = element("div", drawn, role="img", aria_label=told or title)
    return element("figure", element("figcaption", title), picture, legend or "")


def _row(label: str, text: str, marks: Sequence[Markup], height: float, kind: str = "") -> Markup:
    """A row of a plot: its label and value, which may wrap, above its marks."""
    head = element("div", element("span", label), " ", element("span", text, class_=f"value {kind}"), class_="row-head")
    return element("div", head, _svg(marks, height), class_="row")


def _svg(drawn: Sequence[Markup], height: float) -> Markup:
    return element("svg", drawn, width="100%", height=height, aria_hidden="true", focusable="false")


def _square(kind: str) -> Markup:
    """How the legend shows a colour."""
    return element("i", class_=f"key {kind}")


def _stroke(kind: str) -> Markup:
    """How the legend shows a line: with its dashes, which tell it from others without colours too."""
    stroke = empty("line", x1=0, x2=28, y1=5, y2=5, class_=f"line {kind}")
    return element("svg", stroke, width=28, height=10, class_="stroke", aria_hidden="true", focusable="false")


def _legend(names: Sequence[tuple[str, str]], key: Callable[[str], Markup] = _square) -> Markup:
    if not names:
        return Markup()
    return element("ul", [element("li", key(kind), text) for kind, text in names], class_="legend", role="list")


def _axis(scale: Scale, label: str = "") -> Markup:
    drawn = [empty("line", x1="0%", x2="100%", y1=0.5, y2=0.5, class_="axis")]
    ticks = scale.ticks(5)
    for tick, text in zip(ticks, tick_texts(ticks), strict=True):
        place = scale.place(tick)
        anchor = "start" if place < 3 else "end" if place > 97 else "middle"
        drawn.append(empty("line", x1=_percent(place), x2=_percent(place), y1=0, y2=5, class_="axis"))
        drawn.append(_text(text, place, 17, anchor))
    if label:
        drawn.append(_text(label, 100, 33, "end"))
    return _svg(drawn, 38 if label else 22)


def _points(points: Sequence[tuple[float, float]], across: Scale, up: Scale) -> str:
    places = ((across.place(x) * UNITS / 100, UNITS - up.place(y) * UNITS / 100) for x, y in points)
    return " ".join(f"{x:.4g},{y:.4g}" for x, y in places)


def _box(left: float, right: float, top: float, kind: str, height: float, text: str | None = None) -> Markup:
    place: dict[str, str | float] = {
        "x": _percent(left),
        "y": top,
        "width": _percent(right - left),
        "height": height,
        "class_": kind,
    }
    if text is None:
        return empty("rect", **place)
    return element("rect", element("title", text), **place)


def _text(text: str, x: float, y: float, anchor: str = "start") -> Markup:
    return element("text", text, x=_percent(x), y=y, text_anchor=anchor)


def _percent(place: float) -> str:
    return f"{place:.4g}%"
