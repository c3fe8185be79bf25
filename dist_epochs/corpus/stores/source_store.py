"""One source of a store: its blocks, and the tokens and lengths of its documents, which are read when they are used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dist_epochs.arithmetic.packings import BEST_FIT, PACKINGS
from dist_epochs.corpus.packing.packed import BlockPacking, Packing
from dist_epochs.corpus.packing.packed_1 import ListedPacking
from dist_epochs.corpus.packing.packed_spans import SpanPacking
from dist_epochs.corpus.packing.packing_checks import check_counts
from dist_epochs.corpus.stores.blocks import BLOCKS, ROWS_AT_ONCE, block_rows, check_blocks, cut_by_documents
from dist_epochs.corpus.stores.damage import check_size, damaged, read_object
from dist_epochs.corpus.stores.referred import file_of, ids_of
from dist_epochs.errors import InputError, Origin
from dist_epochs.plan.corpus_facts import PackingFacts
from dist_epochs.runtime.mapped_files import MappedFiles

if TYPE_CHECKING:
    from dist_epochs.corpus.remote.store import RemoteShards

__all__ = ["SourceStore", "packing_name"]

PACKED = re.compile(rf"packed-([1-9]\d*)(?:-({'|'.join(PACKINGS)}))?", re.ASCII)
"""Name of the folder of one length and strategy, which is not named where it is the default."""
MOST_LOOKED_AT = 1000
"""Shards up to which the size of every file is compared when a store is opened; of more, when a file is used."""

Integers = NDArray[np.int64]


def packing_name(sequence_length: int, packing: str) -> str:
    """The name of the folder of the samples of one length and strategy."""
    return f"packed-{sequence_length}" + (f"-{packing}" if packing != BEST_FIT else "")


class SourceStore:
    """The documents of one source, in blocks that never cross shards.

    Args:
        folder: The folder of its files.
        manifest: What the manifest says of the store.
        entry: What it says of this source.
        files: The files of the store that are mapped.
        remote: Where its shards are, if not in the folder.

    Attributes:
        name: The source.
        version: Format of the store.
        tokens_per_block: Tokens of a block, but for a document's; None in format 1.
        files: The files of the store that are mapped.
        remote: Where its shards are, if not in the folder.
        blocks: First document, first token and sizes of each block.

    Raises:
        InputError: If files are missing or cut, or the blocks do not add up.
    """

    def __init__(
        self,
        folder: Path,
        manifest: dict[str, Any],
        entry: dict[str, Any],
        files: MappedFiles,
        remote: RemoteShards | None = None,
    ) -> None:
        self.name: str = entry["name"]
        self.entry = entry
        self.folder = folder
        self.version: int = manifest["version"]
        self.tokens_per_block: int | None = manifest.get("block_tokens")
        self._token_type = np.dtype(f"<u{manifest['token_bytes']}")
        self.files = files
        self.remote = remote
        if remote is None and len(entry["shards"]) <= MOST_LOOKED_AT:
            for number in range(len(entry["shards"])):
                self._check_shard(number)
        self.blocks: NDArray[Any]
        if self.version == 1:
            self.blocks = self._blocks_by_documents(manifest["block_documents"])
        else:
            path, rows = folder / "blocks", entry["blocks"]["rows"]
            check_size(path, rows * BLOCKS.itemsize)
            check_blocks(path, rows, entry["shards"])
            self.blocks = files.map(path, BLOCKS)

    @property
    def lengths(self) -> Integers:
        """Tokens of every document, all of which are read for it."""
        return np.concatenate([self.shard_lengths(number) for number in range(len(self.entry["shards"]))])

    def tokens(self, block: int) -> NDArray[Any]:
        """Ids of one block, read from the disk when they are used."""
        place = self.blocks[block]
        first = int(place["first_token"])
        return self.shard_tokens(int(place["shard"]))[first : first + int(place["tokens"])]

    def block_lengths(self, block: int) -> Integers:
        """Tokens of each document of one block.

        Raises:
            InputError: If they are not what the index says.
        """
        place = self.blocks[block]
        shard, first = int(place["shard"]), int(place["first_document"])
        found = self._mapped_lengths(shard)[first : first + int(place["documents"])].astype(np.int64)
        self._check_lengths(shard, found, int(place["tokens"]), first)
        return found

    def block_tokens(self, first: int, count: int) -> Integers:
        """Tokens of each of some neighbouring blocks."""
        return self._block_rows(first, count)["tokens"].astype(np.int64)

    def largest_block(self) -> int:
        """Tokens of the block that has most."""
        blocks = len(self.blocks)
        return max(int(self.block_tokens(first, ROWS_AT_ONCE).max()) for first in range(0, blocks, ROWS_AT_ONCE))

    def documents_in(self, chosen: NDArray[np.bool_]) -> Integers:
        """First document and end of each block that is chosen, counted from the first of the source."""
        found = []
        for first in range(0, len(chosen), ROWS_AT_ONCE):
            rows = self._block_rows(first, ROWS_AT_ONCE)[chosen[first : first + ROWS_AT_ONCE]]
            start = self.shard_starts[rows["shard"], 1] + rows["first_document"]
            found.append(np.stack([start, start + rows["documents"]], axis=1))
        return np.concatenate(found)

    @cached_property
    def shard_starts(self) -> Integers:
        """First token and first document of each shard, counted from the first of the source, with the end."""
        sizes = [(shard["tokens"], shard["documents"]) for shard in self.entry["shards"]]
        return np.concatenate([np.zeros((1, 2), np.int64), np.cumsum(sizes, axis=0, dtype=np.int64)])

    def token_range(self, first: int, count: int) -> NDArray[Any]:
        """Ids of neighbouring tokens, by the first of them in the source."""
        ids = np.concatenate([self.shard_tokens(number)[part] for number, part in self._parts(0, first, count)])
        self.files.used(count)
        return ids

    def length_range(self, first: int, count: int) -> Integers:
        """Tokens of neighbouring documents, by the first of them in the source."""
        parts = [self._mapped_lengths(number)[part] for number, part in self._parts(1, first, count)]
        return np.concatenate(parts).astype(np.int64)

    def _parts(self, column: int, first: int, count: int) -> Iterator[tuple[int, slice]]:
        """The shards of neighbouring tokens, or documents, and what of each belongs to them."""
        starts = self.shard_starts[:, column]
        number = int(np.searchsorted(starts, first, side="right")) - 1
        while number < len(starts) - 1 and starts[number] < first + count:
            yield number, slice(max(0, first - int(starts[number])), first + count - int(starts[number]))
            number += 1

    def places_of(self, blocks: Integers) -> tuple[Integers, Integers, Integers]:
        """Shard, first token in it, and tokens of blocks."""
        places = self.blocks[blocks]
        shards, first, tokens = (places[name].astype(np.int64) for name in ("shard", "first_token", "tokens"))
        return shards, first, tokens

    def first_document(self, block: int) -> int:
        """The first document of a block, counted from the first of the source."""
        place = self.blocks[block]
        return int(place["first_document"]) + int(self.shard_starts[int(place["shard"]), 1])

    def shard(self, number: int, what: str) -> Path:
        """The file of a shard: `tokens` or `lengths`. Tokens may stand in a file outside the store."""
        if what == "tokens" and (file := self.entry["shards"][number].get("file")) is not None:
            return Path(file)
        return self.folder / f"{self.entry['shards'][number].get('name', f'{number:05d}')}.{what}"

    def shard_tokens(self, number: int) -> NDArray[Any]:
        """Ids of one shard, read from the disk when they are used."""

        def make() -> NDArray[Any]:
            self._check_shard(number)
            shard = self.entry["shards"][number]
            if "file" in shard:
                return ids_of(shard, self.files)
            return self.files.map(self.shard(number, "tokens"), self._token_type)

        if self.remote is not None:
            return self.remote.tokens(self.name, number, self.files)
        return self.files.kept((self.name, number, "tokens"), make)

    def shard_lengths(self, number: int) -> Integers:
        """Tokens of each document of a shard.

        Raises:
            InputError: If they are not what the manifest says.
        """
        lengths = self._mapped_lengths(number).astype(np.int64)
        self._check_lengths(number, lengths, self.entry["shards"][number]["tokens"], 0)
        return lengths

    def packings(self) -> list[tuple[int, str]]:
        """The lengths and strategies that this source is packed at, shortest first."""
        found = (PACKED.fullmatch(path.name) for path in self.folder.glob("packed-*"))
        named = ((int(name[1]), PACKINGS.index(name[2] or BEST_FIT)) for name in found if name)
        return [(length, PACKINGS[strategy]) for length, strategy in sorted(named)]

    def packed_lengths(self, packing: str = BEST_FIT) -> dict[int, int]:
        """Samples per pass, for each length this source is packed at by a strategy."""
        lengths = [length for length, name in self.packings() if name == packing]
        return {length: self.packing_counts(length, packing)["samples"] for length in lengths}

    def packing_folder(self, sequence_length: int, packing: str = BEST_FIT) -> Path:
        """The folder of the samples of one length and strategy."""
        return self.folder / packing_name(sequence_length, packing)

    def packing_counts(self, sequence_length: int, packing: str = BEST_FIT) -> dict[str, Any]:
        """The counts in packing.json of one length and strategy.

        Raises:
            InputError: If it is damaged.
        """
        path = self.packing_folder(sequence_length, packing) / "packing.json"
        return check_counts(read_object(path), path, packing, sequence_length, self.entry["tokens"], self.version)

    def packing_facts(self, sequence_length: int, packing: str = BEST_FIT) -> PackingFacts:
        """The same as a plan needs them."""
        counts = self.packing_counts(sequence_length, packing)
        return PackingFacts(
            samples=counts["samples"],
            tokens=counts["tokens"],
            documents_cut=counts.get("documents_cut"),
            tokens_truncated=counts.get("tokens_truncated", 0),
            tokens_dropped=counts.get("tokens_dropped", 0),
        )

    def packing(self, sequence_length: int, packing: str = BEST_FIT) -> Packing:
        """The samples of one length and strategy.

        Raises:
            InputError: If the source is not packed so, or its files are damaged.
        """
        if not self.packing_folder(sequence_length, packing).is_dir():
            have = ", ".join(f"{length} ({name})" for length, name in self.packings()) or "none"
            raise InputError(
                f"not packed at length {sequence_length} ({packing})",
                rule=f"packed: {have}",
                origin=Origin(str(self.folder)),
            )
        if self.version == 1:
            return ListedPacking(self, sequence_length)
        return (BlockPacking if packing == BEST_FIT else SpanPacking)(self, sequence_length, packing)

    def _block_rows(self, first: int, count: int) -> NDArray[Any]:
        """Some neighbouring rows of the index; read, as what is mapped stays in memory."""
        if self.version == 1:
            return self.blocks[first : first + count]
        return np.fromfile(self.folder / "blocks", BLOCKS, count, offset=first * BLOCKS.itemsize)

    def _mapped_lengths(self, number: int) -> NDArray[Any]:
        def make() -> NDArray[Any]:
            kind = np.dtype(f"<u{self.entry['shards'][number].get('length_bytes', 4)}")
            if self.remote is not None:
                return self.files.map(self.remote.open(self.name, number, "lengths"), kind)
            self._check_shard(number)
            return self.files.map(self.shard(number, "lengths"), kind)

        return self.files.kept((self.name, number, "lengths"), make)

    def _check_shard(self, number: int) -> None:
        shard = self.entry["shards"][number]
        if "file" in shard:
            file_of(shard)
        else:
            check_size(self.shard(number, "tokens"), shard["tokens"] * self._token_type.itemsize)
        check_size(self.shard(number, "lengths"), shard["documents"] * shard.get("length_bytes", 4))

    def _check_lengths(self, shard: int, lengths: Integers, tokens: int, first: int) -> None:
        path = self.shard(shard, "lengths")
        if not lengths.all():
            raise damaged(path, f"document {first + int(np.flatnonzero(lengths == 0)[0]):,} of it has no token")
        if (found := int(lengths.sum())) != tokens:
            raise damaged(path, f"its documents have {found:,} tokens, and the manifest says {tokens:,}")

    def _blocks_by_documents(self, block_documents: int) -> NDArray[Any]:
        sizes = []
        for number in range(len(self.entry["shards"])):
            lengths = self.shard_lengths(number)
            cuts = cut_by_documents(len(lengths), block_documents)
            tokens = np.add.reduceat(lengths, cuts[:-1])
            sizes.append(list(zip(np.diff(cuts).tolist(), tokens.tolist(), strict=True)))
        return block_rows(sizes)
