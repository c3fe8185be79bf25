"""Puts stores together to the one that a single `tokenize` of all their input, in that order, would have made.

Tokens and lengths get a second name in the new store, or are copied where the disk cannot do that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from dist_epochs.corpus.input.sources import Source
from dist_epochs.corpus.tokenizing.build import Filled, build
from dist_epochs.corpus.tokenizing.made_from import Command
from dist_epochs.corpus.tokenizing.manifest_of import together
from dist_epochs.corpus.tokenizing.part_record import PARTS
from dist_epochs.corpus.tokenizing.shards import Given, Whole, open_given, tokenizer_of_stores, wholes_of
from dist_epochs.corpus.tokenizing.store_parts import StorePart
from dist_epochs.corpus.tokenizing.tokenize import Settings, names_of, shape_of
from dist_epochs.corpus.tokenizing.workplace import empty
from dist_epochs.corpus.tokenizing.writer import Draft
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import link_or_copy, make_durable

__all__ = ["check_apart", "check_same", "check_ways", "merge"]

SAME = ("tokenizer", "--special-tokens", "--held-out")
"""Parts of a command that must be the same."""


def merge(paths: Sequence[Path], out: Path, *, workers: int = 1) -> dict[str, Any]:
    """Put stores together.

    Args:
        paths: Stores, in their order, and shards, of which all of a corpus are its store. Sources of one name become
            one.
        out: Folder of the new store.
        workers: Processes that pack.

    Returns:
        The counts of the new store, as `tokenize` has them.

    Raises:
        InputError: If a store is damaged or of format 1, a shard is missing or there twice, two stores differ in what
            must be the same or hold the same documents, or the new one cannot be written.
    """
    stores = [open_given(path) for path in paths]
    check_same(stores)
    wholes = wholes_of(stores)
    check_apart(wholes)
    parts = _ordered(wholes)
    sources = sorted((source for each in wholes for source in each.sources), key=lambda source: source.held_out)
    command = Command(tuple(sources), _command_parts(wholes, sources))
    packings = sorted({packing for given in stores for packing in given.packings})
    settings = Settings(held_out=Fraction(wholes[0].command["--held-out"]))

    def fill(partial: Path) -> Filled:
        if (partial / PARTS).exists():  # an unfinished store of the same command, whose files may be incomplete
            empty(partial)
        drafts = [draft for number, (given, part) in enumerate(parts) for draft in _link(given, part, number, partial)]
        for folder in (partial / "sources").glob("*"):
            make_durable(folder)
        made = [replace(part, number=number) for number, (_, part) in enumerate(parts)]
        return Filled(together(names_of(sources, settings), drafts), made)

    tokenizer = tokenizer_of_stores(stores)
    adds = wholes[0].command["--special-tokens"] == "True"
    return build(
        out.resolve(),
        command,
        tokenizer,
        fill,
        held_out=settings.held_out,
        packings=packings,
        adds_special=adds,
        workers=workers,
    )


def check_same(stores: Sequence[Given]) -> None:
    """Refuse stores whose documents became tokens in different ways."""
    first = stores[0]
    for other in stores[1:]:
        check_ways(first.path, first.record["command"], str(other.path), other.record["command"])
        files = [_companions(each) for each in (first, other)]
        if files[0] != files[1]:
            named = sorted({name for name, _ in files[0] ^ files[1]})
            raise InputError(
                f"another {named[0]} than {first.path}",
                rule="it names the tokenizer's special tokens, which must be the same",
                origin=Origin(str(other.path)),
            )


def check_ways(path: Path, command: Mapping[str, str], other: str, of_other: Mapping[str, str]) -> None:
    """Refuse another way of making tokens than that of the store at a path."""
    for name in SAME:
        values = [each[name] for each in (command, of_other)]
        if values[0] != values[1]:
            shown = [value[:12] if name == "tokenizer" else value for value in values]
            raise InputError(
                f"another {name} than {path}: {shown[1]} and not {shown[0]}",
                rule="stores are put together whose documents became tokens in one way",
                origin=Origin(other),
            )


def _companions(given: Given) -> set[tuple[str, bytes]]:
    """The files beside the tokenizer's; that one has a fingerprint."""
    folder = given.path / "tokenizer"
    return {(path.name, path.read_bytes()) for path in folder.iterdir() if path.name != "tokenizer.json"}


def check_apart(wholes: Sequence[Whole]) -> None:
    """Refuse stores that hold the same documents of the same file."""
    holds: dict[tuple[str, int, int, str], Whole] = {}
    for whole in wholes:
        for _, part in whole.parts:
            for stretch in part.stretches:
                before = holds.setdefault(stretch, whole)
                if before is not whole:
                    raise InputError(
                        f"{stretch[0]} is in {before.path}, too, with the same documents",
                        consequence="they would be in the new store twice",
                        fixes="to leave one of these stores out",
                        origin=Origin(str(whole.path)),
                    )


def _ordered(wholes: Sequence[Whole]) -> list[tuple[Given, StorePart]]:
    """All parts in the order of the new store: files that are kept for evaluation come last, as `tokenize` has them."""
    kept = [{source.name for source in whole.sources if source.held_out} for whole in wholes]
    pairs = [(*pair, pair[1].source in own) for whole, own in zip(wholes, kept, strict=True) for pair in whole.parts]
    return [(given, part) for given, part, _ in sorted(pairs, key=lambda each: each[2])]


def _command_parts(wholes: Sequence[Whole], sources: Sequence[Source]) -> dict[str, str]:
    """What else than its input decides the new store: where stores differ in how they were read, all their ways."""
    names = dict.fromkeys(name for whole in wholes for name in whole.command)
    found = {}
    for name in names:
        values = dict.fromkeys(whole.command[name] for whole in wholes if name in whole.command)
        found[name] = ", ".join(values)
    return found | {"source": shape_of(sources)}


def _link(given: Given, part: StorePart, number: int, partial: Path) -> list[Draft]:
    """Give the shards of a part their place in the new store; what they add to each source."""
    drafts = {name: Draft(name=name, held_out=False, **counts) for name, counts in part.counts.items()}
    for name, at in given.shards_of(part.number):
        source = given.sources[name]
        shard = source.entry["shards"][at]
        own = f"{number:05d}-{shard['name'].partition('-')[2]}"
        folder = partial / "sources" / name
        folder.mkdir(parents=True, exist_ok=True)
        for what in ("lengths",) if "file" in shard else ("tokens", "lengths"):
            link_or_copy(source.shard(at, what), folder / f"{own}.{what}")
        drafts[name].shards.append({**shard, "name": own, "blocks": given.blocks[name][at]})
    return list(drafts.values())
