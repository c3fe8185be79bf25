"""Markdown as GitHub shows it: tables and paragraphs whose text is shown as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

__all__ = ["bullets", "escaped", "markdown_table", "quoted"]

_MEANS = re.compile(r"([\\`*~|<\[]|(?<!\w)_|_(?!\w))")
"""Signs that change how text is shown: `~40 … ~50` would be struck through, a `|` would end a cell."""

_BEGINS = re.compile(r"^(\d*)([#+-](?=\s)|>|[.)](?=\s))")
"""What makes a heading, a quotation or a list of a line that begins with it."""

_CALLS = re.compile(r"(?<![\w`])@(?=\w)|(?<![\w&])#(?=\d)")
"""What would tell a person or link an issue."""

_ADDRESS = re.compile(r"(https?://[^\s<>|`]+)")
"""GitHub links it as it stands."""


def escaped(text: str) -> str:
    r"""Text that is shown as it is, on one line; addresses are links.

    Examples:
        >>> print(escaped("~40 epochs of a_b | c"))
        \~40 epochs of a_b \| c
        >>> print(escaped("- 3 of @all, *https://a.b/_c_*"))
        \- 3 of @<!-- -->all, \*https://a.b/_c_*
    """
    parts = _ADDRESS.split(" ".join(text.split()))
    parts[::2] = [_CALLS.sub(lambda found: f"{found[0]}<!-- -->", _MEANS.sub(r"\\\1", part)) for part in parts[::2]]
    return _BEGINS.sub(r"\1\\\2", "".join(parts))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str = "") -> list[str]:
    r"""A table: its cells are text, columns without any are left out.

    Args:
        header: Titles of the columns.
        rows: Cells.
        align: `<` or `>` for each column. Default: all to the left.

    Examples:
        >>> print("\n".join(markdown_table(["unit", "", "value"], [["step", "", "3"]], "<<>")))
        | unit | value |
        |---|--:|
        | step | 3 |
    """
    used = [at for at, title in enumerate(header) if any(row[at] for row in rows)]
    sides = align or "<" * len(header)
    lines = [_row([header[at] for at in used]), f"|{'|'.join('--:' if sides[at] == '>' else '---' for at in used)}|"]
    return [*lines, *(_row([row[at] for at in used]) for row in rows)] if used else []


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(escaped(cell) for cell in cells)} |"


def bullets(items: Sequence[str]) -> list[str]:
    """A list, an item a line."""
    return [f"- {escaped(item)}" for item in items]


def quoted(text: str) -> Iterator[str]:
    """A text of others, as a quotation."""
    for line in text.strip().splitlines():
        yield f"> {escaped(line)}".rstrip()
