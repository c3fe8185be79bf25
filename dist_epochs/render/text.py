"""Numbers and aligned lines for a terminal: plain text, no colours, the same in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

__all__ = ["aligned", "number", "scaled", "short", "table"]

LARGEST_SCALED = 10**15
"""From here on scales are no longer read as words."""

SCALES = ((10**12, "T"), (10**9, "B"), (10**6, "M"))


def number(value: int | float | Fraction | None) -> str:
    """A number in full: whole numbers exactly, others to four decimals.

    Examples:
        >>> number(1000000), number(39.71878), number(None)
        ('1,000,000', '39.7188', 'not known')
    """
    if value is None:
        return "not known"
    exact = Fraction(value)
    if exact.denominator == 1:
        return f"{int(exact):,}"
    return f"{float(exact):,.4f}" if abs(exact) >= Fraction(1, 1000) else f"{float(exact):.4g}"


def short(value: int | float | Fraction) -> str:
    """A large number in four digits, smaller ones in full.

    Examples:
        >>> short(42598400000), short(128000)
        ('42.6B', '128,000')
    """
    if value >= LARGEST_SCALED:
        return f"{float(value):.4g}"
    for size, letter in SCALES:
        if value >= size:
            return f"{float(value) / size:.4g}{letter}"
    return number(value)


def scaled(value: int | float | Fraction) -> str:
    """A number of any size in four digits, large ones with their scale.

    Examples:
        >>> scaled(Fraction(212992, 20625)), scaled(2400), scaled(71526), scaled(3.5e9)
        ('10.33', '2,400', '71,526', '3.5B')
    """
    if value >= 10**6 or (value >= 1000 and Fraction(value).denominator == 1):
        return short(value)
    return f"{float(value):,.0f}" if value >= 1000 else f"{float(value):.4g}"


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
