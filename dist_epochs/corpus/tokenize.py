"""Tokenizes sources once, or takes their tokens as they are: exact counts, and a store that training reads.

The store is built in `STORE.partial` and renamed at the end. After a kill, a full disk or a document that cannot be
read, the same command continues after the last complete shard.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dist_epochs.arithmetic.packings import BEST_FIT
from dist_epochs.corpus import blocks as cutting
from dist_epochs.corpus.given_tokens import check_tokens
from dist_epochs.corpus.made_from import Command, differences, has_record, is_complete, remember
from dist_epochs.corpus.manifest_of import manifest_of, together
from dist_epochs.corpus.pack_source import pack_source
from dist_epochs.corpus.part_record import PARTS, recall
from dist_epochs.corpus.parts import Part, parts_of, scale_of
from dist_epochs.corpus.sources import Source
from dist_epochs.corpus.store import SourceStore, Store
from dist_epochs.corpus.strategies import count_packing
from dist_epochs.corpus.token_counts import count_tokens
from dist_epochs.corpus.tokenize_part import Job, Lengths, Outcome, Progress, Settings, destinations, tokenize_part
from dist_epochs.corpus.tokenizer import TextTokenizer
from dist_epochs.corpus.verify import verify_store
from dist_epochs.corpus.workers import in_order, threads_of_the_tokenizer
from dist_epochs.corpus.workplace import remove, workplace
from dist_epochs.corpus.writer import Draft
from dist_epochs.errors import InputError, Origin
from dist_epochs.plan.corpus_facts import PackingFacts
from dist_epochs.runtime.files import move, write_json

__all__ = ["Progress", "Settings", "describe", "pack", "tokenize"]

Packings = Mapping[tuple[int, str], PackingFacts]
"""What became of the documents of a source, by length and strategy."""


def _no_progress(read: int, documents: int = 0, tokens: int = 0) -> None:
    """Tell nobody."""


def tokenize(
    sources: Sequence[Source],
    tokenizer: TextTokenizer | None,
    settings: Settings,
    *,
    out: Path | None = None,
    workers: int = 1,
    progress: Progress = _no_progress,
) -> dict[str, Any]:
    """Count sources and, with `out`, write the store.

    Args:
        sources: What to read.
        tokenizer: Turns text into ids; of tokens, the one that they were made with, which only a store needs.
        settings: How documents become tokens.
        out: Folder of the store; None only counts.
        workers: Processes; the store does not depend on them.
        progress: Told of what was read.

    Returns:
        The counts, as `dist-epochs tokenize --json` prints them. If the same command has written the store before,
        from the same files, they are read from it, and `written_before` is true.

    Raises:
        InputError: If something cannot be read or written, there is no document, or `out` is not empty. What was
            complete is kept next to `out` then, for the same command to go on.
    """
    check_tokens(sources, tokenizer, out, refer=settings.refer, held_out=settings.held_out)
    command = _command(sources, tokenizer, settings)
    adds = settings.special_tokens and not sources[0].is_tokenized
    job = Job(tokenizer=tokenizer, settings=settings, folder=None, scale=scale_of(sources))
    if out is None and sources[0].is_tokenized:
        counted = count_tokens(sources)
        if settings.sequence_lengths:
            packed = _packings_of(_run(parts_of(sources), job, workers, progress), settings)
            training = [packed[source.name] for source in sources if not source.held_out]
            counted |= _with_packings(training, settings.packing)
        return counted
    assert tokenizer is not None
    if out is None:
        outcomes = _run(parts_of(sources), job, workers, progress)
        manifest = manifest_of(_drafts(sources, settings, outcomes), tokenizer, settings.held_out, adds)
        return describe(manifest, _packings_of(outcomes, settings), settings.packing)
    out = out.resolve()
    if (counts := _counts_before(out, command, settings, workers)) is not None:
        return counts
    partial = out.with_name(out.name + ".partial")
    job = Job(tokenizer=tokenizer, settings=settings, folder=partial, scale=scale_of(sources))
    with workplace(partial, command):
        if (counts := _counts_before(out, command, settings, workers)) is not None:  # another process was faster
            remove(partial)
            return counts
        if not is_complete(partial, command):
            drafts = _tokenized(parts_of(sources), job, sources, workers, progress)
            tokenizer.save(partial / "tokenizer")
            manifest = manifest_of(drafts, tokenizer, settings.held_out, adds, partial)
            write_json(partial / "manifest.json", manifest)
            remember(partial, command, complete=True)
        shutil.rmtree(partial / PARTS, ignore_errors=True)
        pack(Store(partial), settings.sequence_lengths, settings.packing, workers)
        move(partial, out)
    return _counts_of(Store(out), settings.packing)


def _command(sources: Sequence[Source], tokenizer: TextTokenizer | None, settings: Settings) -> Command:
    parts = {
        "source": str([(source.name, source.document, source.text_column) for source in sources]),
        "tokenizer": tokenizer.fingerprint if tokenizer else "",
        "--held-out": str(settings.held_out),
        "--special-tokens": str(settings.special_tokens and not sources[0].is_tokenized),
        "--on-error": settings.on_error,
    }
    if sources[0].is_tokenized:
        reading = sources[0].reading
        parts |= {"--eos": str(reading.eos), "--dtype": str(reading.dtype), "--refer": str(settings.refer)}
    return Command(tuple(sources), parts)


def _tokenized(
    parts: Sequence[Part], job: Job, sources: Sequence[Source], workers: int, progress: Progress
) -> list[Draft]:
    """Tokenize what is left; returns the sources."""
    assert job.folder is not None
    _discard_the_rest(job.folder, parts)
    for source in sources:
        for name in destinations(source, job.settings):
            (job.folder / "sources" / name).mkdir(parents=True, exist_ok=True)
    return _drafts(sources, job.settings, _run(parts, job, workers, progress))


def _run(parts: Sequence[Part], job: Job, workers: int, progress: Progress) -> list[Outcome]:
    """Tokenize all parts on several processes; a single one with as many threads."""
    with threads_of_the_tokenizer(workers if len(parts) == 1 else 1):
        return list(in_order(lambda part, tell: tokenize_part(part, job, tell), parts, workers, progress))


def _discard_the_rest(folder: Path, parts: Sequence[Part]) -> None:
    """Remove what programs that were stopped have left besides the complete shards."""
    complete: dict[str, set[str]] = {}
    for part in parts:
        for draft in recall(folder, part).drafts:
            complete.setdefault(draft.name, set()).update(shard["name"] for shard in draft.shards)
    for source in (folder / "sources").glob("*"):
        for path in source.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.stem not in complete.get(source.name, ()):
                path.unlink()


def _drafts(sources: Sequence[Source], settings: Settings, outcomes: Sequence[Outcome]) -> list[Draft]:
    """The sources of the store: the held-out ones last.

    Raises:
        InputError: If one has no document.
    """
    given = [(source.name, source.held_out) for source in sources]
    more = [own for source in sources for own in destinations(source, settings).items() if own not in given]
    drafts = together([*given, *more], (draft for outcome in outcomes for draft in outcome.drafts))
    _check_not_empty(drafts)
    return drafts


def pack(store: Store, sequence_lengths: Sequence[int], packing: str = BEST_FIT, workers: int = 1) -> dict[str, Any]:
    """Pack a store at the lengths that it is not packed at yet; returns its counts."""
    for source in (*store.sources(), *store.sources(held_out=True)):
        for length in sequence_lengths:
            if (length, packing) not in source.packings():
                pack_source(source, length, store.special_ids, packing, workers)
    return _counts_of(store, packing)


def _counts_before(out: Path, command: Command, settings: Settings, workers: int) -> dict[str, Any] | None:
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
            fixes="another --out",
            origin=Origin(str(out)),
        )
    store = Store(out)
    asked = {(length, settings.packing) for length in settings.sequence_lengths}
    if not all(asked <= set(source.packings()) for source in store.sources()):
        verify_store(store)
    return pack(store, settings.sequence_lengths, settings.packing, workers) | {"written_before": True}


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
        **_with_packings([packed.get(entry["name"], {}) for entry in training], packing),
        "sources": [
            _with_text({name: entry[name] for name in ("name", *fields)})
            | {"samples": _samples(packed.get(entry["name"], {}), packing)}
            for entry in training
        ],
        "held_out": {name: sum(entry[name] for entry in held_out) for name in fields[:4]} if held_out else None,
        "fingerprint": manifest["fingerprint"],
        "written_before": False,
    }


def _with_packings(sources: Iterable[Packings], packing: str) -> dict[str, Any]:
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


def _check_not_empty(drafts: Sequence[Draft]) -> None:
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


def _counts_of(store: Store, packing: str) -> dict[str, Any]:
    sources: list[SourceStore] = [*store.sources(), *store.sources(held_out=True)]
    packed = {source.name: {each: source.packing_facts(*each) for each in source.packings()} for source in sources}
    return describe(store.manifest, packed, packing)


def _packings_of(outcomes: Sequence[Outcome], settings: Settings) -> dict[str, Packings]:
    """What becomes of the documents of each source, from their lengths alone, as the store would have it."""
    packing = settings.packing
    shards: dict[str, list[Lengths]] = {}
    for outcome in outcomes:
        for name, lengths in outcome.lengths.items():
            shards.setdefault(name, []).extend(lengths)
    return {
        name: {
            (length, packing): count_packing(
                packing, (each.astype(np.int64) for each in of_source), length, cutting.BLOCK_TOKENS
            ).facts()
            for length in settings.sequence_lengths
        }
        for name, of_source in shards.items()
    }
