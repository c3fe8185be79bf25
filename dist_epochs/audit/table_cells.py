"""The cells of a table that somebody gave, line by line: CSV, or the first kind of table that Markdown has."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

__all__ = ["table_cells"]

FEWEST_COLUMNS = 3
"""Columns of CSV whose cells may hold lines that look like Markdown, as notes on models do."""


def table_cells(text: str) -> Iterator[tuple[int, list[str] | str]]:
    """Lines of cells, with their numbers: of a Markdown table, or of CSV with commas, semicolons or tabs.

    A line that cannot be read as CSV comes as what is wrong with it; lines that are empty or begin with # are left out.
    """
    lines = text.splitlines()
    head = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    has_header = len(re.split(r"[,;\t]", head)) >= FEWEST_COLUMNS  # else it is a sentence above a table
    if head.lstrip().startswith("|") or (not has_header and any(_is_markdown(line) for line in lines)):
        for number, line in enumerate(lines, 1):
            if _is_markdown(line) and not re.fullmatch(r"[\s|:+-]+", line):
                yield number, line.strip().strip("|").split("|")
        return
    delimiter = next((sign for sign in ("\t", ";") if sign in head), ",")
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, str(error)
            continue
        if any(cell.strip() for cell in cells) and not cells[0].startswith("#"):
            yield reader.line_num, cells


def _is_markdown(line: str) -> bool:
    return line.lstrip().startswith("|")
