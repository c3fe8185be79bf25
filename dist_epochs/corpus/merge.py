"""Puts stores together to the one that a single `tokenize` of all their input, in that order, would have made.

Tokens and lengths get a second name in the new store, or are copied where the disk cannot do that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from dist_epochs.corpus.made_from import Command, has_record, read_record
from dist_epochs.corpus.manifest_of import together
from dist_epochs.corpus.part_record import PARTS
from dist_epochs.corpus.sources import Source
from dist_epochs.corpus.store import SourceStore, Store
from dist_epochs.corpus.store_parts import StorePart, files_of, read_parts
from dist_epochs.corpus.tokenize import Filled, Settings, build, names_of, shape_of
from dist_epochs.corpus.tokenizer import TextTokenizer
from dist_epochs.corpus.verify import verify_store
from dist_epochs.corpus.workplace import empty
from dist_epochs.corpus.writer import Draft
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import link_or_copy, make_durable

__all__ = ["merge"]

SAME = {"tokenizer": "tokenizer", "--special-tokens": "--special-tokens", "--held-out": "--held-out"}
"""Parts of a command that must be the same, and how they are called."""


@dataclass(frozen=True)
class _Given:
    """A store to put together with others.

    Attributes:
        path: Its folder.
        store: The store.
        record: What it was made from.
        parts: The same, part by part.
    """

    path: Path
    store: Store
    record: dict[str, Any]
    parts: Sequence[StorePart]

    @property
    def command(self) -> dict[str, str]:
        """What else than its input decided it."""
        found: dict[str, str] = self.record["command"]
        return found

    @cached_property
    def sources(self) -> list[Source]:
        """The sources of its command, with their files."""
        files = iter(files_of(self.parts))
        return [
            Source(name, tuple(next(files) for _ in range(count)), (), document, column, held_out=held_out)
            for name, document, column, held_out, count in self.record["sources"]
        ]

    def shards(self, part: int) -> Iterator[tuple[str, int]]:
        """Source and number of each shard of a part."""
        return iter(self._shards.get(part, ()))

    @cached_property
    def _shards(self) -> dict[int, list[tuple[str, int]]]:
        found: dict[int, list[tuple[str, int]]] = {}
        for entry in self.store.manifest["sources"]:
            for number, shard in enumerate(entry["shards"]):
                found.setdefault(int(shard["name"].partition("-")[0]), []).append((entry["name"], number))
        return found

    @cached_property
    def held(self) -> dict[str, SourceStore]:
        """The sources of the store by name."""
        return {source.name: source for kept in (False, True) for source in self.store.sources(held_out=kept)}

    @cached_property
    def blocks(self) -> dict[str, list[list[list[int]]]]:
        """Documents and tokens of each block of each shard of each source."""
        found = {}
        for source in self.held.values():
            own: list[list[list[int]]] = [[] for _ in source.entry["shards"]]
            for shard, documents, tokens in source.blocks[["shard", "documents", "tokens"]].tolist():
                own[shard].append([documents, tokens])
            found[source.name] = own
        return found


def merge(paths: Sequence[Path], out: Path, *, workers: int = 1) -> dict[str, Any]:
    """Put stores together.

    Args:
        paths: Stores, in their order. Sources of one name become one.
        out: Folder of the new store.
        workers: Processes that pack.

    Returns:
        The counts of the new store, as `tokenize` has them.

    Raises:
        InputError: If a store is damaged or of format 1, two of them differ in what must be the same, they hold the
            same documents, or the new one cannot be written.
    """
    stores = [_open(path) for path in paths]
    _check_same(stores)
    _check_apart(stores)
    parts = _ordered(stores)
    sources = sorted((source for each in stores for source in each.sources), key=lambda source: source.held_out)
    command = Command(tuple(sources), _command_parts(stores, sources))
    first = stores[0].store.manifest
    settings = Settings(held_out=Fraction(first["held_out"]), sequence_lengths=_lengths(stores))

    def fill(partial: Path) -> Filled:
        if (partial / PARTS).exists():  # an unfinished store of the same command, whose files may be incomplete
            empty(partial)
        drafts = [draft for number, (given, part) in enumerate(parts) for draft in _link(given, part, number, partial)]
        for folder in (partial / "sources").iterdir():
            make_durable(folder)
        made = [replace(part, number=number) for number, (_, part) in enumerate(parts)]
        return Filled(together(names_of(sources, settings), drafts), made)

    tokenizer = _tokenizer(stores)
    adds = first["tokenizer"]["special_tokens_added"]
    return build(out.resolve(), command, tokenizer, settings, fill, adds_special=adds, workers=workers)


def _open(path: Path) -> _Given:
    store = Store(path)
    if store.manifest["version"] == 1 or not has_record(path):
        raise InputError(
            "a store of format 1, whose blocks are others",
            fixes="to make it again with `dist-epochs tokenize`",
            origin=Origin(str(path)),
        )
    verify_store(store)
    record = read_record(path)
    return _Given(path, store, record, read_parts(path, record["parts"]))


def _check_same(stores: Sequence[_Given]) -> None:
    """Refuse stores whose documents became tokens in different ways."""
    first = stores[0]
    for other in stores[1:]:
        for part, name in SAME.items():
            values = [each.command.get(part, "") for each in (first, other)]
            if values[0] != values[1]:
                shown = [value[:12] if part == "tokenizer" else value for value in values]
                raise InputError(
                    f"another {name} than {first.path}: {shown[1]} and not {shown[0]}",
                    rule="stores are put together whose documents became tokens in one way",
                    origin=Origin(str(other.path)),
                )
        files = [_companions(each) for each in (first, other)]
        if files[0] != files[1]:
            named = sorted({name for name, _ in files[0] ^ files[1]})
            raise InputError(
                f"another {named[0]} than {first.path}",
                rule="it names the tokenizer's special tokens, which must be the same",
                origin=Origin(str(other.path)),
            )


def _companions(given: _Given) -> set[tuple[str, bytes]]:
    """The files beside the tokenizer's; that one has a fingerprint."""
    folder = given.path / "tokenizer"
    return {(path.name, path.read_bytes()) for path in folder.iterdir() if path.name != "tokenizer.json"}


def _check_apart(stores: Sequence[_Given]) -> None:
    """Refuse stores that hold the same documents of the same file."""
    holds: dict[tuple[str, int, int, str], _Given] = {}
    for given in stores:
        for part in given.parts:
            for stretch in part.stretches:
                before = holds.setdefault(stretch, given)
                if before is not given:
                    raise InputError(
                        f"{stretch[0]} is in {before.path}, too, with the same documents",
                        consequence="they would be in the new store twice",
                        fixes="to leave one of these stores out",
                        origin=Origin(str(given.path)),
                    )


def _ordered(stores: Sequence[_Given]) -> list[tuple[_Given, StorePart]]:
    """All parts in the order of the new store: files that are kept for evaluation come last, as `tokenize` has them."""
    kept = [{source.name for source in given.sources if source.held_out} for given in stores]
    pairs = [(given, part, part.source in own) for given, own in zip(stores, kept, strict=True) for part in given.parts]
    return [(given, part) for given, part, _ in sorted(pairs, key=lambda each: each[2])]


def _command_parts(stores: Sequence[_Given], sources: Sequence[Source]) -> dict[str, str]:
    """What else than its input decides the new store: where stores differ in how they were read, all their ways."""
    names = dict.fromkeys(name for given in stores for name in given.command)
    found = {}
    for name in names:
        values = dict.fromkeys(given.command[name] for given in stores if name in given.command)
        found[name] = ", ".join(values)
    return found | {"source": shape_of(sources)}


def _lengths(stores: Sequence[_Given]) -> tuple[int, ...]:
    """The lengths that any store is packed at."""
    sources = (source for given in stores for source in given.held.values())
    return tuple(sorted({length for source in sources for length in source.packed_lengths()}))


def _tokenizer(stores: Sequence[_Given]) -> TextTokenizer:
    """The tokenizer of all, with where it is from if they agree on that."""
    origins = {
        (tokenizer.get("repository", ""), tokenizer.get("revision", ""))
        for tokenizer in (given.store.manifest["tokenizer"] for given in stores)
    }
    repository, revision = origins.pop() if len(origins) == 1 else ("", "")
    return TextTokenizer(stores[0].path / "tokenizer", repository=repository, revision=revision)


def _link(given: _Given, part: StorePart, number: int, partial: Path) -> list[Draft]:
    """Give the shards of a part their place in the new store; what they add to each source."""
    drafts = {name: Draft(name=name, held_out=False, **counts) for name, counts in part.counts.items()}
    for name, at in given.shards(part.number):
        source = given.held[name]
        shard = source.entry["shards"][at]
        own = f"{number:05d}-{shard['name'].partition('-')[2]}"
        folder = partial / "sources" / name
        folder.mkdir(parents=True, exist_ok=True)
        for what in ("lengths",) if "file" in shard else ("tokens", "lengths"):
            link_or_copy(source.shard(at, what), folder / f"{own}.{what}")
        drafts[name].shards.append({**shard, "name": own, "blocks": given.blocks[name][at]})
    return list(drafts.values())
