"""Writes HTML: elements whose text is escaped unless it is markup already."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TypeAlias

__all__ = ["Content", "Markup", "element", "empty", "joined", "table"]


class Markup(str):
    """HTML that was built here, not text that needs escaping."""

    __slots__ = ()


Content: TypeAlias = "str | Markup | Iterable[Content]"
"""Text, markup, or several of both."""


def element(name: str, /, *contents: Content, **attributes: str | int | float | None) -> Markup:
    """An element with its contents.

    Args:
        name: Of the element, e.g. `div`.
        contents: Text is escaped; markup stands as it is.
        attributes: `class_` is written `class`, `aria_label` is `aria-label`; None leaves one out.

    Examples:
        >>> element("p", "a < b ", element("b", "c"), class_="note")
        '<p class="note">a &lt; b <b>c</b></p>'
    """
    return Markup(f"<{name}{_attributes(attributes)}>{joined(contents)}</{name}>")


def empty(name: str, /, **attributes: str | int | float | None) -> Markup:
    """An element that has no contents, e.g. `<rect/>`."""
    return Markup(f"<{name}{_attributes(attributes)}/>")


def joined(contents: Content, between: str = "") -> Markup:
    """Contents one after another."""
    if isinstance(contents, Markup):
        return contents
    if isinstance(contents, str):
        return Markup(html.escape(_printable(contents)))
    return Markup(between.join(joined(content) for content in contents))


def table(header: Sequence[Content], rows: Iterable[Sequence[Content]], caption: str | None = None) -> Markup:
    """A table whose first column heads its rows; columns of numbers stand to the right."""
    cells = [[joined(cell) for cell in row] for row in rows]
    kinds = ["number" if at and _is_numeric(row[at] for row in cells) else None for at in range(len(header))]
    heads = [element("th", cell, scope="col", class_=kind) for cell, kind in zip(header, kinds, strict=True)]
    body = [
        element(
            "tr",
            element("th", first, scope="row"),
            [element("td", cell, class_=kind) for cell, kind in zip(others, kinds[1:], strict=True)],
        )
        for first, *others in cells
    ]
    title = element("caption", caption) if caption else Markup()
    whole = element("table", title, element("thead", element("tr", heads)), element("tbody", body))
    return element("div", whole, class_="wide", tabindex=0, role="group", aria_label=caption or "table")


def _is_numeric(cells: Iterable[Markup]) -> bool:
    """Whether the cells of a column that hold anything begin with a number."""
    texts = [text for cell in cells if (text := re.sub("<[^>]*>", "", cell).lstrip("~≤≥−-$ "))]
    return bool(texts) and all(text[0].isdigit() or text == "not known" for text in texts)


def _attributes(attributes: dict[str, str | int | float | None]) -> str:
    pairs = ((name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items() if value is not None)
    return "".join(f' {name}="{html.escape(_printable(str(value)))}"' for name, value in pairs)


def _printable(text: str) -> str:
    """Control characters, which no page may show, as the replacement character."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" else c for c in text
    )
