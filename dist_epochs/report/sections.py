"""Parts that several reports have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dist_epochs.arithmetic.text import scaled, short
from dist_epochs.report import svg
from dist_epochs.report.document import notes, section, with_table
from dist_epochs.report.html import Content, Markup, element, table
from dist_epochs.report.numbers import shown

__all__ = ["sources_section", "warnings_section"]


def sources_section(data: Mapping[str, Any]) -> Iterator[Markup]:
    """How often each source of a mixture was drawn, or will be, of the JSON of a plan or a ledger."""
    sources = [(n, source) for n, source in enumerate(data["sources"]) if source["epochs"] is not None]
    if len(sources) < 2:
        return
    bars = [svg.Bar(one["name"], scaled(one["epochs"]), one["epochs"], one["epochs"]) for _, one in sources]
    forms = {"samples": short, "tokens": short, "epochs": scaled}
    keys = [key for key in forms if any(one[key] is not None for _, one in sources)]
    rows = [[one["name"], *(shown(data, f"sources.{n}.{key}", forms[key]) for key in keys)] for n, one in sources]
    yield section(
        "Sources", with_table(svg.bars("Epochs of each source", bars), ["source", *keys], rows), *_by_phase(data)
    )


def _by_phase(data: Mapping[str, Any]) -> Iterator[Markup]:
    """What each phase draws, where phases have sources of their own."""
    rows = [
        [
            f"{phase['steps']:,} steps at length {phase['sequence_length']}",
            source["name"],
            shown(data, f"phases.{n}.sources.{m}.samples", short),
            shown(data, f"phases.{n}.sources.{m}.epochs", scaled),
        ]
        for n, phase in enumerate(data.get("phases") or ())
        for m, source in enumerate(phase["sources"] or ())
    ]
    if rows:
        yield table(["phase", "source", "samples", "epochs"], rows, "Sources of each phase")


def warnings_section(warnings: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[Markup]:
    """Warnings and notes: what stands before each (a plan's name, or nothing), and its rule and message."""
    told = [
        [element("strong", f"{before}{warning['rule']}"), ": ", *_with_code(warning["message"])]
        for before, warning in warnings
    ]
    if told:
        yield section("What to know", notes(told))


def _with_code(text: str) -> list[Content]:
    """A text whose parts between backquotes are code."""
    return [element("code", part) if at % 2 else part for at, part in enumerate(text.split("`"))]
