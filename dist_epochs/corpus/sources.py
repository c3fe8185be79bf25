"""Documents of a source: text files, JSON lines, Parquet, a folder of these, a hub dataset, the embedded text."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from dist_epochs.corpus.tokenizer import EMBEDDED
from dist_epochs.errors import InputError, Origin

__all__ = ["HELD_OUT", "BadDocument", "DocumentMode", "Source", "Unit", "find_sources"]

DocumentMode = Literal["line", "paragraph", "file"]
"""What a document of a text file is: a line, a block between blank lines, or the whole file."""

FILE_ENDINGS = (".txt", ".jsonl", ".parquet")
HELD_OUT = ".held-out"
"""Ending of the source that holds another's held-out documents."""
HUB_PREFIX = "hf:"
"""Prefix of a dataset for `datasets.load_dataset`: `hf:NAME[:CONFIGURATION[:SPLIT]]`."""


class BadDocument(InputError):
    """A document that cannot be read; `--on-error skip` counts it and goes on."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One input file (or dataset), read from start to end.

    Attributes:
        name: Path, or name of the dataset.
        kind: Ending of the file, `hub` or `embedded`.
        size: Bytes; 0 where unknown.
        modified: When the file was last changed, in nanoseconds; 0 where unknown.
    """

    name: str
    kind: str
    size: int = 0
    modified: int = 0

    @classmethod
    def of(cls, path: Path, kind: str) -> Unit:
        """A file as it is now."""
        status = path.stat()
        return cls(str(path), kind, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Source:
    """A named part of the corpus.

    Attributes:
        name: Its name in recipes and counts.
        units: What it is read from, in order.
        ignored: Files of a folder that are no text, JSON lines or Parquet.
        document: What a document of a text file is.
        text_column: Column that holds the text in JSON lines, Parquet and datasets.
    """

    name: str
    units: tuple[Unit, ...]
    ignored: tuple[str, ...] = field(default=(), compare=False)
    document: DocumentMode = "line"
    text_column: str = "text"

    def read(self, unit: Unit) -> Iterator[str | BadDocument]:
        """The documents of one unit; what cannot be read comes as the error that says why."""
        match unit.kind:
            case ".txt":
                return _text(Path(unit.name), self.document)
            case ".jsonl":
                return _json_lines(Path(unit.name), self.text_column)
            case ".parquet":
                return _parquet(unit.name, self.text_column)
            case "hub":
                return _hub(unit.name, self.text_column)
            case _:
                return _embedded()


def find_sources(
    arguments: tuple[str, ...], *, document: DocumentMode = "line", text_column: str = "text"
) -> tuple[Source, ...]:
    """Turn command-line sources into named sources.

    Args:
        arguments: Each a file, a folder, `embedded` or `hf:NAME`, optionally as `name=…`.
        document: What a document of a text file is.
        text_column: Column that holds the text.

    Raises:
        InputError: If something does not exist, holds nothing readable, or two sources share a name.
    """
    sources = []
    for argument in arguments:
        name, equals, place = argument.partition("=")
        if not equals or Path(argument).exists():
            name, place = "", argument
        units, ignored, own_name = _units(place)
        sources.append(Source(name or own_name, units, ignored, document, text_column))
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two sources are called {name!r}", fixes="to name them apart: first=PATH second=PATH")
        if name.endswith(HELD_OUT):
            raise InputError(
                f"{name!r} cannot name a source", rule=f"{HELD_OUT} is for held-out documents", fixes="name=PATH"
            )
        if not name or any(mark in name for mark in "/\\\0") or name.startswith("."):
            raise InputError(f"{name!r} cannot name a source", fixes="name=PATH")
    return tuple(sources)


def _units(place: str) -> tuple[tuple[Unit, ...], tuple[str, ...], str]:
    if place == EMBEDDED:
        return (Unit(EMBEDDED, EMBEDDED),), (), "python-docs"
    if place.startswith(HUB_PREFIX):
        dataset = place.removeprefix(HUB_PREFIX)
        return (Unit(dataset, "hub"),), (), Path(dataset.split(":")[0]).name
    path = Path(place)
    if not path.exists():
        raise InputError(
            "no such file or folder", rule=f"a dataset of the hub is written {HUB_PREFIX}NAME", origin=Origin(place)
        )
    if path.is_file():
        kind = _kind(path)
        if kind is None:
            raise InputError(
                f"not a {', '.join(FILE_ENDINGS)} file", rule=".gz may follow the first two", origin=Origin(place)
            )
        return (Unit.of(path, kind),), (), path.name.removesuffix(".gz").rpartition(".")[0]
    found = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    units = tuple(Unit.of(file, kind) for file in found if (kind := _kind(file)))
    if not units:
        raise InputError(f"no {', '.join(FILE_ENDINGS)} file in this folder", origin=Origin(place))
    return units, tuple(str(file) for file in found if _kind(file) is None), path.resolve().name


def _kind(path: Path) -> str | None:
    name = path.name.removesuffix(".gz")
    kind = next((kind for kind in FILE_ENDINGS if name.endswith(kind)), None)
    return None if kind == ".parquet" and name != path.name else kind


def _lines(path: Path) -> Iterator[tuple[int, str | BadDocument]]:
    """Lines of a file, numbered from 1, without their ends."""
    with cast(BinaryIO, gzip.open(path)) if path.name.endswith(".gz") else path.open("rb") as file:
        for number, line in enumerate(_guarded(file, path), 1):
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                reason = f"not UTF-8: {error.reason} at byte {error.start} of the line"
                yield number, BadDocument(reason, origin=Origin(str(path), number))
                continue
            yield number, (text.removeprefix("\ufeff") if number == 1 else text).rstrip("\r\n")


def _guarded(file: BinaryIO, path: Path) -> Iterator[bytes]:
    try:
        yield from file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"damaged or cut gzip file: {error}", origin=Origin(str(path))) from None


def _text(path: Path, document: DocumentMode) -> Iterator[str | BadDocument]:
    if document == "line":
        for _, line in _lines(path):
            yield line
        return
    paragraph: list[str] = []
    broken: BadDocument | None = None
    for _, line in _lines(path):
        if isinstance(line, BadDocument):
            broken = broken or line
        elif document == "paragraph" and not line.strip():
            if broken or paragraph:
                yield broken or "\n".join(paragraph)
            paragraph, broken = [], None
        else:
            paragraph.append(line)
    if broken or paragraph or document == "file":
        yield broken or "\n".join(paragraph)


def _json_lines(path: Path, column: str) -> Iterator[str | BadDocument]:
    for number, line in _lines(path):
        if isinstance(line, BadDocument):
            yield line
        elif line.strip():
            yield _json_document(line, column, Origin(str(path), number))


def _json_document(line: str, column: str, origin: Origin) -> str | BadDocument:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return BadDocument(f"broken JSON: {error.msg} (column {error.colno})", origin=origin)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, endless nesting
        return BadDocument(f"broken JSON: {error}", origin=origin)
    if not isinstance(row, dict):
        return BadDocument(f"a JSON {type(row).__name__}, not an object with a {column!r} key", origin=origin)
    return _column(row, column, origin)


def _column(row: dict[str, Any], column: str, origin: Origin) -> str | BadDocument:
    if column not in row:
        names = ", ".join(map(repr, row)) or "none"
        return BadDocument(f"no {column!r} key", rule=f"there are {names}", fixes="--text-column", origin=origin)
    text = row[column]
    if not isinstance(text, str):
        return BadDocument(f"{column!r} holds {type(text).__name__}, not text", origin=origin)
    try:
        text.encode()
    except UnicodeEncodeError:
        return BadDocument(f"{column!r} holds half a surrogate pair, which is not text", origin=origin)
    return text


def _parquet(path: str, column: str) -> Iterator[str | BadDocument]:
    import datasets

    try:
        rows = datasets.load_dataset("parquet", data_files=path, split="train", streaming=True)
        yield from _rows(rows, column, path)
    except (datasets.exceptions.DatasetGenerationError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot be read as Parquet: {error.__cause__ or error}", origin=Origin(path)) from None


def _hub(name: str, column: str) -> Iterator[str | BadDocument]:
    import datasets

    dataset, _, rest = name.partition(":")
    configuration, _, split = rest.partition(":")
    try:
        rows = datasets.load_dataset(dataset, configuration or None, split=split or "train", streaming=True)
        yield from _rows(rows, column, f"{HUB_PREFIX}{name}")
    except (datasets.exceptions.DatasetNotFoundError, ConnectionError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot be loaded: {error}", origin=Origin(f"{HUB_PREFIX}{name}")) from None


def _rows(rows: Any, column: str, place: str) -> Iterator[str | BadDocument]:
    if rows.column_names is not None:
        if column not in rows.column_names:
            raise InputError(
                f"no column {column!r}",
                rule=f"there are {', '.join(rows.column_names)}",
                fixes="--text-column",
                origin=Origin(place),
            )
        rows = rows.select_columns([column])
    for number, row in enumerate(rows):
        yield _column(row, column, Origin(f"{place}: row {number}"))


def _embedded() -> Iterator[str]:
    """The interpreter's own language documentation, one topic a document."""
    from pydoc_data.topics import topics

    for _, text in sorted(topics.items()):
        yield text
