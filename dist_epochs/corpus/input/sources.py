"""Finds the sources of a corpus: files and folders of text or tokens, datasets of the hub, and the embedded text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from dist_epochs.corpus.input.document import BadDocument
from dist_epochs.corpus.input.folder import NotRead, files_under
from dist_epochs.corpus.input.token_files import NOTHING_MORE, Ids, Reading
from dist_epochs.corpus.input.token_formats import FORMATS, is_validation, named_file, of_folder, refuse_other_tools
from dist_epochs.corpus.readers.column_batches import COLUMN
from dist_epochs.corpus.readers.datasets import HUB_PREFIX, read_hub
from dist_epochs.corpus.readers.json_lines import read_json_lines
from dist_epochs.corpus.readers.parquet import read_parquet
from dist_epochs.corpus.readers.text import DocumentMode, lines_before, read_text
from dist_epochs.corpus.stores.manifest import is_source_name
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED
from dist_epochs.errors import InputError, Origin

__all__ = ["HELD_OUT", "Source", "Unit", "find_sources"]

FILE_ENDINGS = (".txt", ".jsonl", ".parquet")
PACKED = (".gz", ".zst")
"""Endings of files that are unpacked while they are read."""
MOST_NAMED = 5
"""What is not read of a folder without sources, of which an error names no more."""
HELD_OUT = ".held-out"
"""Ending of the name of the source with the held-out documents of another."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One input file (or dataset), read from start to end.

    Attributes:
        name: Path, or name of the dataset.
        kind: Ending of the file, `hub`, `embedded`, or a format of tokens.
        size: Bytes, with all that belongs to it; 0 where unknown.
        modified: When it was last changed, in nanoseconds; 0 where unknown.
        start: Where a stretch of the file begins: a byte, before which its first document must not begin; of Parquet
            the group of rows.
        stop: Where it ends: no document that begins there or later is in it; 0 for the end of the file.
        about: Bytes of the stretch, about, where it does not begin and end at bytes.
    """

    name: str
    kind: str
    size: int = 0
    modified: int = 0
    start: int = 0
    stop: int = 0
    about: int = 0

    @property
    def bytes(self) -> int:
        """Bytes of the stretch, about; for the progress."""
        return self.about or (self.stop - self.start if self.stop else self.size)

    @property
    def is_packed(self) -> bool:
        """Whether the file is unpacked while it is read, and cannot be read from the middle."""
        return self.name.endswith(PACKED)

    @classmethod
    def of(cls, path: Path, kind: str) -> Unit:
        """A file, with those that belong to it, as it is now."""
        parts = FORMATS[kind].parts(path) if kind in FORMATS else (path,)
        statuses = [part.stat() for part in parts]
        size, modified = sum(each.st_size for each in statuses), max(each.st_mtime_ns for each in statuses)
        return cls(str(parts[0]), kind, size, modified)


@dataclass(frozen=True, slots=True)
class Source:
    """A named part of the corpus.

    Attributes:
        name: Its name in recipes and counts.
        units: What it is read from, in order.
        not_read: What a folder holds besides, and why it is not read.
        document: What a document of a text file is.
        text_column: Column that holds the text in JSON lines, Parquet and datasets.
        reading: What files of tokens do not say.
        held_out: Whether all of it is kept for evaluation.
    """

    name: str
    units: tuple[Unit, ...]
    not_read: tuple[NotRead, ...] = field(default=(), compare=False)
    document: DocumentMode = "line"
    text_column: str = "text"
    reading: Reading = NOTHING_MORE
    held_out: bool = False

    @property
    def is_tokenized(self) -> bool:
        """Whether it holds tokens already."""
        rows = (".jsonl", "hub") if self.text_column == COLUMN else ()
        return any(unit.kind in FORMATS or unit.kind in rows for unit in self.units)

    def read(self, unit: Unit) -> Iterator[str | Ids | BadDocument]:
        """The documents of one unit; in place of one that cannot be read, the error that says why."""
        if unit.kind in FORMATS:
            return FORMATS[unit.kind].documents(Path(unit.name), self.reading)
        if unit.start and unit.kind != ".parquet":
            return self._with_lines(unit)
        return self._read(unit)

    def _with_lines(self, unit: Unit) -> Iterator[str | Ids | BadDocument]:
        """The documents of a stretch, whose errors name the line of the file."""
        mode = self.document if unit.kind == ".txt" else "line"
        before: int | None = None
        for document in self._read(unit):
            if isinstance(document, BadDocument) and document.origin is not None and document.origin.line is not None:
                before = lines_before(Path(unit.name), mode, unit.start) if before is None else before
                line = before + document.origin.line
                document = document.but(origin=replace(document.origin, line=line))
            yield document

    def _read(self, unit: Unit) -> Iterator[str | Ids | BadDocument]:
        match unit.kind:
            case ".txt":
                return read_text(Path(unit.name), self.document, unit.start, unit.stop)
            case ".jsonl":
                return read_json_lines(Path(unit.name), self.text_column, unit.start, unit.stop)
            case ".parquet":
                return read_parquet(unit.name, self.text_column, unit.start, unit.stop)
            case "hub":
                return read_hub(unit.name, self.text_column)
            case _:
                return _embedded()


def _embedded() -> Iterator[str]:
    """The interpreter's own language documentation, which every installation has: one topic a document."""
    from pydoc_data.topics import topics

    for _, text in sorted(topics.items()):
        yield text


def find_sources(
    arguments: Iterable[str],
    *,
    document: DocumentMode = "line",
    text_column: str = "text",
    reading: Reading = NOTHING_MORE,
) -> tuple[Source, ...]:
    """Turn command-line sources into named sources.

    Args:
        arguments: Each a file, a folder, `embedded` or `hf:NAME`, optionally as `name=…`. Several of one given name are
            one source of the store; no part or shard holds documents of two of them.
        document: What a document of a text file is.
        text_column: Column that holds the text.
        reading: What files of tokens do not say.

    Raises:
        InputError: If something does not exist, holds nothing readable, or two sources share a name.
    """
    sources: list[Source] = []
    held_out = []
    given_names = []
    for argument in arguments:
        name, equals, place = argument.partition("=")
        if not equals or Path(argument).exists():
            name, place = "", argument
        given_names.append(name)
        units, not_read, own_name = _units(place, text_column, reading.dtype)
        kept = [unit for unit in units if unit.kind in FORMATS and is_validation(Path(unit.name))]
        kept = [] if len(kept) == len(units) else kept
        training = tuple(unit for unit in units if unit not in kept)
        source = Source(name or own_name, training, not_read, document, text_column, reading)
        sources.append(source)
        if kept:
            held_out.append(
                replace(source, name=f"{source.name}{HELD_OUT}", units=tuple(kept), not_read=(), held_out=True)
            )
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > max(1, given_names.count(name)):
            fixes = ("to name them apart: first=PATH second=PATH", f"to make one of them: {name}=PATH {name}=PATH")
            raise InputError(f"two sources are called {name!r}", fixes=fixes)
        if name.endswith(HELD_OUT):
            raise InputError(
                f"{name!r} cannot name a source", rule=f"{HELD_OUT} is for held-out documents", fixes="name=PATH"
            )
        if not is_source_name(name):
            raise InputError(f"{name!r} cannot name a source", fixes="name=PATH")
    return (*sources, *held_out)


def _units(place: str, text_column: str, dtype: str | None) -> tuple[tuple[Unit, ...], tuple[NotRead, ...], str]:
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
        if (named := named_file(path, text_column=text_column, dtype=dtype)) is not None:
            kind, file = named
            return (Unit.of(file, kind),), (), path.resolve().parent.name if kind == "mds" else file.stem
        text = _kind(path)
        if text is None:
            raise InputError(
                f"not a {', '.join(FILE_ENDINGS)} file, nor one of tokens",
                rule=f"{' or '.join(PACKED)} may follow the first two",
                origin=Origin(place),
            )
        return (Unit.of(path, text),), (), _plain(path).rpartition(".")[0]
    return _units_of_folder(path, text_column, dtype)


def _units_of_folder(
    path: Path, text_column: str, dtype: str | None
) -> tuple[tuple[Unit, ...], tuple[NotRead, ...], str]:
    found, not_read = files_under(path)
    tokens, others, leftovers = of_folder(path, found, text_column=text_column, dtype=dtype)
    texts = {file: kind for file in others if (kind := _kind(file))}
    origin = Origin(str(path))
    if (texts and tokens) or len(set(tokens.values())) > 1:
        kinds = [f"{next(iter(texts)).name} (text)"] if texts else []
        kinds += [
            f"{next(file for file in tokens if tokens[file] == kind).name} ({kind})" for kind in set(tokens.values())
        ]
        asked = "this folder holds corpora of several kinds, which may be the same text twice"
        raise InputError(
            asked, rule=", ".join(sorted(kinds)), fixes="the file that is meant, or its own folder", origin=origin
        )
    why = "not tokens, and nothing that belongs to them" if tokens else "not text, JSON lines or Parquet"
    not_read = sorted(
        [*not_read, *leftovers, *(NotRead(str(file), why) for file in others if file not in texts)],
        key=lambda each: each.path,
    )
    units = tuple(Unit.of(file, kind) for file, kind in sorted((tokens or texts).items()))
    if not units:
        refuse_other_tools(found)
        raise InputError(
            f"no {', '.join(FILE_ENDINGS)} file in this folder, nor tokens",
            rule=f"not read: {'; '.join(map(str, not_read[:MOST_NAMED]))}" if not_read else "",
            origin=origin,
        )
    return units, tuple(not_read), path.resolve().name


def _plain(path: Path) -> str:
    """The name without the ending of a packed file."""
    return path.stem if path.suffix in PACKED else path.name


def _kind(path: Path) -> str | None:
    name = _plain(path)
    kind = next((kind for kind in FILE_ENDINGS if name.endswith(kind)), None)
    return None if kind == ".parquet" and name != path.name else kind
