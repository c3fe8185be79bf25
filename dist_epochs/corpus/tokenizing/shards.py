"""Stores that are to be put together, each whole: one alone, or all shards of one `tokenize --shard i/n`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dist_epochs.corpus.input.sources import Source
from dist_epochs.corpus.stores.store import SourceStore, Store
from dist_epochs.corpus.stores.verify import verify_store
from dist_epochs.corpus.tokenizing.build import SHARD
from dist_epochs.corpus.tokenizing.made_from import RECORD, Command, has_record, read_record
from dist_epochs.corpus.tokenizing.store_parts import StorePart, files_of, read_parts
from dist_epochs.corpus.tokenizing.tokenizer import TextTokenizer
from dist_epochs.errors import InputError, Origin

__all__ = ["Given", "Whole", "open_given", "tokenizer_of_stores", "wholes_of"]

MOST_NAMED = 20
"""Missing shards of which no more are named."""


@dataclass(frozen=True)
class Given:
    """A store, or a shard without documents, which has no manifest.

    Attributes:
        path: Its folder.
        store: The store; None without documents.
        record: What it was made from.
        parts: The same, part by part.
    """

    path: Path
    store: Store | None
    record: Mapping[str, Any]
    parts: Sequence[StorePart]

    @property
    def shard(self) -> tuple[int, int]:
        """Which shard of how many it is; the first of one, if it is a store of its own."""
        number, _, shards = self.record["command"].get(SHARD, "1/1").partition("/")
        return int(number), int(shards)

    @cached_property
    def sources(self) -> dict[str, SourceStore]:
        """The sources of the store by name."""
        kept = [] if self.store is None else [*self.store.sources(), *self.store.sources(held_out=True)]
        return {source.name: source for source in kept}

    @property
    def packings(self) -> frozenset[tuple[int, str]]:
        """The lengths and strategies that it is packed at."""
        return frozenset(packing for source in self.sources.values() for packing in source.packings())

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the store; None without documents."""
        return None if self.store is None else self.store.manifest["fingerprint"]

    def shards_of(self, part: int) -> Iterator[tuple[str, int]]:
        """Source and place of each shard file of a part."""
        return iter(self._shards.get(part, ()))

    @cached_property
    def _shards(self) -> dict[int, list[tuple[str, int]]]:
        found: dict[int, list[tuple[str, int]]] = {}
        for name, source in self.sources.items():
            for place, shard in enumerate(source.entry["shards"]):
                found.setdefault(int(shard["name"].partition("-")[0]), []).append((name, place))
        return found

    @cached_property
    def blocks(self) -> dict[str, list[list[list[int]]]]:
        """Documents and tokens of each block of each shard file of each source."""
        found = {}
        for name, source in self.sources.items():
            own: list[list[list[int]]] = [[] for _ in source.entry["shards"]]
            for place, documents, tokens in source.blocks[["shard", "documents", "tokens"]].tolist():
                own[place].append([documents, tokens])
            found[name] = own
        return found


@dataclass(frozen=True)
class Whole:
    """All that one command reads: a store, or all its shards.

    Attributes:
        given: The store, or its shards in their order.
    """

    given: Sequence[Given]

    @cached_property
    def parts(self) -> list[tuple[Given, StorePart]]:
        """The parts of the corpus, and where each is."""
        pairs = [(each, part) for each in self.given for part in each.parts]
        return sorted(pairs, key=lambda pair: pair[1].number)

    @property
    def path(self) -> Path:
        """Where the first of them is."""
        return self.given[0].path

    @property
    def command(self) -> dict[str, str]:
        """What else than its input decided it."""
        return {name: value for name, value in self.given[0].record["command"].items() if name != SHARD}

    @cached_property
    def sources(self) -> list[Source]:
        """The sources of its command, with their files."""
        files = iter(files_of(part for _, part in self.parts))
        return [
            Source(name, tuple(next(files) for _ in range(count)), (), document, column, held_out=held_out)
            for name, document, column, held_out, count in self.given[0].record["sources"]
        ]


def open_given(path: Path) -> Given:
    """Open a store, or a shard without documents, and compare its digests.

    Raises:
        InputError: If it is none, is damaged, or of format 1.
    """
    if has_record(path) and not (path / "manifest.json").exists():
        record = read_record(path)
        if SHARD in record["command"] and record["files"]:
            return Given(path, None, record, read_parts(path, record["parts"]))
    store = Store(path)
    if store.manifest["version"] == 1:
        raise InputError(
            "a store of format 1, whose blocks are others",
            fixes="to make it again with `dist-epochs tokenize`",
            origin=Origin(str(path)),
        )
    verify_store(store)
    record = read_record(path)
    return Given(path, store, record, read_parts(path, record["parts"]))


def wholes_of(stores: Iterable[Given]) -> list[Whole]:
    """Bring shards of one command together.

    Raises:
        InputError: If a shard is missing, or there twice.
    """
    groups: dict[Any, list[Given]] = {}
    for number, given in enumerate(stores):
        _, shards = given.shard
        command = [*given.record["command"].items(), ("read", given.record["read"]), ("n", shards)]
        same = tuple(pair for pair in command if pair[0] != SHARD)
        groups.setdefault(same if shards > 1 else number, []).append(given)
    wholes = [Whole(sorted(group, key=lambda given: given.shard)) for group in groups.values()]
    for whole in wholes:
        _check_complete(whole, wholes)
        _check_parts(whole)
    return wholes


def _check_complete(whole: Whole, wholes: Sequence[Whole]) -> None:
    found: dict[int, Path] = {}
    for given in whole.given:
        number, shards = given.shard
        if number in found:
            raise InputError(
                f"shard {number}/{shards} is there twice",
                rule=f"it is {found[number]}, too",
                fixes="to leave one of them out",
                origin=Origin(str(given.path)),
            )
        found[number] = given.path
    missing = [f"{number}/{shards}" for number in range(1, shards + 1) if number not in found]
    if missing:
        others = [other.path for other in wholes if other is not whole and other.given[0].shard[1] == shards]
        more = f" and {len(missing) - MOST_NAMED:,} more" if len(missing) > MOST_NAMED else ""
        raise InputError(
            f"shard {', '.join(missing[:MOST_NAMED])}{more} is missing",
            rule=f"{others[0]} is one of another command, or of files of other names, sizes or times" if others else "",
            fixes="to name all shards of a corpus",
            origin=Origin(str(whole.path)),
        )


def _check_parts(whole: Whole) -> None:
    """Check that the parts are those of the command, one after the other."""
    numbers = [part.number for _, part in whole.parts]
    record = whole.given[0].record
    files = sum(source[-1] for source in record["sources"])
    fits = numbers == list(range(len(numbers))) and len(files_of(part for _, part in whole.parts)) == files
    if not fits or Command(tuple(whole.sources), {}).digest(files) != record["read"]:
        raise InputError(
            "its parts are not those of its input files",
            consequence="the store is damaged",
            fixes="to make it again with `dist-epochs tokenize`",
            origin=Origin(str(whole.path / RECORD)),
        )


def tokenizer_of_stores(stores: Sequence[Given]) -> TextTokenizer:
    """The tokenizer of all, with where it is from if they agree on that."""
    origins = {
        (tokenizer.get("repository", ""), tokenizer.get("revision", ""))
        for tokenizer in (given.store.manifest["tokenizer"] for given in stores if given.store is not None)
    }
    repository, revision = origins.pop() if len(origins) == 1 else ("", "")
    return TextTokenizer(stores[0].path / "tokenizer", repository=repository, revision=revision)
