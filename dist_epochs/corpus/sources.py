"""Finds the sources of a corpus: files, folders of files, datasets of the hub, and the embedded text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dist_epochs.corpus.folder import NotRead, files_under
from dist_epochs.corpus.manifest import is_source_name
from dist_epochs.corpus.readers.datasets import HUB_PREFIX, read_hub
from dist_epochs.corpus.readers.document import BadDocument
from dist_epochs.corpus.readers.embedded import read_embedded
from dist_epochs.corpus.readers.json_lines import read_json_lines
from dist_epochs.corpus.readers.parquet import read_parquet
from dist_epochs.corpus.readers.text import DocumentMode, read_text
from dist_epochs.corpus.tokenizer import EMBEDDED
from dist_epochs.errors import InputError, Origin

__all__ = ["HELD_OUT", "Source", "Unit", "find_sources"]

FILE_ENDINGS = (".txt", ".jsonl", ".parquet")
MOST_NAMED = 5
"""What is not read of a folder without sources, of which an error names no more."""
HELD_OUT = ".held-out"
"""Ending of the name of the source with the held-out documents of another."""


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
        not_read: What a folder holds besides, and why it is not read.
        document: What a document of a text file is.
        text_column: Column that holds the text in JSON lines, Parquet and datasets.
    """

    name: str
    units: tuple[Unit, ...]
    not_read: tuple[NotRead, ...] = field(default=(), compare=False)
    document: DocumentMode = "line"
    text_column: str = "text"

    def read(self, unit: Unit) -> Iterator[str | BadDocument]:
        """The documents of one unit; in place of one that cannot be read, the error that says why."""
        match unit.kind:
            case ".txt":
                return read_text(Path(unit.name), self.document)
            case ".jsonl":
                return read_json_lines(Path(unit.name), self.text_column)
            case ".parquet":
                return read_parquet(unit.name, self.text_column)
            case "hub":
                return read_hub(unit.name, self.text_column)
            case _:
                return read_embedded()


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
        units, not_read, own_name = _units(place)
        sources.append(Source(name or own_name, units, not_read, document, text_column))
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two sources are called {name!r}", fixes="to name them apart: first=PATH second=PATH")
        if name.endswith(HELD_OUT):
            raise InputError(
                f"{name!r} cannot name a source", rule=f"{HELD_OUT} is for held-out documents", fixes="name=PATH"
            )
        if not is_source_name(name):
            raise InputError(f"{name!r} cannot name a source", fixes="name=PATH")
    return tuple(sources)


def _units(place: str) -> tuple[tuple[Unit, ...], tuple[NotRead, ...], str]:
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
    if not path.is_dir():
        if not path.is_file():
            raise InputError("neither a file nor a folder", origin=Origin(place))
        kind = _kind(path)
        if kind is None:
            raise InputError(
                f"not a {', '.join(FILE_ENDINGS)} file", rule=".gz may follow the first two", origin=Origin(place)
            )
        return (Unit.of(path, kind),), (), path.name.removesuffix(".gz").rpartition(".")[0]
    found, not_read = files_under(path)
    kinds = {file: _kind(file) for file in found}
    units = tuple(Unit.of(file, kind) for file, kind in kinds.items() if kind)
    not_read += [NotRead(str(file), "not text, JSON lines or Parquet") for file, kind in kinds.items() if not kind]
    if not units:
        raise InputError(
            f"no {', '.join(FILE_ENDINGS)} file in this folder",
            rule=f"not read: {'; '.join(map(str, not_read[:MOST_NAMED]))}" if not_read else "",
            origin=Origin(place),
        )
    return units, tuple(not_read), path.resolve().name


def _kind(path: Path) -> str | None:
    name = path.name.removesuffix(".gz")
    kind = next((kind for kind in FILE_ENDINGS if name.endswith(kind)), None)
    return None if kind == ".parquet" and name != path.name else kind
