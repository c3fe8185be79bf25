"""Aligned lines for a terminal: plain text, no colours, the same in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["aligned", "table"]


def aligned(rows: Iterable[tuple[str, str, str]], indent: str = "  ") -> str:
    """Lines of label, number and formula: labels to the left, numbers to the right.

    Examples:
        >>> print(aligned([("steps", "200", "= 160 + 40"), ("samples", "6,400", "")]))
          steps      200  = 160 + 40
          samples  6,400
    """
    rows = list(rows)
    label = max((len(row[0]) for row in rows), default=0)
    value = max((len(row[1]) for row in rows), default=0)
    return "\n".join(f"{indent}{a:<{label}}  {b:>{value}}  {c}".rstrip() for a, b, c in rows)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], indent: str = "  ") -> str:
    """Columns, the first to the left and the others to the right.

    Examples:
        >>> print(table(["unit", "planned"], [["steps", "200"]]))
          unit   planned
          steps      200
    """
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    return "\n".join(
        (
            indent
            + "  ".join(
                f"{c:<{w}}" if at == 0 else f"{c:>{w}}" for at, (c, w) in enumerate(zip(line, widths, strict=True))
            )
        ).rstrip()
        for line in lines
    )
