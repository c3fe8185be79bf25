"""Builds a store beside its place and gives it its name when it is complete; and the counts of a store."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from dist_epochs.arithmetic.packings import BEST_FIT
from dist_epochs.corpus.packing.pack_source import pack_source
from dist_epochs.corpus.stores.store import SourceStore, Store
from dist_epochs.corpus.stores.verify import verify_store
from dist_epochs.corpus.tokenizing.made_from import Command, differences, has_record, is_complete, remember
from dist_epochs.corpus.tokenizing.manifest_of import manifest_of
from dist_epochs.corpus.tokenizing.part_record import PARTS
from dist_epochs.corpus.tokenizing.store_parts import StorePart
from dist_epochs.corpus.tokenizing.tokenizer import TextTokenizer
from dist_epochs.corpus.tokenizing.workplace import remove, workplace
from dist_epochs.corpus.tokenizing.writer import Draft
from dist_epochs.errors import InputError, Origin
from dist_epochs.plan.corpus_facts import PackingFacts
from dist_epochs.runtime.bar import bar
from dist_epochs.runtime.files import move, write_json

__all__ = ["SHARD", "Filled", "Packings", "build", "check_not_empty", "counts_in", "describe", "pack", "with_packings"]

Packings = Mapping[tuple[int, str], PackingFacts]
"""What became of the documents of a source, by length and strategy."""

SHARD = "--shard"
"""The part of a command that says which share of the input it reads."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a new store holds.

    Attributes:
        drafts: Its sources.
        parts: What these were made from.
    """

    drafts: Sequence[Draft]
    parts: Sequence[StorePart]


def build(
    out: Path,
    command: Command,
    tokenizer: TextTokenizer,
    fill: Callable[[Path], Filled],
    *,
    held_out: Fraction,
    packings: Sequence[tuple[int, str]],
    adds_special: bool,
    workers: int,
) -> dict[str, Any]:
    """Build a store beside its place, and give it its name when it is complete.

    Args:
        out: Its place.
        command: What decides it.
        tokenizer: The tokenizer of its ids.
        fill: Writes its shards to the folder that it is given, or what is left of them after a kill.
        held_out: Share of the documents that was held out.
        packings: Lengths and strategies to pack at.
        adds_special: Whether special tokens were added.
        workers: Processes that pack.

    Returns:
        Its counts. If the same command has written it before, `written_before` is true.

    Raises:
        InputError: If something cannot be written, there is no document, or `out` is not empty.
    """
    if (counts := _counts_before(out, command, packings, workers)) is not None:
        return counts
    partial = out.with_name(out.name + ".partial")
    with workplace(partial, command):
        if (counts := _counts_before(out, command, packings, workers)) is not None:  # another process was faster
            remove(partial)
            return counts
        if not is_complete(partial, command):
            filled = fill(partial)
            drafts = filled.drafts
            if SHARD in command.parts:
                drafts = [draft for draft in drafts if draft.documents]
            else:
                check_not_empty(drafts)
            tokenizer.save(partial / "tokenizer")
            if drafts:
                manifest = manifest_of(drafts, tokenizer, held_out, adds_special, partial)
                write_json(partial / "manifest.json", manifest)
            remember(partial, command, filled.parts)
        shutil.rmtree(partial / PARTS, ignore_errors=True)
        if (partial / "manifest.json").exists():
            _pack(Store(partial), packings, workers)
        move(partial, out)
    return counts_in(out, _shown(packings))


def _shown(packings: Sequence[tuple[int, str]]) -> str:
    """The strategy whose samples are shown first."""
    names = [packing for _, packing in packings]
    return BEST_FIT if BEST_FIT in names or not names else names[0]


def _counts_before(
    out: Path, command: Command, packings: Sequence[tuple[int, str]], workers: int
) -> dict[str, Any] | None:
    """The counts of the store that the same command has written before; None if nothing is at its place.

    Raises:
        InputError: If something else is there.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    has_store = has_record(out)
    different = differences(out, command) if has_store else ""
    if different or not has_store or not is_complete(out, command):
        raise InputError(
            "not empty, and a store is written to a new folder",
            rule=f"it holds the store of another command ({different or 'fewer input files'})" if has_store else "",
            consequence="nothing in it was changed",
            fixes=("another --out", "--append, which adds other input files") if has_store else "another --out",
            origin=Origin(str(out)),
        )
    if not (out / "manifest.json").exists():
        return counts_in(out) | {"written_before": True}
    store = Store(out)
    if not all(set(packings) <= set(source.packings()) for source in store.sources()):
        verify_store(store)
        _pack(store, packings, workers)
    return counts_in(out, _shown(packings)) | {"written_before": True}


def pack(store: Store, sequence_lengths: Sequence[int], packing: str = BEST_FIT, workers: int = 1) -> dict[str, Any]:
    """Pack a store at the lengths that it is not packed at yet; returns its counts."""
    _pack(store, [(length, packing) for length in sequence_lengths], workers)
    return _counts_of(store, packing)


def _pack(store: Store, packings: Sequence[tuple[int, str]], workers: int) -> None:
    missing = [
        (source, *each)
        for source in (*store.sources(), *store.sources(held_out=True))
        for each in packings
        if each not in source.packings()
    ]
    with bar("pack", sum(source.entry["tokens"] for source, _, _ in missing), "token") as shown:
        for source, length, packing in missing:
            pack_source(source, length, store.special_ids, packing, workers, shown.update)


def check_not_empty(drafts: Sequence[Draft]) -> None:
    """Refuse sources without a document.

    Raises:
        InputError: With the first.
    """
    for draft in drafts:
        if not draft.documents:
            what = "held-out documents" if draft.held_out else "documents"
            raise InputError(
                f"source {draft.name!r} has no {what} with text",
                rule=f"{draft.empty_documents} are empty and {draft.skipped_documents} were skipped",
                consequence="there is nothing to train on",
                fixes=("a larger --held-out", "no --held-out")
                if draft.held_out
                else ("another path", "another --document"),
            )


def counts_in(folder: Path, packing: str = BEST_FIT) -> dict[str, Any]:
    """The counts of a complete store, or of a share without documents."""
    if (folder / "manifest.json").exists():
        return _counts_of(Store(folder), packing)
    return describe({"sources": [], "fingerprint": None}, {})


def _counts_of(store: Store, packing: str) -> dict[str, Any]:
    sources: list[SourceStore] = [*store.sources(), *store.sources(held_out=True)]
    packed = {source.name: {each: source.packing_facts(*each) for each in source.packings()} for source in sources}
    return describe(store.manifest, packed, packing)


def describe(manifest: dict[str, Any], packed: Mapping[str, Packings], packing: str = BEST_FIT) -> dict[str, Any]:
    """The counts of a corpus: totals over the sources to train on, then each source.

    Args:
        manifest: The store's manifest.
        packed: What becomes of the documents of each source, by length and strategy.
        packing: The strategy whose samples stand under `samples`.

    Returns:
        With `written_before` false: `tokenize` says where it wrote nothing.
    """
    training = [entry for entry in manifest["sources"] if not entry["held_out"]]
    fields = ("documents", "words", "bytes", "tokens", "empty_documents", "skipped_documents")
    totals = {name: sum(entry[name] for entry in training) for name in fields}
    held_out = [entry for entry in manifest["sources"] if entry["held_out"]]
    return {
        **_with_text(totals),
        "tokens_per_word": totals["tokens"] / totals["words"] if totals["words"] else None,
        **with_packings([packed.get(entry["name"], {}) for entry in training], packing),
        "sources": [
            _with_text({name: entry[name] for name in ("name", *fields)})
            | {"samples": _samples(packed.get(entry["name"], {}), packing)}
            for entry in training
        ],
        "held_out": {name: sum(entry[name] for entry in held_out) for name in fields[:4]} if held_out else None,
        "fingerprint": manifest["fingerprint"],
        "written_before": False,
    }


def with_packings(sources: Iterable[Packings], packing: str) -> dict[str, Any]:
    """Samples of all sources by length, and for each length and strategy padding, cuts and losses."""
    found: dict[tuple[int, str], PackingFacts] = {}
    for each in sources:
        for place, facts in each.items():
            found[place] = found[place] + facts if place in found else facts
    rows = [facts.to_json(name, length) for (length, name), facts in found.items()]
    return {"samples": _samples(found, packing), "packings": rows}


def _samples(packed: Packings, packing: str) -> dict[str, int]:
    return {str(length): facts.samples for (length, name), facts in packed.items() if name == packing}


def _with_text(counts: dict[str, Any]) -> dict[str, Any]:
    """Counts whose words and bytes are null where only tokens are known, as every text with documents has words."""
    return counts if counts["words"] else counts | {"words": None, "bytes": None}
