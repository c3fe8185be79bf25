"""The report of an audit: a claim, a sentence with its numbers marked, or a finished run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dist_epochs.arithmetic.text import scaled
from dist_epochs.render.verdicts import marked_pieces, said_verdict
from dist_epochs.report import svg
from dist_epochs.report.document import document, notes, section, with_table
from dist_epochs.report.html import Content, Markup, element, table
from dist_epochs.report.numbers import shown

__all__ = ["audit_report"]

AGREEMENTS: Mapping[str | None, tuple[str, str]] = {
    "exact": ("exact", "good"),
    "rounds": ("rounds to it", "good"),
    "overlaps": ("within its digits", "good"),
    "contradicts": ("contradicts", "poor"),
    None: ("", "plain"),
}


def audit_report(data: Mapping[str, Any], heading: str = "", *, text: str | None = None) -> Markup:
    """An audit as a page.

    Args:
        data: The object of `dist-epochs audit --json`.
        heading: What it is, and where to find it.
        text: The sentence that was audited, where it was one: the spans of its facts are in its characters.
    """
    title = "Audit of a sentence" if text is not None else f"Audit of {data['title']}"
    said, kind = said_verdict(data)
    parts: list[Content] = [element("p", heading, class_="muted")] if heading else []
    parts.append(element("p", f"{said}.", class_=f"verdict {kind}"))
    if data["missing"]:
        parts.append(element("p", f"To be stated: {data['missing']}."))
    if text is not None:
        parts += [_marked(text, data["facts"]), *_unused(data["unused"])]
    parts += [*_intervals(data), *_readings(data), *_suspects(data), *_notes(data)]
    return document(title, parts)


def _marked(text: str, facts: Sequence[Mapping[str, Any]]) -> Markup:
    """The text, each fact marked with its role."""
    pieces: list[Content] = [
        piece if role is None else element("mark", piece, element("small", f" {role}"))
        for piece, role in marked_pieces(text, facts)
    ]
    return element("blockquote", pieces)


def _unused(unused: Sequence[Mapping[str, Any]]) -> Iterator[Markup]:
    if unused:
        yield element("p", f"Not used: {', '.join(each['text'] for each in unused)}.", class_="muted")


def _intervals(data: Mapping[str, Any]) -> Iterator[Markup]:
    """For each number that is stated: what each reading derives, beside it."""
    checks = [
        (reading["name"], f"readings.{at}.checks.{place}", check)
        for at, reading in enumerate(data["readings"])
        for place, check in enumerate(reading["checks"])
    ]
    stated = dict.fromkeys(check["name"] for _, _, check in checks if "stated_low" in check)
    if stated:
        plots = [_plot(data, name, [each for each in checks if each[2]["name"] == name]) for name in stated]
        yield section("The readings beside what is stated", plots)


def _plot(data: Mapping[str, Any], name: str, checks: Sequence[tuple[str, str, Mapping[str, Any]]]) -> Markup:
    """One number under each reading; the band is what is stated, with its digits."""
    rows, cells = [], []
    for reading, key, check in checks:
        said, kind = AGREEMENTS[check["agreement"]]
        low, value, high = (float(check[end]) for end in ("low", "value", "high"))
        rows.append(svg.Row(reading, f"{scaled(value)} {said}", low, value, high, kind))
        cells.append([reading, shown(data, f"{key}.value"), shown(data, f"{key}.stated", str), said, check["how"]])
    first = next(check for _, _, check in checks if "stated_low" in check)
    ends = (float(first["stated_low"]), float(first["stated_high"]))
    plot = svg.intervals(f"{name}, stated as {first['stated']}", rows, ends)
    return with_table(plot, ["reading", "derived", "stated", "agreement", "from"], cells)


def _readings(data: Mapping[str, Any]) -> Iterator[Markup]:
    """What each reading assumes."""
    assumed = [(reading["name"], reading["assumes"]) for reading in data["readings"] if reading["assumes"]]
    if assumed:
        rows = [[name, "; ".join(assumes.values())] for name, assumes in assumed]
        yield section("What each reading assumes", table(["reading", "assumes"], rows))


def _suspects(data: Mapping[str, Any]) -> Iterator[Markup]:
    rows = [
        [suspect["name"], suspect["slip"], shown(data, f"suspects.{at}.before"), shown(data, f"suspects.{at}.after")]
        for at, suspect in enumerate(data["suspects"])
    ]
    if rows:
        yield section("Single changes that would settle it", table(["number", "slip", "stated", "instead"], rows))


def _notes(data: Mapping[str, Any]) -> Iterator[Markup]:
    if data["notes"]:
        yield section("Notes", notes(data["notes"]))
