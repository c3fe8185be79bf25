"""The page around a report: one HTML file without scripts, which asks no network for anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files

from dist_epochs import __version__
from dist_epochs.report.html import Content, Markup, element, empty, table

__all__ = ["document", "notes", "section", "tiles", "with_table"]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What a browser may load for the page: nothing but what stands in it."""

TILES = 5
"""Tiles that one row holds."""


def document(title: str, *contents: Content) -> Markup:
    """A whole page.

    Args:
        title: Of the page, and its heading.
        contents: Below the heading.
    """
    style = (files("dist_epochs.report") / "style.css").read_text(encoding="utf-8")
    head = [
        empty("meta", charset="utf-8"),
        empty("meta", name="viewport", content="width=device-width, initial-scale=1"),
        empty("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("title", title),
        element("style", Markup(style)),
    ]
    body = element("main", element("h1", title), contents)
    page = element("html", element("head", head), element("body", body, _foot()), lang="en")
    return Markup(f"<!doctype html>\n{page}\n")


def _foot() -> Markup:
    return element("footer", f"dist-epochs {__version__}: steps × batch = corpus × epochs")


def section(title: str, *contents: Content) -> Markup:
    """A part of the page under a heading."""
    return element("section", element("h2", title), contents)


def tiles(rows: Iterable[tuple[str, Content, str]]) -> Markup:
    """Label, number and remark of each of the few numbers that matter most, in rows as equal as can be."""
    shown = [
        element("div", element("dt", label), element("dd", value, element("small", remark) if remark else ""))
        for label, value, remark in rows
    ]
    columns = -(-len(shown) // -(-len(shown) // TILES)) if shown else 1
    return element("dl", shown, class_="tiles", style=f"--columns: {columns}")


def notes(texts: Iterable[Content]) -> Markup:
    """A list of remarks."""
    return element("ul", [element("li", text) for text in texts], class_="notes")


def with_table(plot: Markup, header: Sequence[Content], rows: Iterable[Sequence[Content]]) -> Markup:
    """A plot, and the numbers that it draws as a table that can be opened."""
    return element(
        "div", plot, element("details", element("summary", "As a table"), table(header, rows)), class_="plot"
    )
