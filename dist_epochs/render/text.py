"""Aligned lines for a terminal: plain text, no colours, the same in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dist_epochs.render.wrapping import wrapped_table

__all__ = ["aligned", "table"]


def aligned(rows: Iterable[tuple[str, str, str]]) -> str:
    """Lines of label, number and formula: labels to the left, numbers to the right, formulas wrapped at 80 columns.

    Examples:
        >>> print(aligned([("steps", "200", "= 160 + 40"), ("samples", "6,400", "")]))
          steps      200  = 160 + 40
          samples  6,400
    """
    return "\n".join(line for lines in wrapped_table(list(rows), "<><", wraps="--w") for line in lines)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns, the first to the left and the others to the right.

    Examples:
        >>> print(table(["unit", "planned"], [["steps", "200"]]))
          unit   planned
          steps      200
    """
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join(("", first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others))).rstrip()
