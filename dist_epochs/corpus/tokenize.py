"""Tokenizes sources once: exact counts, and a store that training reads.

The store is built in `STORE.partial` and renamed at the end. After a kill, the same command continues
after the last complete input file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dist_epochs.corpus.manifest import STORE_VERSION, content_fingerprint, sealed
from dist_epochs.corpus.packing import pack_block
from dist_epochs.corpus.readers.document import BadDocument
from dist_epochs.corpus.sources import HELD_OUT, Source, Unit
from dist_epochs.corpus.store import SourceStore, Store, pack_source
from dist_epochs.corpus.tokenizer import TextTokenizer
from dist_epochs.corpus.workplace import finish, recall, remember, workplace
from dist_epochs.corpus.writer import Draft, SourceWriter
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import write_json

__all__ = ["BLOCK_DOCUMENTS", "Settings", "describe", "pack", "tokenize"]

BLOCK_DOCUMENTS = 1000
"""Documents that are packed together: enough for only 0.1 % padding at length 512, and few enough to seek quickly."""

SHARD_TOKENS = 2**24
"""Tokens after which a shard is closed at the end of an input file."""

BATCH_DOCUMENTS = 1000
"""Documents that are encoded at once."""

Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How documents become tokens.

    Attributes:
        special_tokens: Whether the tokenizer's special tokens are added, once per document.
        held_out: Share of the documents that is kept for evaluation, chosen by their hash.
        on_error: Whether a document that cannot be read is an error, or is skipped and counted.
        sequence_lengths: Lengths to pack at.
    """

    special_tokens: bool = True
    held_out: Fraction = Fraction(0)
    on_error: Literal["stop", "skip"] = "stop"
    sequence_lengths: tuple[int, ...] = ()


def tokenize(
    sources: Sequence[Source],
    tokenizer: TextTokenizer,
    settings: Settings,
    *,
    out: Path | None = None,
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """Count sources and, with `out`, write the store.

    Args:
        sources: What to read.
        tokenizer: Turns text into ids.
        settings: How documents become tokens.
        out: Folder of the store; None only counts.
        progress: Called with the bytes of input that were read since the last call.

    Returns:
        The counts, as `dist-epochs tokenize --json` prints them.

    Raises:
        InputError: If something cannot be read, there is no document, or `out` is not empty. Nothing is written
            then.
    """
    if out is None:
        manifest, lengths = _count(sources, tokenizer, settings, None, progress)
        return describe(manifest, _samples_of(lengths, settings.sequence_lengths))
    out = out.resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            "not empty, and a store is written to a new folder",
            consequence="nothing in it was changed",
            fixes="another --out",
            origin=Origin(str(out)),
        )
    partial = out.with_name(out.name + ".partial")
    read = [asdict(source) | {"ignored": None} for source in sources]
    decisive = [read, tokenizer.fingerprint, str(settings), BLOCK_DOCUMENTS]
    with workplace(partial, hashlib.sha256(json.dumps(decisive).encode()).hexdigest()):
        manifest, _ = _count(sources, tokenizer, settings, partial, progress)
        tokenizer.save(partial / "tokenizer")
        write_json(partial / "manifest.json", manifest)
        pack(Store(partial), settings.sequence_lengths)
        finish(partial, out)
    return describe(*_counts_of(Store(out)))


def pack(store: Store, sequence_lengths: Sequence[int]) -> dict[str, Any]:
    """Pack a store at the lengths that it is not packed at yet; returns its counts."""
    for source in (*store.sources(), *store.sources(held_out=True)):
        for length in sequence_lengths:
            if length not in source.packed_lengths():
                pack_source(source, length, store.special_ids)
    return describe(*_counts_of(store))


def describe(manifest: dict[str, Any], samples: dict[str, dict[int, int]]) -> dict[str, Any]:
    """The counts of a corpus: totals over the sources to train on, then each source.

    Args:
        manifest: The store's manifest.
        samples: Samples per pass, by source and length.
    """
    training = [entry for entry in manifest["sources"] if not entry["held_out"]]
    fields = ("documents", "words", "bytes", "tokens", "empty_documents", "skipped_documents")
    totals = {name: sum(entry[name] for entry in training) for name in fields}
    by_length: dict[str, int] = {}
    for entry in training:
        for length, count in samples.get(entry["name"], {}).items():
            by_length[str(length)] = by_length.get(str(length), 0) + count
    held_out = [entry for entry in manifest["sources"] if entry["held_out"]]
    return {
        **totals,
        "tokens_per_word": totals["tokens"] / totals["words"] if totals["words"] else None,
        "samples": by_length,
        "sources": [
            {name: entry[name] for name in ("name", *fields)}
            | {"samples": {str(length): count for length, count in samples.get(entry["name"], {}).items()}}
            for entry in training
        ],
        "held_out": {name: sum(entry[name] for entry in held_out) for name in fields[:4]} if held_out else None,
        "fingerprint": manifest["fingerprint"],
    }


def _count(
    sources: Sequence[Source], tokenizer: TextTokenizer, settings: Settings, folder: Path | None, progress: Progress
) -> tuple[dict[str, Any], dict[str, list[list[int]]]]:
    """Read all sources; returns the manifest, and the document lengths of the shards of each source."""
    token_type = np.dtype("<u2" if tokenizer.vocabulary_size <= 2**16 else "<u4")
    finished, drafts = recall(folder) if folder is not None else (0, [])
    if not drafts:
        drafts = [Draft(name=s.name, held_out=False) for s in sources]
        drafts += [Draft(name=f"{s.name}{HELD_OUT}", held_out=True) for s in sources if settings.held_out]
    writers = {d.name: SourceWriter(d, folder and folder / "sources" / d.name, token_type) for d in drafts}
    units = [(source, unit) for source in sources for unit in source.units]
    try:
        for number, (source, unit) in enumerate(units):
            if number < finished:
                progress(unit.size)
                continue
            _read_unit(source, unit, tokenizer, settings, writers, progress)
            last_of_source = number + 1 == len(units) or units[number + 1][0] is not source
            if last_of_source or sum(writer.open_tokens for writer in writers.values()) >= SHARD_TOKENS:
                for writer in writers.values():
                    writer.close_shard()
                if folder is not None:
                    remember(folder, number + 1, drafts)
    finally:
        for writer in writers.values():
            writer.abandon()
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
    lengths = {name: writer.lengths for name, writer in writers.items()}
    return _manifest(drafts, tokenizer, settings, token_type), lengths


def _read_unit(
    source: Source,
    unit: Unit,
    tokenizer: TextTokenizer,
    settings: Settings,
    writers: dict[str, SourceWriter],
    progress: Progress,
) -> None:
    draft = writers[source.name].draft
    left = unit.size
    documents = _with_text(source.read(unit), draft, settings)
    while texts := list(islice(documents, BATCH_DOCUMENTS)):
        for text, ids in zip(texts, tokenizer.encode(texts, special_tokens=settings.special_tokens), strict=True):
            writers[_destination(source, text, settings)].add(ids, text)
        done = min(left, sum(map(len, texts)))
        left -= done
        progress(done)
    progress(left)


def _with_text(documents: Iterator[str | BadDocument], draft: Draft, settings: Settings) -> Iterator[str]:
    """The documents with text; empty ones are counted, unreadable ones are counted or an error."""
    for document in documents:
        if isinstance(document, BadDocument):
            if settings.on_error == "stop":
                raise BadDocument(
                    document.asked,
                    rule=document.rule,
                    consequence="nothing was written",
                    fixes=(*document.fixes, "`--on-error skip`, which counts such documents and continues"),
                    origin=document.origin,
                )
            draft.skipped_documents += 1
        elif not document.strip():
            draft.empty_documents += 1
        else:
            yield document


def _destination(source: Source, text: str, settings: Settings) -> str:
    if not settings.held_out:
        return source.name
    draw = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    return f"{source.name}{HELD_OUT}" if draw < settings.held_out * 2**64 else source.name


def _manifest(
    drafts: Sequence[Draft], tokenizer: TextTokenizer, settings: Settings, token_type: np.dtype[Any]
) -> dict[str, Any]:
    manifest = {
        "version": STORE_VERSION,
        "sources": [asdict(draft) for draft in drafts],
        "token_bytes": token_type.itemsize,
        "block_documents": BLOCK_DOCUMENTS,
        "held_out": str(settings.held_out),
        "tokenizer": {
            "fingerprint": tokenizer.fingerprint,
            "vocabulary_size": tokenizer.vocabulary_size,
            "special_ids": tokenizer.special_ids,
            "special_tokens_added": settings.special_tokens,
        },
    }
    return sealed({**manifest, "fingerprint": content_fingerprint(manifest)})


def _counts_of(store: Store) -> tuple[dict[str, Any], dict[str, dict[int, int]]]:
    sources: list[SourceStore] = [*store.sources(), *store.sources(held_out=True)]
    return store.manifest, {source.name: source.packed_lengths() for source in sources}


def _samples_of(lengths: dict[str, list[list[int]]], sequence_lengths: Sequence[int]) -> dict[str, dict[int, int]]:
    """Samples per pass from document lengths alone, in the blocks that the store would have."""
    return {
        name: {
            length: sum(
                len(pack_block(shard[start : start + BLOCK_DOCUMENTS], length))
                for shard in shards
                for start in range(0, len(shard), BLOCK_DOCUMENTS)
            )
            for length in sequence_lengths
        }
        for name, shards in lengths.items()
    }
