"""The rows of a table of models: their numbers with the digits that they are printed with, and what cannot be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from dist_epochs.arithmetic.quantity import Quantity, Unit, parse
from dist_epochs.audit.model_table.columns import NUMBERS, TEXTS, columns_of, is_model_table
from dist_epochs.audit.table_cells import table_cells
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.files import read_utf8

__all__ = ["ModelTable", "Row", "read_model_table"]

MOST_BYTES = 64 * 10**6
MOST_ROWS = 100_000
FEWEST_DIGITS = 2
"""A table prints 2.0e11 and 200000000000.0 alike: of a number's zeros one may be a digit."""

LARGEST_IN_FULL = 10**6
"""Smaller numbers are counts of devices, hours and epochs, in all of their digits."""

COUNTS: Mapping[str, tuple[Unit, ...]] = {
    "data": (Unit.TOKEN, Unit.SAMPLE),
    "epochs": (Unit.EPOCH,),
    "devices": (Unit.DEVICE,),
}
"""What a cell may say that it counts; a number of another unit is none of its column."""

COMPUTES = ("fine_tuning", "lower", "upper")
LEAST_COMPUTE = 10**6
"""FLOPs of a training, other than those of the 1950s, whose compute itself may be less."""

MOST_DIGITS = 12
"""Those after it are what floating-point arithmetic left: 7.860999999999999e+24 is 7.861e24."""

EMPTY = ("", "-", "–", "—", "n/a", "na", "nan", "none", "null", "unknown", "?")

_PLAIN = re.compile(r"(?P<whole>\d+(?:,\d{3})*|\d*)(?:\.(?P<part>\d*))?(?:[eE](?P<power>[+-]?\d{1,3}))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A model.

    Attributes:
        line: Where its row ends in the file.
        name: What it is called; its line, if it has no name.
        numbers: Its numbers, by the names of `columns.NUMBERS`.
        texts: Its words, by the names of `columns.TEXTS`.
        problems: Cells that could not be read, a sentence each.
    """

    line: int
    name: str
    numbers: Mapping[str, Quantity]
    texts: Mapping[str, str]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelTable:
    """A table of models.

    Attributes:
        path: The file.
        header: The headers of the columns that were read, by their names here.
        rows: Its rows.
    """

    path: str
    header: Mapping[str, str]
    rows: tuple[Row, ...]


def read_model_table(path: Path) -> ModelTable | None:
    """A table of models; None if its header is that of another table.

    Bad rows and cells do not end it: they are named.

    Raises:
        InputError: If the file cannot be read, or is no table.
    """
    lines = table_cells(read_utf8(path, MOST_BYTES, "a table of models", pipes=True))
    _, header = next(lines, (1, ""))
    if isinstance(header, str) or not is_model_table(header):
        return None
    columns = columns_of(header)
    rows: list[Row] = []
    for line, cells in lines:
        if len(rows) == MOST_ROWS:
            raise InputError(f"the table has more than {MOST_ROWS:,} rows", origin=Origin(str(path), line))
        rows.append(_row(line, cells, columns, len(header)))
    if not rows:
        raise InputError("the table has a header and no row", rule="a row for each model", origin=Origin(str(path)))
    return ModelTable(path=str(path), header={name: header[at] for name, at in columns.items()}, rows=tuple(rows))


def _row(line: int, cells: list[str] | str, columns: Mapping[str, int], width: int) -> Row:
    if isinstance(cells, str):
        return Row(line=line, name=f"line {line}", numbers={}, texts={}, problems=(f"not CSV: {cells}",))
    said = {name: cells[at].strip() for name, at in columns.items() if at < len(cells)}
    numbers: dict[str, Quantity] = {}
    problems = []
    if len(cells) != width:
        problems.append(f"{len(cells)} cells, and the header has {width}")
    for name in NUMBERS:
        text = said.get(name, "")
        if text.lower() in EMPTY:
            continue
        try:
            number = _number(text)
            if number.unit is not None and number.unit not in COUNTS.get(name, ()):
                raise InputError(f"{text} counts {number.unit}s")
        except InputError as error:
            problems.append(f"{name.replace('_', ' ')}: {error.asked}")
            continue
        if not number.value:
            problems.append(f"{name.replace('_', ' ')}: 0 counts nothing")
        elif name in COMPUTES and number.value < LEAST_COMPUTE:
            problems.append(f"{name.replace('_', ' ')}: {text} FLOPs are none of a training; its exponent may be lost")
        else:
            numbers[name] = number.counted_in(None) if number.unit is not None else number
    texts = {name: said[name] for name in TEXTS if said.get(name, "").lower() not in EMPTY}
    name = " ".join(texts.get("model", f"line {line}").split())
    return Row(line=line, name=name, numbers=numbers, texts=texts, problems=tuple(problems))


def _number(text: str) -> Quantity:
    """A number of a cell, with half a unit of its last digit that is no zero; two digits are the fewest."""
    bare = text.removeprefix("$").strip()
    match = _PLAIN.fullmatch(bare)
    if match is None or not (match["whole"] or match["part"]):
        return parse(bare)
    plain = parse(bare)
    if plain.value < 1:
        return plain
    if plain.value < LARGEST_IN_FULL:
        return parse(f"{int(plain.value)}") if plain.value.denominator == 1 else plain
    mantissa, power = f"{Decimal(bare.replace(',', '')):.{MOST_DIGITS - 1}e}".split("e")
    whole, part = mantissa.rstrip("0").split(".")
    return parse(f"{whole}.{part.ljust(FEWEST_DIGITS - 1, '0')}e{int(power)}")
