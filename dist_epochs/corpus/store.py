"""The token store: every document tokenized once, and packed at one or more lengths.

    STORE/manifest.json                       counts, tokenizer, fingerprint; written last
    STORE/tokenizer/tokenizer.json
    STORE/sources/NAME/00000.tokens           ids of the documents, in order; or another tool's file
    STORE/sources/NAME/00000.lengths          tokens of each document, uint32
    STORE/sources/NAME/packed-128/            samples of length 128 (see `Packing`)
    STORE/verified.json                       files whose digests were compared (see `verify`)

All numbers are little-endian. Nothing in a store is executed or unpickled.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dist_epochs.corpus.damage import damaged, damaged_packing, read_object
from dist_epochs.corpus.manifest import check_manifest
from dist_epochs.corpus.order import Recent
from dist_epochs.corpus.packing import pack_block
from dist_epochs.corpus.packing_checks import DIGESTS, FILES, check_packing, packing_counts
from dist_epochs.corpus.referred import file_of, ids_of
from dist_epochs.corpus.tokenizer import TextTokenizer
from dist_epochs.errors import InputError, Origin
from dist_epochs.plan.corpus_facts import CorpusFacts, SourceFacts
from dist_epochs.runtime.files import lock, named_errors, new_folder

__all__ = ["Packing", "SourceStore", "Store", "pack_source"]

LENGTHS = np.dtype("<u4")
BLOCKS = np.dtype(
    [("shard", "<i4"), ("first_document", "<i8"), ("documents", "<i4"), ("first_token", "<i8"), ("tokens", "<i8")]
)
SAMPLES = np.dtype([("first_piece", "<i8"), ("pieces", "<i4"), ("tokens", "<i4"), ("ordinary", "<i4")])
PIECES = np.dtype([("document", "<i8"), ("start", "<i8"), ("length", "<i4")])
BLOCK_SAMPLES = np.dtype("<i8")
PACKED = re.compile(r"packed-([1-9]\d*)", re.ASCII)
"""Name of the folder of one length."""

Integers = NDArray[np.int64]


class SourceStore:
    """The documents of one source, in blocks that never cross shards.

    Attributes:
        name: The source.
        entry: Its part of the manifest.
        folder: The folder of its files.
        blocks: First document, first token and sizes of each block.
        lengths: Tokens of every document.
    """

    def __init__(self, folder: Path, entry: dict[str, Any], token_type: np.dtype[Any], block_documents: int) -> None:
        self.name: str = entry["name"]
        self.entry = entry
        self.folder = folder
        self._token_type = token_type
        self._tokens: Recent[NDArray[Any]] = Recent(64)
        for number, shard in enumerate(entry["shards"]):
            if "file" in shard:
                file_of(shard)
            else:
                _check_size(self.shard(number, "tokens"), shard["tokens"] * token_type.itemsize)
            _check_size(self.shard(number, "lengths"), shard["documents"] * LENGTHS.itemsize)
        self.lengths: Integers = np.concatenate(
            [self._shard_lengths(number, shard["tokens"]) for number, shard in enumerate(entry["shards"])]
        )
        self.blocks = _cut_blocks([shard["documents"] for shard in entry["shards"]], self.lengths, block_documents)

    def tokens(self, block: int) -> NDArray[Any]:
        """Ids of one block, read from the disk when they are used."""
        place = self.blocks[block]
        shard = int(place["shard"])
        ids = self._tokens.get(shard, lambda: self.shard_tokens(shard))
        return ids[place["first_token"] : place["first_token"] + place["tokens"]]

    def packed_lengths(self) -> dict[int, int]:
        """Samples per pass, for each length this source is packed at."""
        lengths = sorted(int(name[1]) for path in self.folder.glob("packed-*") if (name := PACKED.fullmatch(path.name)))
        return {length: self.packing_counts(length)["samples"] for length in lengths}

    def packing_folder(self, sequence_length: int) -> Path:
        """The folder of the samples of one length."""
        return self.folder / f"packed-{sequence_length}"

    def packing_counts(self, sequence_length: int) -> dict[str, Any]:
        """The counts in packing.json of one length.

        Raises:
            InputError: If it is damaged.
        """
        return packing_counts(self.packing_folder(sequence_length), sequence_length, self.entry["tokens"])

    def packing(self, sequence_length: int) -> Packing:
        """The samples of one length.

        Raises:
            InputError: If the source is not packed at it, or its files are damaged.
        """
        folder = self.packing_folder(sequence_length)
        if not folder.is_dir():
            have = ", ".join(map(str, self.packed_lengths())) or "none"
            raise InputError(
                f"not packed at length {sequence_length}", rule=f"packed: {have}", origin=Origin(str(self.folder))
            )
        counts = self.packing_counts(sequence_length)
        block_samples = _read(folder / "blocks", BLOCK_SAMPLES, len(self.blocks))
        samples = _read(folder / "samples", SAMPLES, counts["samples"])
        pieces = _read(folder / "pieces", PIECES, counts["pieces"])
        check_packing(folder, sequence_length, (block_samples, samples, pieces), self.blocks, self.lengths)
        return Packing(
            sequence_length=sequence_length, block_samples=block_samples, samples=samples, pieces=pieces, source=self
        )

    def shard(self, number: int, what: str) -> Path:
        """The file of a shard: `tokens` or `lengths`. Tokens may stand in a file outside the store."""
        if what == "tokens" and (file := self.entry["shards"][number].get("file")) is not None:
            return Path(file)
        return self.folder / f"{number:05d}.{what}"

    def shard_tokens(self, number: int) -> NDArray[Any]:
        """Ids of one shard, read from the disk when they are used."""
        shard = self.entry["shards"][number]
        return ids_of(shard) if "file" in shard else _mapped(self.shard(number, "tokens"), self._token_type)

    def _shard_lengths(self, number: int, tokens: int) -> Integers:
        """Tokens of each document of a shard."""
        path = self.shard(number, "lengths")
        lengths = np.fromfile(path, LENGTHS).astype(np.int64)
        if not lengths.all():
            raise damaged(path, f"document {int(np.flatnonzero(lengths == 0)[0]):,} of it has no token")
        if (found := int(lengths.sum())) != tokens:
            raise damaged(path, f"its documents have {found:,} tokens, and the manifest says {tokens:,}")
        return lengths


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Packing:
    """The samples of one source at one length, in corpus order.

    Attributes:
        sequence_length: Positions of a sample.
        block_samples: Samples of each block.
        samples: First piece, pieces, tokens and ordinary (not special) tokens of each sample.
        pieces: Document, first token within its block, and tokens of each piece.
        source: The documents.
    """

    sequence_length: int
    block_samples: Integers
    samples: NDArray[Any]
    pieces: NDArray[Any]
    source: SourceStore

    def first_samples(self) -> Integers:
        """Index of the first sample of each block, with the end."""
        return np.concatenate(([0], np.cumsum(self.block_samples)))

    def read(self, blocks: Integers, indices: Integers, pad: int) -> tuple[Integers, Integers]:
        """Ids and segments of samples.

        Args:
            blocks: Block of each sample.
            indices: Index of each sample in the packing.
            pad: Id that fills the rest.

        Returns:
            Ids and segment numbers (0 for padding, 1 for the first piece), shape (samples, length).
        """
        ids = np.full((len(indices), self.sequence_length), pad, dtype=np.int64)
        segments = np.zeros_like(ids)
        for row, (block, index) in enumerate(zip(blocks, indices, strict=True)):
            tokens = self.source.tokens(int(block))
            sample = self.samples[index]
            at = 0
            first = int(sample["first_piece"])
            for number, piece in enumerate(self.pieces[first : first + int(sample["pieces"])], 1):
                length, start = int(piece["length"]), int(piece["start"])
                ids[row, at : at + length] = tokens[start : start + length]
                segments[row, at : at + length] = number
                at += length
        return ids, segments


class Store:
    """A corpus that was tokenized and counted.

    Args:
        path: Folder written by `dist-epochs tokenize`.

    Raises:
        InputError: If it is not a store, files are missing or cut, or its counts contradict each other. Digests are
            compared by `verify_store`.
    """

    def __init__(self, path: Path) -> None:
        if not (path / "manifest.json").is_file():
            hint = "there is no such folder" if not path.exists() else "it has no manifest.json"
            makes = f"`dist-epochs tokenize SOURCE --tokenizer T --out {path}`, which makes one"
            if path.exists():
                makes = f"`dist-epochs tokenize {path} --tokenizer T --out STORE`, if it is a corpus"
            raise InputError(
                f"not a token store: {hint}",
                fixes=makes,
                origin=Origin(str(path)),
            )
        self.path = path
        self.manifest = read_object(path / "manifest.json")
        check_manifest(self.manifest, path / "manifest.json")
        token_type = np.dtype(f"<u{self.manifest['token_bytes']}")
        self._sources = [
            SourceStore(path / "sources" / entry["name"], entry, token_type, self.manifest["block_documents"])
            for entry in self.manifest["sources"]
        ]

    def sources(self, *, held_out: bool = False) -> list[SourceStore]:
        """The sources to train on, or the held-out documents."""
        return [source for source in self._sources if source.entry["held_out"] is held_out]

    def facts(self) -> CorpusFacts:
        """What the plan needs to know of the corpus."""
        return CorpusFacts(
            sources=tuple(
                SourceFacts(
                    name=source.name,
                    documents=source.entry["documents"],
                    words=source.entry["words"],
                    tokens=source.entry["tokens"],
                    samples=source.packed_lengths(),
                )
                for source in self.sources()
            ),
            fingerprint=self.manifest["fingerprint"],
            store=str(self.path),
            tokenizer=self._tokenizer_text(),
        )

    def _tokenizer_text(self) -> str:
        """The digest of the tokenizer, and whether it added nothing to the documents."""
        tokenizer = self.manifest["tokenizer"]
        fingerprint: str = tokenizer["fingerprint"]
        return fingerprint if tokenizer["special_tokens_added"] else f"{fingerprint}, no special tokens added"

    @property
    def special_ids(self) -> list[int]:
        """Ids that are never masked."""
        return list(self.manifest["tokenizer"]["special_ids"])

    def tokenizer(self) -> TextTokenizer:
        """The tokenizer that the store was made with, read once."""
        return self._tokenizer

    @cached_property
    def _tokenizer(self) -> TextTokenizer:
        return TextTokenizer(self.path / "tokenizer")


def pack_source(source: SourceStore, sequence_length: int, special_ids: list[int]) -> None:
    """Pack a source at one more length.

    The folder gets its name when it is complete.

    Raises:
        InputError: If another process is packing the source.
    """
    taken = InputError("another process is packing this source", origin=Origin(str(source.folder)))
    with lock(source.folder, taken), new_folder(source.packing_folder(sequence_length)) as folder:
        counts = {"sequence_length": sequence_length, "samples": 0, "pieces": 0, "tokens": 0}
        digests = {name: hashlib.sha256() for name in FILES}
        with ExitStack() as stack:
            files = {name: stack.enter_context((folder / name).open("wb")) for name in FILES}
            for block in range(len(source.blocks)):
                sample_rows, piece_rows = _packed_rows(source, block, sequence_length, special_ids)
                sample_rows["first_piece"] += counts["pieces"]
                rows = (np.array([len(sample_rows)], BLOCK_SAMPLES), sample_rows, piece_rows)
                for name, written in zip(FILES, rows, strict=True):
                    data = written.tobytes()
                    with named_errors(folder / name):
                        files[name].write(data)
                    digests[name].update(data)
                counts["samples"] += len(sample_rows)
                counts["pieces"] += len(piece_rows)
                counts["tokens"] += int(sample_rows["tokens"].sum())
        if counts["tokens"] != source.entry["tokens"]:
            raise AssertionError(f"packing holds {counts['tokens']} of {source.entry['tokens']} tokens")
        content = {**counts, DIGESTS: {name: digest.hexdigest() for name, digest in digests.items()}}
        (folder / "packing.json").write_text(json.dumps(content), encoding="utf-8")


def _packed_rows(
    source: SourceStore, block: int, sequence_length: int, special_ids: list[int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The samples and pieces of one block; `first_piece` counts from the block's first."""
    place = source.blocks[block]
    first = int(place["first_document"])
    packed = pack_block(source.lengths[first : first + int(place["documents"])].tolist(), sequence_length)
    flat = [piece for sample in packed for piece in sample]
    pieces = np.zeros(len(flat), PIECES)
    pieces["document"] = first + np.array([piece.document for piece in flat])
    pieces["start"] = [piece.start for piece in flat]
    pieces["length"] = [piece.length for piece in flat]
    ordinary_before = np.concatenate(([0], np.cumsum(~np.isin(source.tokens(block), special_ids))))
    ordinary = ordinary_before[pieces["start"] + pieces["length"]] - ordinary_before[pieces["start"]]
    samples = np.zeros(len(packed), SAMPLES)
    samples["pieces"] = [len(sample) for sample in packed]
    samples["first_piece"] = np.cumsum(samples["pieces"]) - samples["pieces"]
    samples["tokens"] = np.add.reduceat(pieces["length"], samples["first_piece"])
    samples["ordinary"] = np.add.reduceat(ordinary, samples["first_piece"])
    return samples, pieces


def _cut_blocks(shard_documents: list[int], lengths: Integers, block_documents: int) -> NDArray[Any]:
    """Blocks of consecutive documents; the last one of each shard may be shorter."""
    rows = []
    first = 0
    for shard, documents in enumerate(shard_documents):
        before = np.concatenate(([0], np.cumsum(lengths[first : first + documents])))
        for start in range(0, documents, block_documents):
            stop = min(start + block_documents, documents)
            rows.append((shard, first + start, stop - start, before[start], before[stop] - before[start]))
        first += documents
    return np.array(rows, dtype=BLOCKS)


def _read(path: Path, kind: np.dtype[Any], rows: int) -> NDArray[Any]:
    _check_size(path, rows * kind.itemsize, damaged_packing)
    return _mapped(path, kind)


def _mapped(path: Path, kind: np.dtype[Any]) -> NDArray[Any]:
    """A file as a plain array, read when it is used; slices of `memmap` itself take microseconds each."""
    return np.asarray(np.memmap(path, kind, "r"))


def _check_size(path: Path, size: int, error: Callable[[Path, str], InputError] = damaged) -> None:
    found = path.stat().st_size if path.is_file() else None
    if found != size:
        raise error(path, "is missing" if found is None else f"has {found:,} bytes and must have {size:,}")
