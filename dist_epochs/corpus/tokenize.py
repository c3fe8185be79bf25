"""Tokenizes sources once, or takes their tokens as they are: exact counts, and a store that training reads.

The store is built in `STORE.partial` and renamed at the end. After a kill, a full disk or a document that cannot be
read, the same command continues after the last complete shard.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dist_epochs.corpus.given_tokens import check_tokens
from dist_epochs.corpus.made_from import Command, differences, has_record, is_complete, remember
from dist_epochs.corpus.manifest_of import manifest_of, together
from dist_epochs.corpus.pack_source import pack_source
from dist_epochs.corpus.part_record import PARTS, recall
from dist_epochs.corpus.parts import Part, Share, parts_of
from dist_epochs.corpus.sources import Source
from dist_epochs.corpus.store import SourceStore, Store
from dist_epochs.corpus.store_parts import StorePart
from dist_epochs.corpus.token_counts import count_tokens
from dist_epochs.corpus.tokenize_part import Job, Outcome, Progress, Settings, destinations, tokenize_part
from dist_epochs.corpus.tokenizer import TextTokenizer
from dist_epochs.corpus.verify import verify_store
from dist_epochs.corpus.workers import in_order, threads_of_the_tokenizer
from dist_epochs.corpus.workplace import remove, workplace
from dist_epochs.corpus.writer import Draft
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import move, write_json

__all__ = ["SHARD", "Filled", "Progress", "Settings", "build", "describe", "names_of", "pack", "shape_of", "tokenize"]

SHARD = "--shard"
"""The part of a command that says which share of the input it reads."""


def _no_progress(read: int, documents: int = 0, tokens: int = 0) -> None:
    """Tell nobody."""


def tokenize(
    sources: Sequence[Source],
    tokenizer: TextTokenizer | None,
    settings: Settings,
    *,
    out: Path | None = None,
    share: Share | None = None,
    workers: int = 1,
    progress: Progress = _no_progress,
) -> dict[str, Any]:
    """Count sources and, with `out`, write the store.

    Args:
        sources: What to read.
        tokenizer: Turns text into ids; of tokens, the one that they were made with, which only a store needs.
        settings: How documents become tokens.
        out: Folder of the store; None only counts.
        share: Which parts are read, for a store that is put together with those of the other shares (see `merge`);
            it may have no documents, and no manifest then.
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
    adds = settings.special_tokens and not sources[0].is_tokenized
    job = Job(tokenizer=tokenizer, settings=settings, folder=None)
    if out is None and sources[0].is_tokenized:
        counted = count_tokens(sources)
        if settings.sequence_lengths:
            samples = _samples(_run(parts_of(sources), job, workers, progress))
            counted["samples"] = _by_length(samples[source.name] for source in sources if not source.held_out)
        return counted
    assert tokenizer is not None
    if out is None:
        outcomes = _run(parts_of(sources), job, workers, progress)
        drafts = _drafts(sources, settings, outcomes)
        check_not_empty(drafts)
        return describe(manifest_of(drafts, tokenizer, settings.held_out, adds), _samples(outcomes))

    def fill(partial: Path) -> Filled:
        parts = [part for part in parts_of(sources) if share is None or share.has(part.number)]
        job = Job(tokenizer=tokenizer, settings=settings, folder=partial)
        outcomes = _tokenized(parts, job, sources, workers, progress)
        made = [
            StorePart(part.number, part.source.name, part.units, each.digests, {d.name: d.counts for d in each.drafts})
            for part, each in zip(parts, outcomes, strict=True)
        ]
        return Filled(_drafts(sources, settings, outcomes), made)

    command = command_of(sources, tokenizer, settings, share)
    return build(out.resolve(), command, tokenizer, settings, fill, adds_special=adds, workers=workers)


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
    settings: Settings,
    fill: Callable[[Path], Filled],
    *,
    adds_special: bool,
    workers: int,
) -> dict[str, Any]:
    """Build a store beside its place, and give it its name when it is complete.

    Args:
        out: Its place.
        command: What decides it.
        tokenizer: The tokenizer of its ids.
        settings: Share that was held out, and the lengths to pack at.
        fill: Writes its shards to the folder that it is given, or what is left of them after a kill.
        adds_special: Whether special tokens were added.
        workers: Processes that pack.

    Returns:
        Its counts. If the same command has written it before, `written_before` is true.

    Raises:
        InputError: If something cannot be written, there is no document, or `out` is not empty.
    """
    if (counts := _counts_before(out, command, settings, workers)) is not None:
        return counts
    partial = out.with_name(out.name + ".partial")
    with workplace(partial, command):
        if (counts := _counts_before(out, command, settings, workers)) is not None:  # another process was faster
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
                manifest = manifest_of(drafts, tokenizer, settings.held_out, adds_special, partial)
                write_json(partial / "manifest.json", manifest)
            remember(partial, command, filled.parts)
        shutil.rmtree(partial / PARTS, ignore_errors=True)
        if (partial / "manifest.json").exists():
            pack(Store(partial), settings.sequence_lengths, workers)
        move(partial, out)
    return _counts_in(out)


def shape_of(sources: Sequence[Source]) -> str:
    """How sources are called and read, as a part of a command."""
    return str([(source.name, source.document, source.text_column) for source in sources])


def command_of(
    sources: Sequence[Source], tokenizer: TextTokenizer | None, settings: Settings, share: Share | None = None
) -> Command:
    """What decides a store."""
    parts = {
        "source": shape_of(sources),
        "tokenizer": tokenizer.fingerprint if tokenizer else "",
        "--held-out": str(settings.held_out),
        "--special-tokens": str(settings.special_tokens and not sources[0].is_tokenized),
        "--on-error": settings.on_error,
    }
    if sources[0].is_tokenized:
        reading = sources[0].reading
        parts |= {"--eos": str(reading.eos), "--dtype": str(reading.dtype), "--refer": str(settings.refer)}
    if share is not None:
        parts[SHARD] = str(share)
    return Command(tuple(sources), parts)


def _tokenized(
    parts: Sequence[Part], job: Job, sources: Sequence[Source], workers: int, progress: Progress
) -> list[Outcome]:
    """Tokenize what is left; what came of each part."""
    assert job.folder is not None
    _discard_the_rest(job.folder, parts)
    for source in sources:
        for name in destinations(source, job.settings):
            (job.folder / "sources" / name).mkdir(parents=True, exist_ok=True)
    return _run(parts, job, workers, progress)


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
    """The sources of the store."""
    return together(names_of(sources, settings), (draft for outcome in outcomes for draft in outcome.drafts))


def names_of(sources: Sequence[Source], settings: Settings) -> list[tuple[str, bool]]:
    """The sources of a store in their order, and whether they are held out."""
    given = [(source.name, source.held_out) for source in sources]
    return [*given, *(own for source in sources for own in destinations(source, settings).items() if own not in given)]


def _samples(outcomes: Sequence[Outcome]) -> dict[str, dict[int, int]]:
    """Samples by source and length, where they were only counted."""
    found: dict[str, dict[int, int]] = {}
    for outcome in outcomes:
        for name, by_length in outcome.samples.items():
            own = found.setdefault(name, {})
            for length, samples in by_length.items():
                own[length] = own.get(length, 0) + samples
    return found


def pack(store: Store, sequence_lengths: Sequence[int], workers: int = 1) -> dict[str, Any]:
    """Pack a store at the lengths that it is not packed at yet; returns its counts."""
    for source in (*store.sources(), *store.sources(held_out=True)):
        for length in sequence_lengths:
            if length not in source.packed_lengths():
                pack_source(source, length, store.special_ids, workers)
    return describe(*_counts_of(store))


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
    if not (out / "manifest.json").exists():
        return _counts_in(out) | {"written_before": True}
    store = Store(out)
    if not all(set(settings.sequence_lengths) <= source.packed_lengths().keys() for source in store.sources()):
        verify_store(store)
    return pack(store, settings.sequence_lengths, workers) | {"written_before": True}


def describe(manifest: dict[str, Any], samples: dict[str, dict[int, int]]) -> dict[str, Any]:
    """The counts of a corpus: totals over the sources to train on, then each source.

    Args:
        manifest: The store's manifest.
        samples: Samples per pass, by source and length.

    Returns:
        With `written_before` false: `tokenize` says where it wrote nothing.
    """
    training = [entry for entry in manifest["sources"] if not entry["held_out"]]
    fields = ("documents", "words", "bytes", "tokens", "empty_documents", "skipped_documents")
    totals = {name: sum(entry[name] for entry in training) for name in fields}
    by_length = _by_length(samples.get(entry["name"], {}) for entry in training)
    held_out = [entry for entry in manifest["sources"] if entry["held_out"]]
    return {
        **_with_text(totals),
        "tokens_per_word": totals["tokens"] / totals["words"] if totals["words"] else None,
        "samples": by_length,
        "sources": [
            _with_text({name: entry[name] for name in ("name", *fields)})
            | {"samples": {str(length): count for length, count in samples.get(entry["name"], {}).items()}}
            for entry in training
        ],
        "held_out": {name: sum(entry[name] for entry in held_out) for name in fields[:4]} if held_out else None,
        "fingerprint": manifest["fingerprint"],
        "written_before": False,
    }


def _by_length(samples: Iterable[Mapping[int, int]]) -> dict[str, int]:
    """Samples of all sources by length."""
    found: dict[str, int] = {}
    for each in samples:
        for length, count in each.items():
            found[str(length)] = found.get(str(length), 0) + count
    return found


def _with_text(counts: dict[str, Any]) -> dict[str, Any]:
    """Counts whose words and bytes are null where only tokens are known, as every text with documents has words."""
    return counts if counts["words"] else counts | {"words": None, "bytes": None}


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


def _counts_in(folder: Path) -> dict[str, Any]:
    """The counts of a complete store, or of a share without documents."""
    if (folder / "manifest.json").exists():
        return describe(*_counts_of(Store(folder)))
    return describe({"sources": [], "fingerprint": None}, {})


def _counts_of(store: Store) -> tuple[dict[str, Any], dict[str, dict[int, int]]]:
    sources: list[SourceStore] = [*store.sources(), *store.sources(held_out=True)]
    return store.manifest, {source.name: source.packed_lengths() for source in sources}
