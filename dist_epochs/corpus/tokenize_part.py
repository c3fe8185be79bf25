"""Tokenizes one part of a corpus: reads its documents, encodes them, and writes the shards of the part."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

from dist_epochs.corpus.documents import Document, Documents, content_of
from dist_epochs.corpus.given_tokens import check_ids
from dist_epochs.corpus.part_record import Reached, recall, remember
from dist_epochs.corpus.parts import Part
from dist_epochs.corpus.sources import HELD_OUT, Source, Unit
from dist_epochs.corpus.token_formats import FORMATS
from dist_epochs.corpus.tokenizer import TextTokenizer, token_type
from dist_epochs.corpus.writer import Draft, SourceWriter

__all__ = ["SHARD_TOKENS", "Job", "Outcome", "Progress", "Settings", "destinations", "tokenize_part"]

SHARD_TOKENS = 2**24
"""Tokens after which a shard is closed, at the end of a batch; more, where parts are larger than usual."""

BATCH_DOCUMENTS = 1000
"""Documents that are encoded at once."""

BATCH_CHARACTERS = 2**24
"""Characters after which no document is added to a batch."""


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
        refer: Whether tokens of another tool stay in their files, to which the store refers, instead of being copied.
    """

    special_tokens: bool = True
    held_out: Fraction = Fraction(0)
    on_error: Literal["stop", "skip"] = "stop"
    sequence_lengths: tuple[int, ...] = ()
    refer: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What is the same for all parts.

    Attributes:
        tokenizer: Turns text into ids; None counts tokens without one.
        settings: How documents become tokens.
        folder: Of the unfinished store; None only counts.
        scale: How many times as large as usual shards are.
    """

    tokenizer: TextTokenizer | None
    settings: Settings
    folder: Path | None
    scale: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a part.

    Attributes:
        drafts: Its counts and shards, by source.
        samples: Where it was only counted: samples by source and length.
    """

    drafts: tuple[Draft, ...]
    samples: Mapping[str, Mapping[int, int]]


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
            count_at=settings.sequence_lengths if folder is None else (),
        )
        for draft in drafts
    }

    def close_shards(units: int, documents: int = 0, texts: str = "") -> None:
        for writer in writers.values():
            writer.close_shard()
        if folder is not None:
            remember(folder, part, Reached(units, documents, texts, drafts))

    try:
        for number, unit in enumerate(part.units[reached.units :], reached.units):
            if settings.refer:
                writers[part.source.name].flat = FORMATS[unit.kind].flat(Path(unit.name), part.source.reading)
            documents = Documents(part.source.read(unit), writers[part.source.name].draft, settings.on_error)
            if number == reached.units:
                documents.skip(reached.documents, reached.texts, unit.name)
            for texts, read in _batches(documents, unit):
                tokens = _write(part.source, unit, texts, job, writers)
                progress(read, len(texts), tokens)
                if sum(writer.open_tokens for writer in writers.values()) >= SHARD_TOKENS * job.scale:
                    close_shards(number, documents.given, documents.texts)
            if settings.refer or number + 1 == len(part.units):  # a shard that refers is in one file
                close_shards(number + 1)
    finally:
        for writer in writers.values():
            writer.abandon()
    return Outcome(tuple(drafts), {name: writer.samples for name, writer in writers.items()})


def _write(
    source: Source, unit: Unit, documents: Sequence[Document], job: Job, writers: Mapping[str, SourceWriter]
) -> int:
    """Encode and write a batch; returns its tokens."""
    tokenizer = job.tokenizer
    texts = [document for document in documents if isinstance(document, str)]
    encoded = iter(tokenizer.encode(texts, special_tokens=job.settings.special_tokens) if texts and tokenizer else ())
    if tokenizer is not None and len(texts) < len(documents):
        check_ids([ids for ids in documents if not isinstance(ids, str)], tokenizer, unit)
    tokens = 0
    for document in documents:
        writer = writers[_destination(source, document, job.settings)]
        ids = next(encoded) if isinstance(document, str) else document
        writer.add(ids, document if isinstance(document, str) else "")
        tokens += len(ids)
    return tokens


def _batches(documents: Iterable[Document], unit: Unit) -> Iterator[tuple[list[Document], int]]:
    """The documents that are encoded at once, and about how many bytes of the file these are."""
    left = unit.bytes
    texts: list[Document] = []
    characters = read = 0
    for text in documents:
        texts.append(text)
        characters += len(text)
        read += len(text) if isinstance(text, str) else text.nbytes
        if len(texts) == BATCH_DOCUMENTS or characters >= BATCH_CHARACTERS:
            done = min(left, read)
            left -= done
            yield texts, done
            texts, characters, read = [], 0, 0
    yield texts, left


def _destination(source: Source, document: Document, settings: Settings) -> str:
    if not settings.held_out or source.held_out:
        return source.name
    draw = int.from_bytes(hashlib.sha256(content_of(document)).digest()[:8], "little")
    return f"{source.name}{HELD_OUT}" if draw < settings.held_out * 2**64 else source.name
