"""Tables for Markdown files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["markdown_table"]


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""A table of Markdown: the first column to the left, the others to the right.

    Examples:
        >>> print(markdown_table(["unit", "planned"], [["steps", "200"], ["a|b", ""]]))
        | unit | planned |
        |:---|---:|
        | steps | 200 |
        | a\|b |  |
    """
    rule = ["---:" if at else ":---" for at in range(len(header))]
    return "\n".join([_line(header), f"|{'|'.join(rule)}|", *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    """One row; a bar would end its cell, and a line end the row."""
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"
