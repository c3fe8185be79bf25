"""Tokenizes sources once, or takes their tokens as they are: exact counts, and a store that training reads.

The store is built in `STORE.partial` and renamed at the end. After a kill, a full disk or a document that cannot be
read, the same command continues after the last complete shard.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dist_epochs.corpus.input.given_tokens import check_tokens
from dist_epochs.corpus.input.sources import Source
from dist_epochs.corpus.input.token_counts import count_tokens
from dist_epochs.corpus.packing.strategies import count_packing
from dist_epochs.corpus.stores import blocks as cutting
from dist_epochs.corpus.tokenizing.build import SHARD, Filled, Packings, build, check_not_empty, describe, with_packings
from dist_epochs.corpus.tokenizing.made_from import Command
from dist_epochs.corpus.tokenizing.manifest_of import manifest_of, together
from dist_epochs.corpus.tokenizing.part_record import recall
from dist_epochs.corpus.tokenizing.parts import Part, Share, parts_of
from dist_epochs.corpus.tokenizing.store_parts import StorePart
from dist_epochs.corpus.tokenizing.tokenize_part import (
    Job,
    Lengths,
    Outcome,
    Progress,
    Settings,
    destinations,
    tokenize_part,
)
from dist_epochs.corpus.tokenizing.tokenizer import TextTokenizer
from dist_epochs.corpus.tokenizing.workers import in_order, threads_of_the_tokenizer
from dist_epochs.corpus.tokenizing.writer import Draft

__all__ = ["Progress", "Settings", "command_of", "names_of", "shape_of", "tokenize"]


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
            packed = _packings_of(_run(parts_of(sources), job, workers, progress), settings)
            training = [packed[source.name] for source in sources if not source.held_out]
            counted |= with_packings(training, settings.packing)
        return counted
    assert tokenizer is not None
    if out is None:
        outcomes = _run(parts_of(sources), job, workers, progress)
        drafts = _drafts(sources, settings, outcomes)
        check_not_empty(drafts)
        manifest = manifest_of(drafts, tokenizer, settings.held_out, adds)
        return describe(manifest, _packings_of(outcomes, settings), settings.packing)

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
    packings = [(length, settings.packing) for length in settings.sequence_lengths]
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
