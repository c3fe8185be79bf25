"""The table of a mixture as a claim: shares, sizes, tokens drawn and epochs of each source, and their sums."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dist_epochs.arithmetic.quantity import Quantity, Unit, parse
from dist_epochs.audit.claim import CheckText, Claim
from dist_epochs.audit.expression import Expression, Name, total
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.table_cells import table_cells
from dist_epochs.errors import InputError, Origin, nearest
from dist_epochs.settings.files import read_utf8

__all__ = ["COLUMNS", "read_mixture_table"]

MOST_BYTES = 10**6
MOST_ROWS = 100
"""Sources of a mixture: formulas add that many."""

COLUMNS: Mapping[str, str] = {
    "share": (
        r"(?:sampling |mixture |mixing )?(?:shares?|weights?|proportions?|"
        r"prob(?:ability)?\w*|ratios?|mix(?:ture)?)(?: ?\(?(?:%|in %|percent)\)?)?|"
        r"%|占比|比例|비율|比率"
    ),
    "drawn": (
        r"(?:effective |seen |drawn |trained |sampled |training )(?:num(?:ber of)? |"
        r"# ?)?tokens?.*|tokens? (?:seen|drawn|trained|sampled|in training|"
        r"in mix\w*).*"
    ),
    "epochs": r"(?:# ?|num(?:ber of)? )?(?:effective )?(?:epochs?|passes|repeats?|repetitions?)(?: .*)?|"
    r"轮数|エポック数?|에폭",
    "size": (
        r"(?:disk |corpus |data ?set |source |unique |raw |available |total )*(?:sizes?|"
        r"tokens?|num(?:ber of)? tokens|# ?tokens|samples?)(?: ?\(.*\))?|"
        r"大小|サイズ|크기"
    ),
    "name": (
        r"sources?|data ?sets?|names?|corpus|corpora|domains?|subsets?|components?|"
        r"data|mixture|数据集|来源|データセット|데이터셋|"
    ),
}
"""What a column is, by its header."""

_TOTAL = re.compile(r"(?i)(?:total|sum|all|overall|合计|总计|計|합계)s?")
_EMPTY = ("", "-", "–", "—", "n/a", "N/A", "na")


@dataclass(frozen=True, slots=True)
class _Row:
    """A source: its name, its line, and its cells by column."""

    name: str
    line: int
    cells: Mapping[str, Quantity]


def read_mixture_table(path: Path, stated_total: str | None = None) -> Claim:
    """A table of sources as a claim.

    Args:
        path: A CSV or Markdown file: a column of names, and two or more of shares, sizes, tokens drawn and epochs.
        stated_total: Tokens that are drawn in all, as a flag gives them.

    Raises:
        InputError: With the line of what cannot be read; if nothing follows from its columns.
    """
    rows = [*_rows(read_utf8(path, MOST_BYTES, "the table of a mixture", pipes=True), path)]
    whole = [row for row in rows if _TOTAL.fullmatch(row.name)]
    sources = [row for row in rows if row not in whole]
    if not sources:
        raise InputError("the table has no source", rule="it has a row for each source", origin=Origin(str(path)))
    facts: dict[str, Fact] = {}
    called = _called([row.name for row in sources])
    for row, name in zip(sources, called, strict=True):
        for column, number in row.cells.items():
            facts[f"{column}_of_{name}"] = _fact(column, number)
    if stated_total is not None:
        facts["drawn_in_all"] = Fact(number=parse(stated_total, unit=Unit.TOKEN, what="tokens"))
    elif whole and "drawn" in whole[0].cells:
        facts["drawn_in_all"] = _fact("drawn", whole[0].cells["drawn"])
    checks = dict(_checks(sources, called, facts))
    sums = dict(_sums(sources, called, whole[0] if whole else None, facts))
    if not {**checks, **sums}:
        raise InputError(
            "nothing follows from the columns of the table",
            rule="shares add up to one; share × tokens in all = size × epochs of a source",
            fixes=("a column of shares", "columns of sizes, shares and epochs"),
            origin=Origin(str(path)),
        )
    used = {name for check in {**checks, **sums}.values() for name in _names(check.formula)}
    return Claim(
        title=path.name, facts={name: fact for name, fact in facts.items() if name in used}, checks={**checks, **sums}
    )


def _names(formula: Expression | None) -> Sequence[str]:
    from dist_epochs.audit.expression import names_in

    return [*names_in(formula)] if formula is not None else []


def _fact(column: str, number: Quantity) -> Fact:
    """A number of the table, without its unit: all sizes count the same."""
    return Fact(number=number.counted_in(Unit.EPOCH if column == "epochs" else None), exact=False)


def _called(sources: Sequence[str]) -> list[str]:
    """The names of sources as formulas can have them, each once."""
    names: list[str] = []
    for at, source in enumerate(sources):
        name = re.sub(r"[^A-Za-z0-9]+", "_", source).strip("_") or f"source_{at + 1}"
        names.append(name if name not in names else f"{name}_row_{at + 1}")
    return names


def _checks(
    sources: Sequence[_Row], called: Sequence[str], facts: Mapping[str, Fact]
) -> Iterator[tuple[str, CheckText]]:
    """What follows for each source."""
    drawn = [_drawn(name, facts) for name in called]
    known = [each for each in drawn if each is not None]
    in_all: Expression | None = Name("drawn_in_all") if "drawn_in_all" in facts else None
    if in_all is None and len(known) == len(sources):
        in_all = total(known)
    for row, name in zip(sources, called, strict=True):
        share, size, epochs, seen = (f"{column}_of_{name}" for column in ("share", "size", "epochs", "drawn"))
        if seen in facts and share in facts and in_all is not None:
            yield f"share of {row.name}", CheckText(formula=Name(seen) / in_all, stated=facts[share])
        if epochs in facts and size in facts and seen in facts:
            yield f"epochs of {row.name}", CheckText(formula=Name(seen) / Name(size), stated=facts[epochs])
        elif epochs in facts and size in facts and share in facts and "drawn_in_all" in facts:
            yield (
                f"epochs of {row.name}",
                CheckText(formula=Name("drawn_in_all") * Name(share) / Name(size), stated=facts[epochs]),
            )
        elif epochs in facts and size in facts and share in facts and in_all is not None:
            yield f"share of {row.name}", CheckText(formula=Name(size) * Name(epochs) / in_all, stated=facts[share])


def _drawn(name: str, facts: Mapping[str, Fact]) -> Expression | None:
    """What is drawn of a source."""
    drawn, size, epochs = (f"{column}_of_{name}" for column in ("drawn", "size", "epochs"))
    if drawn in facts:
        return Name(drawn)
    if size in facts and epochs in facts:
        return Name(size) * Name(epochs)
    return None


def _sums(
    sources: Sequence[_Row], called: Sequence[str], whole: _Row | None, facts: Mapping[str, Fact]
) -> Iterator[tuple[str, CheckText]]:
    """Columns that add up: shares to one, the others to the row of totals."""
    for column, title in (
        ("share", "sum of the shares"),
        ("size", "sum of the sizes"),
        ("drawn", "sum of what is drawn"),
    ):
        names = [f"{column}_of_{name}" for name in called if f"{column}_of_{name}" in facts]
        if len(names) < len(sources) or len(names) < 2:
            continue
        stated = whole.cells.get(column) if whole is not None else None
        if stated is None and column == "share":
            stated = parse("1.0")
        if stated is not None:
            yield title, CheckText(formula=total([Name(name) for name in names]), stated=_fact(column, stated))


def _rows(text: str, path: Path) -> Iterator[_Row]:
    """The rows of a table, each with its line."""
    lines = []
    for number, cells in table_cells(text):
        if isinstance(cells, str):
            raise InputError("the table cannot be read as CSV", rule=cells, origin=Origin(str(path), number))
        lines.append((number, cells))
    if len(lines) < 2:
        raise InputError(
            "no table", rule="a header and a row for each source, as CSV or Markdown", origin=Origin(str(path))
        )
    if len(lines) > MOST_ROWS + 1:
        raise InputError(
            f"the table has {len(lines) - 1:,} rows", rule=f"at most {MOST_ROWS} are read", origin=Origin(str(path))
        )
    number, header = lines[0]
    columns = [_column(cell) for cell in header]
    if "name" not in columns:
        columns[0] = "name"
    if not {"share", "drawn", "epochs", "size"} & set(columns):
        hint = nearest("share", [cell for cell in header if cell.strip()])
        raise InputError(
            f"no column of the table is known{hint}",
            rule="share, size, tokens drawn, epochs",
            origin=Origin(str(path), number),
        )
    in_percent = {at for at, cell in enumerate(header) if columns[at] == "share" and re.search(r"%|percent", cell)}
    scales = [_scale(cell) for cell in header]
    for line, cells in lines[1:]:
        found: dict[str, Quantity] = {}
        name = ""
        for at, (column, cell) in enumerate(zip(columns, cells, strict=False)):
            cell = cell.strip().strip("*_`").strip()
            if column == "name":
                name = name or cell
            elif column and cell not in _EMPTY and column not in found:
                found[column] = _number(cell, at in in_percent, scales[at], Origin(str(path), line))
        if found:
            yield _Row(name or f"line {line}", line, found)


def _column(header: str) -> str:
    said = re.sub(r"[\s_]+", " ", header).strip().strip("*").strip().lower()
    return next((name for name, pattern in COLUMNS.items() if re.fullmatch(pattern, said)), "")


def _scale(header: str) -> str:
    """The scale that a header gives its numbers: `Tokens (B)`, `size in billions`."""
    match = re.search(
        r"\(?(?:in )?\b([KMBT]|thousands?|millions?|billions?|trillions?)\b(?: tokens)?\)?\s*$", header.strip()
    )
    return match[1] if match is not None else ""


def _number(cell: str, in_percent: bool, scale: str, origin: Origin) -> Quantity:
    try:
        text = cell.rstrip("x×") if re.fullmatch(r"[\d.,]+\s*[x×]", cell) else cell
        number = parse(f"{text}{' ' * (len(scale) > 1)}{scale}" if scale and re.fullmatch(r"[~\d.,]+", text) else text)
    except InputError as error:
        raise error.but(origin=origin) from None
    if in_percent and "%" not in cell:
        return replace(parse(f"{cell}%"), text=f"{cell}%")
    return number
