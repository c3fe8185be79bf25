"""Text for a terminal of 80 columns: wrapped lines, and tables whose cells are wrapped. Numbers are never cut."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product

__all__ = ["COLUMNS", "paragraph", "width_of", "wrapped_table"]

COLUMNS = 80
"""Columns of a terminal as it opens."""

INDENT = GAP = "  "
NARROWEST = 10
"""Of a column whose cells are wrapped."""

_BREAK = re.compile(r"\s+(?![%×÷+−→]|digits?\))")
"""Where a line may end: a formula is broken behind its signs, and a number keeps its per cent."""

_PART = re.compile(r"[^/\-_]*[/\-_]+|[^/\-_]+")
"""What a path or an address that is longer than a line is made of."""


@lru_cache(maxsize=4096)
def width_of(text: str) -> int:
    """Columns of a text: characters of Chinese, Japanese and Korean take two."""
    return len(text) if text.isascii() else sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def paragraph(text: str, indent: str = "", *, width: int = COLUMNS) -> list[str]:
    """Lines of a text, all but the first one indented.

    Examples:
        >>> paragraph("1,000,000 steps of 256 sequences", "  ", width=20)
        ['1,000,000 steps of', '  256 sequences']
    """
    return list(_paragraph(text, indent, width))


@lru_cache(maxsize=4096)
def _paragraph(text: str, indent: str, width: int) -> tuple[str, ...]:
    if width_of(text) <= width:
        return (" ".join(text.split()),)
    lines: list[str] = []
    line = ""
    for word in _words(text, width - len(indent)):
        if not line:
            line = word
        elif width_of(line) + 1 + width_of(word) <= width:
            line = f"{line} {word}"
        else:
            lines.append(line)
            line = indent + word
    return (*lines, line)


def _words(text: str, width: int) -> Iterator[str]:
    """What is kept on one line; what is longer than a line in parts, broken at its slashes if it has any."""
    for word in _BREAK.split(text.strip()):
        if width_of(word) <= width:
            yield word
            continue
        line = ""
        for part in _PART.findall(re.sub(r"\s", " ", word)):
            if line and width_of(line + part) > width:
                yield line
                line = ""
            line += part
            while width_of(line) > width:
                cut = next(at for at in range(len(line) + 1) if width_of(line[:at]) > width) - 1
                yield line[: max(cut, 1)]
                line = line[max(cut, 1) :]
        if line:
            yield line


def wrapped_table(rows: Sequence[Sequence[str]], align: str, *, wraps: str, width: int = COLUMNS) -> list[list[str]]:
    """Rows of cells in columns, each row as its lines; cells are wrapped where the whole is too wide.

    Of the widths that the columns may have, those are taken that make the fewest lines, and of these the ones that
    break no cell into many.

    Args:
        rows: Cells; leading spaces are kept.
        align: `<` or `>` for each column.
        wraps: For each column `w` if its cells may be wrapped, else `-`. The last column takes what is left.
        width: Columns of the whole.

    Examples:
        >>> for lines in wrapped_table([["steps", "90", "3 × 30 of the whole"]], "<><", wraps="--w", width=24):
        ...     print(lines)
        ['  steps  90  3 × 30 of', '             the whole']
    """
    natural = [max(width_of(row[at]) for row in rows) for at in range(len(align))]
    used = [at for at in range(len(align)) if natural[at]]
    if not used:
        return [[""] for _ in rows]
    *others, last = used
    room = width - len(INDENT) - len(GAP) * len(others)
    choices = [
        range(natural[at], min(natural[at], NARROWEST) - 1, -2) if wraps[at] == "w" else (natural[at],) for at in others
    ]
    sizes = {
        (at, size): _size([row[at] for row in rows], size)
        for at, widths in zip(others, choices, strict=True)
        for size in widths
    }
    found: tuple[int, int, int] | None = None
    best = [choice[-1] for choice in choices] + [NARROWEST]
    for chosen in product(*choices):
        left = min(room - sum(chosen), natural[last])
        if left < min(natural[last], NARROWEST):
            continue
        if (last, left) not in sizes:
            sizes[last, left] = _size([row[last] for row in rows], left)
        mine = [sizes[column] for column in zip(used, (*chosen, left), strict=True)]
        lines = sum(map(max, zip(*(lines for lines, _ in mine), strict=True)))
        cost = (sum(cut for _, cut in mine), lines, sum(count**2 for lines, _ in mine for count in lines))
        if found is None or cost < found:
            found, best = cost, [*chosen, left]
        if found[1] == len(rows):
            break
    return [_lines(row, used, best, align) for row in rows]


def _size(cells: Sequence[str], width: int) -> tuple[tuple[int, ...], int]:
    """Of a column of some width: the lines of each cell, and how many cells hold a word that must be cut."""
    lines = tuple(len(_cell(cell, width)) for cell in cells)
    return lines, sum(_longest_word(cell) > width for cell, count in zip(cells, lines, strict=True) if count > 1)


@lru_cache(maxsize=4096)
def _longest_word(cell: str) -> int:
    inner = len(cell) - len(cell.lstrip(" "))
    return inner + max((width_of(word) for word in _BREAK.split(cell.strip())), default=0) + (2 if inner else 0)


def _cell(text: str, width: int) -> tuple[str, ...]:
    inner = text[: len(text) - len(text.lstrip(" "))]
    if not inner:
        return _paragraph(text, "", width)
    first, *rest = _paragraph(text.strip(), "", max(width - len(inner), 1))
    return (inner + first, *(inner + line for line in rest))


def _lines(row: Sequence[str], used: Sequence[int], widths: Sequence[int], align: str) -> list[str]:
    cells = [_cell(row[at], width) for at, width in zip(used, widths, strict=True)]
    lines = []
    for at in range(max((len(cell) for cell in cells), default=1)):
        parts = []
        for column, cell, width in zip(used, cells, widths, strict=True):
            text = cell[at] if at < len(cell) else ""
            space = " " * max(width - width_of(text), 0)
            parts.append(text + space if align[column] == "<" else space + text)
        lines.append((INDENT + GAP.join(parts)).rstrip())
    return lines
