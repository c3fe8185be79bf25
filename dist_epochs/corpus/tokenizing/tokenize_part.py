"""Tokenizes one part of a corpus: reads its documents, encodes them, and writes the shards of the part."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from dist_epochs.arithmetic.packings import BEST_FIT
from dist_epochs.corpus.input.documents import Document, Documents, content_of
from dist_epochs.corpus.input.given_tokens import check_ids
from dist_epochs.corpus.input.sources import HELD_OUT, Source, Unit
from dist_epochs.corpus.input.token_formats import FORMATS
from dist_epochs.corpus.tokenizing.part_record import Reached, recall, remember
from dist_epochs.corpus.tokenizing.parts import Part
from dist_epochs.corpus.tokenizing.tokenizer import TextTokenizer, token_type
from dist_epochs.corpus.tokenizing.words import count_words
from dist_epochs.corpus.tokenizing.writer import Draft, Lengths, SourceWriter

__all__ = ["SHARD_TOKENS", "Job", "Lengths", "Outcome", "Progress", "Settings", "destinations", "tokenize_part"]

SHARD_TOKENS = 2**24
"""Tokens after which a shard is closed, at the end of a batch; more, where parts are larger than usual."""

BATCH_DOCUMENTS = 1000
"""Documents that are encoded at once."""

BATCH_CHARACTERS = 2**21
"""Characters after which no document is added to a batch: what they become takes 30 times as much memory."""

PACKED_TO = 3
"""How many times its size a packed file of text has in characters, about; for the progress."""


class Progress(Protocol):
    """Told of what was read since the last call."""

    def __call__(self, read: int, documents: int = 0, tokens: int = 0) -> None:
        """Take note of bytes of input, and of documents and tokens that were made of them."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What is the same for all parts.

    Attributes:
        tokenizer: Turns text into ids; None counts tokens without one.
        settings: How documents become tokens.
        folder: Of the unfinished store; None only counts.
    """

    tokenizer: TextTokenizer | None
    settings: Settings
    folder: Path | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a part.

    Attributes:
        drafts: Its counts and shards, by source.
        digests: SHA-256 of the documents of each of its input files or stretches.
        lengths: Where it was only counted, and samples are asked for: tokens of each document, by source and shard.
    """

    drafts: tuple[Draft, ...]
    digests: tuple[str, ...]
    lengths: Mapping[str, Sequence[Lengths]]


def destinations(source: Source, settings: Settings) -> dict[str, bool]:
    """The sources of the store that documents of a source go to, and whether they are held out."""
    own = {source.name: source.held_out}
    return own | {f"{source.name}{HELD_OUT}": True} if settings.held_out and not source.held_out else own


def tokenize_part(part: Part, job: Job, progress: Progress) -> Outcome:
    """Tokenize a part, or what is left of it.

    Raises:
        InputError: If a document cannot be read or encoded. Shards that are complete are kept.
    """
    settings, folder = job.settings, job.folder
    reached = recall(folder, part) if folder is not None else Reached()
    drafts = list(reached.drafts) or [
        Draft(name=name, held_out=out) for name, out in destinations(part.source, settings).items()
    ]
    progress(
        sum(unit.bytes for unit in part.units[: reached.units]),
        sum(draft.documents for draft in drafts),
        sum(draft.tokens for draft in drafts),
    )
    writers = {
        draft.name: SourceWriter(
            draft,
            folder and folder / "sources" / draft.name,
            token_type(job.tokenizer),
            part=part.number,
            keeps_lengths=folder is None and bool(settings.sequence_lengths),
        )
        for draft in drafts
    }

    digests = list(reached.digests)

    def close_shards(units: int, documents: int = 0, texts: str = "") -> None:
        for writer in writers.values():
            writer.close_shard()
        if folder is not None:
            remember(folder, part, Reached(units, documents, texts, drafts, digests))

    try:
        for number, unit in enumerate(part.units[reached.units :], reached.units):
            if settings.refer:
                writers[part.source.name].flat = FORMATS[unit.kind].flat(Path(unit.name), part.source.reading)
            documents = Documents(part.source.read(unit), writers[part.source.name].draft, settings.on_error)
            if number == reached.units:
                documents.skip(reached.documents, reached.texts, unit.name)
            left, packed = unit.bytes, PACKED_TO if unit.is_packed or unit.kind == ".parquet" else 1
            for batch in documents.batches(documents=BATCH_DOCUMENTS, size=BATCH_CHARACTERS):
                tokens = _write(part.source, unit, batch, job, writers)
                read = min(left, sum(map(len, batch)) // packed)
                left -= read
                progress(read, len(batch), tokens)
                if sum(writer.open_tokens for writer in writers.values()) >= SHARD_TOKENS * part.scale:
                    close_shards(number, documents.given, documents.texts)
            progress(left)
            digests.append(documents.texts)
            if settings.refer or number + 1 == len(part.units):  # a shard that refers is in one file
                close_shards(number + 1)
    finally:
        for writer in writers.values():
            writer.abandon()
    return Outcome(tuple(drafts), tuple(digests), {name: writer.lengths for name, writer in writers.items()})


def _write(
    source: Source, unit: Unit, documents: Sequence[Document], job: Job, writers: Mapping[str, SourceWriter]
) -> int:
    """Encode and write a batch; returns its tokens."""
    tokens = 0
    for name, own in _by_destination(source, documents, job.settings).items():
        texts = [document for document in own if isinstance(document, str)]
        if texts:
            assert job.tokenizer is not None
            ids, lengths = job.tokenizer.encode(texts, special_tokens=job.settings.special_tokens)
        else:
            given = [document for document in own if not isinstance(document, str)]
            ids, lengths = np.concatenate(given), np.array(list(map(len, given)), np.int64)
            if job.tokenizer is not None:
                check_ids(ids, job.tokenizer, unit)
        if not lengths.all():  # a text of which the tokenizer makes nothing counts as empty
            texts = [text for text, length in zip(texts, lengths, strict=True) if length]
            writers[name].draft.empty_documents += int((lengths == 0).sum())
            lengths = lengths[lengths > 0]
        if texts:
            text = "\n".join(texts).encode()
            writers[name].draft.words += count_words(text)
            writers[name].draft.bytes += len(text) - (len(texts) - 1)
        writers[name].add(ids, lengths)
        tokens += len(ids)
    return tokens


def _by_destination(source: Source, documents: Sequence[Document], settings: Settings) -> dict[str, list[Document]]:
    """Documents by the source of the store that they go to."""
    if not documents:
        return {}
    if not settings.held_out or source.held_out:
        return {source.name: list(documents)}
    found: dict[str, list[Document]] = {}
    for document in documents:
        draw = int.from_bytes(hashlib.sha256(content_of(document)).digest()[:8], "little")
        name = f"{source.name}{HELD_OUT}" if draw < settings.held_out * 2**64 else source.name
        found.setdefault(name, []).append(document)
    return found
