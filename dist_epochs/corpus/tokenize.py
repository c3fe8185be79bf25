"""Tokenize sources once: exact counts, and a store that training reads.

The store is built in `STORE.partial` and renamed at the end. After a kill, the same command goes on
from the last complete input file.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dist_epochs.corpus.files import make_durable, write_json
from dist_epochs.corpus.packing import pack_block
from dist_epochs.corpus.sources import HELD_OUT, BadDocument, Source, Unit
from dist_epochs.corpus.store import LENGTHS, VERSION, SourceStore, Store, pack_source
from dist_epochs.corpus.tokenizer import TextTokenizer
from dist_epochs.errors import InputError

__all__ = ["BLOCK_DOCUMENTS", "Settings", "describe", "pack", "tokenize"]

BLOCK_DOCUMENTS = 1000
"""Documents packed together: enough for 0.1 % padding at length 512, little enough to seek."""

SHARD_TOKENS = 2**24
"""Tokens after which a shard is closed at the end of an input file."""

BATCH_DOCUMENTS = 1000
"""Documents encoded at once."""

PROGRESS = "progress.json"
"""File of an unfinished store that says whose it is and how far it came."""

Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How documents become tokens.

    Attributes:
        special_tokens: Whether the tokenizer's special tokens are added, once per document.
        held_out: Share of the documents kept for evaluation, chosen by their hash.
        on_error: Whether a document that cannot be read stops the work or is skipped and counted.
        sequence_lengths: Lengths to pack at.
    """

    special_tokens: bool = True
    held_out: Fraction = Fraction(0)
    on_error: Literal["stop", "skip"] = "stop"
    sequence_lengths: tuple[int, ...] = ()


@dataclass(kw_only=True, slots=True)
class _Draft:
    """One source while it is written: counts, and the shards that are complete."""

    name: str
    held_out: bool
    documents: int = 0
    words: int = 0
    bytes: int = 0
    tokens: int = 0
    empty_documents: int = 0
    skipped_documents: int = 0
    shards: list[dict[str, Any]] = field(default_factory=list)


class _Writer:
    """Writes (or only counts) one source, shard by shard."""

    def __init__(self, draft: _Draft, folder: Path | None, token_type: np.dtype[Any]) -> None:
        self.draft = draft
        self.lengths: list[list[int]] = []  # per shard; kept for --count-only
        self._folder = folder
        self._token_type = token_type
        self._open: tuple[Any, Any] | None = None
        self._digest = hashlib.sha256()
        self._documents = self._tokens = 0
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def open_tokens(self) -> int:
        """Tokens in the shard that is not closed yet."""
        return self._tokens

    def add(self, ids: np.ndarray[Any, Any], text: str) -> None:
        draft = self.draft
        if not len(ids):
            draft.empty_documents += 1
            return
        raw = ids.astype(self._token_type).tobytes()
        self._write(raw, np.array([len(ids)], LENGTHS).tobytes())
        self._digest.update(len(ids).to_bytes(8, "little") + raw)
        if self._folder is None:  # --count-only packs from these; a store keeps them on the disk
            if not self._documents:
                self.lengths.append([])
            self.lengths[-1].append(len(ids))
        self._documents += 1
        self._tokens += len(ids)
        draft.documents += 1
        draft.words += len(text.split())
        draft.bytes += len(text.encode())
        draft.tokens += len(ids)

    def close_shard(self) -> None:
        """Make the open shard complete and durable."""
        if not self._documents:
            return
        for file in self._open or ():
            with _named(file.name):
                file.flush()
                os.fsync(file.fileno())
                file.close()
        self.draft.shards.append(
            {"documents": self._documents, "tokens": self._tokens, "sha256": self._digest.hexdigest()}
        )
        self._open, self._digest = None, hashlib.sha256()
        self._documents = self._tokens = 0

    def abandon(self) -> None:
        """Close the files of an unfinished shard."""
        for file in self._open or ():
            with suppress(OSError):  # a full disk; the error is on its way already
                file.close()

    def _write(self, tokens: bytes, length: bytes) -> None:
        if self._folder is None:
            return
        if self._open is None:
            stem = self._folder / f"{len(self.draft.shards):05d}"
            self._open = (open(f"{stem}.tokens", "wb"), open(f"{stem}.lengths", "wb"))  # noqa: SIM115, PTH123
        for file, data in zip(self._open, (tokens, length), strict=True):
            with _named(file.name):
                file.write(data)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Errors of a full disk say which file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


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
        settings: How.
        out: Folder of the store; None only counts.
        progress: Called with the bytes of input worked through since the last call.

    Returns:
        The counts, as `dist-epochs tokenize --json` prints them.

    Raises:
        InputError: If something cannot be read, there is no document, or `out` is not empty. Nothing
            is left behind.
    """
    if out is None:
        manifest, lengths = _count(sources, tokenizer, settings, None, progress)
        return describe(manifest, _samples_of(lengths, settings.sequence_lengths))
    out = out.resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: not empty. A store is written to a new folder; nothing was changed.")
    partial = out.with_name(out.name + ".partial")
    with _workplace(partial, _command(sources, tokenizer, settings)):
        manifest, _ = _count(sources, tokenizer, settings, partial, progress)
        tokenizer.save(partial / "tokenizer")
        write_json(partial / "manifest.json", manifest)
        pack(Store(partial), settings.sequence_lengths)
        (partial / PROGRESS).unlink()
        partial.rename(out)
        make_durable(out.parent)
    return describe(*_counts_of(Store(out)))


@contextmanager
def _workplace(partial: Path, command: str) -> Iterator[None]:
    """The folder a store is built in: new, or left by a kill of the same command. Removed on errors.

    A folder that is not ours, belongs to another command, or is being written is left alone.
    """
    new_from = next((folder for folder in (*reversed(partial.parents), partial) if not folder.exists()), None)
    if new_from is None:
        _check_ours(partial, command)
    partial.mkdir(parents=True, exist_ok=True)
    handle = os.open(partial, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise InputError(f"{partial}: another process is writing this store") from None
    try:
        if not (partial / PROGRESS).exists():
            write_json(partial / PROGRESS, {"command": command, "finished": 0, "drafts": []})
        yield
    except Exception:
        shutil.rmtree(new_from or partial, ignore_errors=True)
        raise
    finally:
        os.close(handle)


def _check_ours(partial: Path, command: str) -> None:
    progress = partial / PROGRESS
    try:
        begun_by = json.loads(progress.read_text(encoding="utf-8"))["command"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{partial}: in the way: stores are built there, and it holds something else. "
            "Move it, or choose another --out."
        ) from None
    if begun_by != command:
        raise InputError(
            f"{partial}: holds the unfinished store of another command (other sources, tokenizer or options). "
            "Finish that one, or delete the folder."
        )


def pack(store: Store, sequence_lengths: Sequence[int]) -> dict[str, Any]:
    """Pack a store at lengths it is not packed at yet; returns its counts."""
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
    """Read everything; returns the manifest, and the document lengths of each source's shards."""
    token_type = np.dtype("<u2" if tokenizer.vocabulary_size <= 2**16 else "<u4")
    command = _command(sources, tokenizer, settings)
    finished, drafts = _recover(folder)
    if not drafts:
        drafts = [_Draft(name=s.name, held_out=False) for s in sources]
        drafts += [_Draft(name=f"{s.name}{HELD_OUT}", held_out=True) for s in sources if settings.held_out]
    writers = {d.name: _Writer(d, folder and folder / "sources" / d.name, token_type) for d in drafts}
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
                    state = {"command": command, "finished": number + 1, "drafts": [asdict(d) for d in drafts]}
                    write_json(folder / PROGRESS, state)
    finally:
        for writer in writers.values():
            writer.abandon()
    for draft in drafts:
        if not draft.documents:
            what = "held-out documents" if draft.held_out else "documents"
            raise InputError(
                f"source {draft.name!r} has no {what} with text ({draft.empty_documents} empty, "
                f"{draft.skipped_documents} skipped): there is nothing to train on. "
                + ("Hold out a larger share, or none." if draft.held_out else "Check the path and --document.")
            )
    lengths = {name: writer.lengths for name, writer in writers.items()}
    return _manifest(drafts, tokenizer, settings, token_type), lengths


def _read_unit(
    source: Source,
    unit: Unit,
    tokenizer: TextTokenizer,
    settings: Settings,
    writers: dict[str, _Writer],
    progress: Progress,
) -> None:
    draft = writers[source.name].draft
    left = unit.size
    documents = _readable(source.read(unit), draft, settings)
    while texts := list(islice(documents, BATCH_DOCUMENTS)):
        for text, ids in zip(texts, tokenizer.encode(texts, special_tokens=settings.special_tokens), strict=True):
            writers[_destination(source, text, settings)].add(ids, text)
        done = min(left, sum(map(len, texts)))
        left -= done
        progress(done)
    progress(left)


def _readable(documents: Iterator[str | BadDocument], draft: _Draft, settings: Settings) -> Iterator[str]:
    """The documents with text; the others are counted, or stop the work."""
    for document in documents:
        if isinstance(document, BadDocument):
            if settings.on_error == "stop":
                raise BadDocument(
                    f"{document}. Nothing was written; `--on-error skip` counts such documents and goes on."
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


def _recover(folder: Path | None) -> tuple[int, list[_Draft]]:
    """What an interrupted run of the same command finished."""
    if folder is None:
        return 0, []
    state = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    return state["finished"], [_Draft(**draft) for draft in state["drafts"]]


def _command(sources: Sequence[Source], tokenizer: TextTokenizer, settings: Settings) -> str:
    read = [asdict(source) | {"ignored": None} for source in sources]
    decisive = [read, tokenizer.fingerprint, str(settings), BLOCK_DOCUMENTS]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()


def _manifest(
    drafts: Sequence[_Draft], tokenizer: TextTokenizer, settings: Settings, token_type: np.dtype[Any]
) -> dict[str, Any]:
    entries = [asdict(draft) for draft in drafts]
    content = [[e["name"], e["held_out"], [shard["sha256"] for shard in e["shards"]]] for e in entries]
    decisive = [content, tokenizer.fingerprint, settings.special_tokens, BLOCK_DOCUMENTS]
    return {
        "version": VERSION,
        "fingerprint": hashlib.sha256(json.dumps(decisive).encode()).hexdigest(),
        "sources": entries,
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


def _counts_of(store: Store) -> tuple[dict[str, Any], dict[str, dict[int, int]]]:
    sources: list[SourceStore] = [*store.sources(), *store.sources(held_out=True)]
    return store.manifest, {source.name: source.packed_lengths() for source in sources}


def _samples_of(lengths: dict[str, list[list[int]]], sequence_lengths: Sequence[int]) -> dict[str, dict[int, int]]:
    """Samples per pass from document lengths alone, in the blocks the store would have."""
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
