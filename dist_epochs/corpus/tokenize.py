"""Tokenizes sources once, or takes their tokens as they are: exact counts, and a store that training reads.

The store is built in `STORE.partial` and renamed at the end. After a kill, a full disk or a document that cannot be
read, the same command continues after the last complete shard.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dist_epochs.arithmetic.packings import BEST_FIT
from dist_epochs.corpus import blocks as cutting
from dist_epochs.corpus.documents import Document, Documents, content_of
from dist_epochs.corpus.given_tokens import check_ids, check_tokens
from dist_epochs.corpus.made_from import (
    Command,
    Reached,
    differences,
    has_record,
    is_complete,
    recall,
    remember,
)  # fmt: skip
from dist_epochs.corpus.manifest import STORE_VERSION, content_fingerprint, sealed
from dist_epochs.corpus.pack_source import pack_source
from dist_epochs.corpus.sources import HELD_OUT, Source, Unit
from dist_epochs.corpus.store import SourceStore, Store
from dist_epochs.corpus.strategies import count_packing
from dist_epochs.corpus.token_counts import count_tokens
from dist_epochs.corpus.token_formats import FORMATS
from dist_epochs.corpus.tokenizer import TextTokenizer
from dist_epochs.corpus.verify import verify_store
from dist_epochs.corpus.workplace import remove, workplace
from dist_epochs.corpus.writer import Draft, SourceWriter
from dist_epochs.errors import InputError, Origin
from dist_epochs.plan.corpus_facts import PackingFacts
from dist_epochs.runtime.files import move, write_bytes, write_json

__all__ = ["Settings", "describe", "pack", "tokenize"]

SHARD_TOKENS = 2**24
"""Tokens after which a shard is closed, at the end of a batch."""

BATCH_DOCUMENTS = 1000
"""Documents that are encoded at once."""

BATCH_CHARACTERS = 2**24
"""Characters after which no document is added to a batch."""

Progress = Callable[[int], None]
Lengths = NDArray[np.int64]
Packings = Mapping[tuple[int, str], PackingFacts]
"""What became of the documents of a source, by length and strategy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How documents become tokens.

    Attributes:
        special_tokens: Whether the tokenizer's special tokens are added, once per document.
        held_out: Share of the documents that is kept for evaluation, chosen by their hash.
        on_error: Whether a document that cannot be read is an error, or is skipped and counted.
        sequence_lengths: Lengths to pack at.
        packing: How documents become samples, one of `PACKINGS`.
        refer: Whether tokens of another tool stay in their files, to which the store refers, instead of being copied.
    """

    special_tokens: bool = True
    held_out: Fraction = Fraction(0)
    on_error: Literal["stop", "skip"] = "stop"
    sequence_lengths: tuple[int, ...] = ()
    packing: str = BEST_FIT
    refer: bool = False


def tokenize(
    sources: Sequence[Source],
    tokenizer: TextTokenizer | None,
    settings: Settings,
    *,
    out: Path | None = None,
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """Count sources and, with `out`, write the store.

    Args:
        sources: What to read.
        tokenizer: Turns text into ids; of tokens, the one that they were made with, which only a store needs.
        settings: How documents become tokens.
        out: Folder of the store; None only counts.
        progress: Called with the bytes of input that were read since the last call.

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
    if out is None and sources[0].is_tokenized:
        counted = count_tokens(sources)
        if settings.sequence_lengths:
            _, lengths = _count(tokenizer, settings, command, None, progress)
            packed = _packings_of(lengths, settings)
            training = [packed[source.name] for source in sources if not source.held_out]
            counted |= _with_packings(training, settings.packing)
        return counted
    assert tokenizer is not None
    if out is None:
        drafts, lengths = _count(tokenizer, settings, command, None, progress)
        manifest = _manifest(drafts, tokenizer, settings, adds)
        return describe(manifest, _packings_of(lengths, settings), settings.packing)
    out = out.resolve()
    if (counts := _counts_before(out, command, settings)) is not None:
        return counts
    partial = out.with_name(out.name + ".partial")
    with workplace(partial, command):
        if (counts := _counts_before(out, command, settings)) is not None:  # another process was faster
            remove(partial)
            return counts
        drafts, _ = _count(tokenizer, settings, command, partial, progress)
        tokenizer.save(partial / "tokenizer")
        write_json(partial / "manifest.json", _manifest(drafts, tokenizer, settings, adds, partial))
        pack(Store(partial), settings.sequence_lengths, settings.packing)
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


def pack(store: Store, sequence_lengths: Sequence[int], packing: str = BEST_FIT) -> dict[str, Any]:
    """Pack a store at the lengths that it is not packed at yet; returns its counts."""
    for source in (*store.sources(), *store.sources(held_out=True)):
        for length in sequence_lengths:
            if (length, packing) not in source.packings():
                pack_source(source, length, store.special_ids, packing)
    return _counts_of(store, packing)


def _counts_before(out: Path, command: Command, settings: Settings) -> dict[str, Any] | None:
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
    return pack(store, settings.sequence_lengths, settings.packing) | {"written_before": True}


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


def _count(
    tokenizer: TextTokenizer | None, settings: Settings, command: Command, folder: Path | None, progress: Progress
) -> tuple[Sequence[Draft], dict[str, list[Lengths]]]:
    """Read all sources; returns their counts, and the document lengths of the shards of each source."""
    token_type = _token_type(tokenizer)
    reached = recall(folder) if folder is not None else Reached()
    drafts = list(reached.drafts) or _empty_drafts(command, settings)
    writers = {d.name: SourceWriter(d, folder and folder / "sources" / d.name, token_type) for d in drafts}
    units = command.units

    def close_shards(files: int, documents: int = 0, texts: str = "") -> None:
        for writer in writers.values():
            writer.close_shard()
        if folder is not None:
            remember(folder, command, Reached(files, documents, texts, drafts))

    try:
        if reached.files < len(units):
            for writer in writers.values():
                writer.discard_the_rest()
        for number, (source, unit) in enumerate(units):
            if number < reached.files:
                progress(unit.size)
                continue
            if settings.refer:
                writers[source.name].flat = FORMATS[unit.kind].flat(Path(unit.name), source.reading)
            documents = Documents(source.read(unit), writers[source.name].draft, settings.on_error)
            if number == reached.files:
                documents.skip(reached.documents, reached.texts, unit.name)
            for texts in _batches(documents, unit, progress):
                _write(source, unit, texts, tokenizer, settings, writers)
                if sum(writer.open_tokens for writer in writers.values()) >= SHARD_TOKENS:
                    close_shards(number, documents.given, documents.texts)
            if number + 1 == len(units) or units[number + 1][0] is not source:
                own = {source.name, *([f"{source.name}{HELD_OUT}"] if settings.held_out else ())}
                _check_not_empty([draft for draft in drafts if draft.name in own])
                close_shards(number + 1)
            elif settings.refer:  # a shard is in one file
                close_shards(number + 1)
    finally:
        for writer in writers.values():
            writer.abandon()
    lengths = {name: writer.lengths for name, writer in writers.items()}
    return drafts, lengths


def _token_type(tokenizer: TextTokenizer | None) -> np.dtype[Any]:
    """The smallest type that holds every id; without a tokenizer nothing is written."""
    return np.dtype("<u2" if tokenizer is not None and tokenizer.vocabulary_size <= 2**16 else "<u4")


def _write(
    source: Source,
    unit: Unit,
    documents: Sequence[Document],
    tokenizer: TextTokenizer | None,
    settings: Settings,
    writers: Mapping[str, SourceWriter],
) -> None:
    texts = [document for document in documents if isinstance(document, str)]
    encoded = iter(tokenizer.encode(texts, special_tokens=settings.special_tokens) if texts and tokenizer else ())
    if tokenizer is not None and len(texts) < len(documents):
        check_ids([ids for ids in documents if not isinstance(ids, str)], tokenizer, unit)
    for document in documents:
        writer = writers[_destination(source, document, settings)]
        if isinstance(document, str):
            writer.add(next(encoded), document)
        else:
            writer.add(document)


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


def _empty_drafts(command: Command, settings: Settings) -> list[Draft]:
    drafts = [Draft(name=source.name, held_out=source.held_out) for source in command.sources]
    names = [draft.name for draft in drafts if not draft.held_out] if settings.held_out else []
    given = {draft.name for draft in drafts}
    return drafts + [Draft(name=name, held_out=True) for each in names if (name := f"{each}{HELD_OUT}") not in given]


def _batches(documents: Iterable[Document], unit: Unit, progress: Progress) -> Iterator[list[Document]]:
    """The documents that are encoded at once."""
    left = unit.size
    texts: list[Document] = []
    characters = read = 0
    for text in documents:
        texts.append(text)
        characters += len(text)
        read += len(text) if isinstance(text, str) else text.nbytes
        if len(texts) == BATCH_DOCUMENTS or characters >= BATCH_CHARACTERS:
            yield texts
            done = min(left, read)
            left -= done
            progress(done)
            texts, characters, read = [], 0, 0
    if texts:
        yield texts
    progress(left)


def _destination(source: Source, document: Document, settings: Settings) -> str:
    if not settings.held_out or source.held_out:
        return source.name
    draw = int.from_bytes(hashlib.sha256(content_of(document)).digest()[:8], "little")
    return f"{source.name}{HELD_OUT}" if draw < settings.held_out * 2**64 else source.name


def _manifest(
    drafts: Sequence[Draft],
    tokenizer: TextTokenizer,
    settings: Settings,
    adds_special: bool,
    folder: Path | None = None,
) -> dict[str, Any]:
    manifest = {
        "version": STORE_VERSION,
        "sources": [_entry(draft, folder) for draft in drafts],
        "token_bytes": _token_type(tokenizer).itemsize,
        "block_tokens": cutting.BLOCK_TOKENS,
        "held_out": str(settings.held_out),
        "tokenizer": {
            "fingerprint": tokenizer.fingerprint,
            "vocabulary_size": tokenizer.vocabulary_size,
            "special_ids": tokenizer.special_ids,
            "special_tokens_added": adds_special,
        },
    }
    return sealed({**manifest, "fingerprint": content_fingerprint(manifest)})


def _entry(draft: Draft, folder: Path | None) -> dict[str, Any]:
    """A source in the manifest; the index of its blocks becomes a file of its own."""
    entry = asdict(draft)
    rows = cutting.block_rows([shard.pop("blocks") for shard in entry["shards"]])
    data = rows.tobytes()
    if folder is not None:
        write_bytes(folder / "sources" / draft.name / "blocks", data)
    return entry | {"blocks": {"rows": len(rows), "sha256": hashlib.sha256(data).hexdigest()}}


def _counts_of(store: Store, packing: str) -> dict[str, Any]:
    sources: list[SourceStore] = [*store.sources(), *store.sources(held_out=True)]
    packed = {source.name: {each: source.packing_facts(*each) for each in source.packings()} for source in sources}
    return describe(store.manifest, packed, packing)


def _packings_of(lengths: Mapping[str, list[Lengths]], settings: Settings) -> dict[str, Packings]:
    """What becomes of the documents of each source, from their lengths alone, as the store would have it."""
    packing = settings.packing
    return {
        name: {
            (length, packing): count_packing(packing, shards, length, cutting.BLOCK_TOKENS).facts()
            for length in settings.sequence_lengths
        }
        for name, shards in lengths.items()
    }
