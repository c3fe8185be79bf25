"""Packs a source at one more length and strategy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dist_epochs.arithmetic.packings import BEST_FIT
from dist_epochs.corpus.packing.packed import INDEX, STORED_PROBABILITY, SUMS, sample_type
from dist_epochs.corpus.packing.packed_1 import packed_rows
from dist_epochs.corpus.packing.packed_spans import SPAN_SUMS, SPANS
from dist_epochs.corpus.packing.packing import Packed
from dist_epochs.corpus.packing.packing_checks import DIGESTS, FILES, PIECE_BYTES, STRATEGY
from dist_epochs.corpus.packing.spans import Span
from dist_epochs.corpus.packing.strategies import STRATEGIES, PackingCounts, counts_of
from dist_epochs.corpus.stores.manifest import sealed
from dist_epochs.corpus.stores.source_store import SourceStore
from dist_epochs.corpus.streaming.digests import digests
from dist_epochs.corpus.streaming.objective import masked_tokens
from dist_epochs.corpus.tokenizing.workers import in_order
from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.bar import Progress
from dist_epochs.runtime.files import lock, named_errors, new_folder

__all__ = ["pack_source"]

NUMBERS_OF_4_BYTES = 2**32
"""Numbers that 4 bytes can hold, from 0."""

Rows = tuple[NDArray[Any], ...]


def pack_source(
    source: SourceStore,
    sequence_length: int,
    special_ids: list[int],
    packing: str = BEST_FIT,
    workers: int = 1,
    progress: Progress = lambda _: None,
) -> None:
    """Pack a source at one more length and strategy, as its store's format has it.

    The folder gets its name when it is complete.

    Args:
        source: The source.
        sequence_length: Positions of a sample.
        special_ids: Ids that are never masked.
        packing: How documents become samples, one of `PACKINGS`.
        workers: Processes that pack blocks; what is written does not depend on them.
        progress: Called with the tokens of what was packed since the last call.

    Raises:
        InputError: If another process is packing the source, no sample can be made of it, or its format has no such
            strategy.
    """
    if source.version == 1 and packing != BEST_FIT:
        raise InputError(
            f"stores of format 1 are packed {BEST_FIT} only, not {packing}",
            fixes="to tokenize the corpus again, which writes the newer format",
            origin=Origin(str(source.folder)),
        )
    taken = InputError("another process is packing this source", origin=Origin(str(source.folder)))
    names = FILES[source.version]
    counts: dict[str, Any] = {"sequence_length": sequence_length}
    if source.version == 1:
        blocks = _rows_of_version_1(source, sequence_length, special_ids, counts, progress)
    else:
        blocks = _rows_of_blocks(source, packing, sequence_length, special_ids, counts, workers, progress)
    with lock(source.folder, taken), new_folder(source.packing_folder(sequence_length, packing)) as folder:
        found = {name: hashlib.sha256() for name in names}
        with ExitStack() as stack:
            files = {name: stack.enter_context((folder / name).open("wb")) for name in names}
            for rows in blocks:
                for name, written in zip(names, rows, strict=True):
                    data = written.tobytes()
                    with named_errors(folder / name):
                        files[name].write(data)
                    found[name].update(data)
        content = {**counts, DIGESTS: {name: digest.hexdigest() for name, digest in found.items()}}
        content = content if source.version == 1 else sealed(content)
        (folder / "packing.json").write_text(json.dumps(content), encoding="utf-8")


def _rows_of_blocks(
    source: SourceStore,
    packing: str,
    length: int,
    special_ids: list[int],
    content: dict[str, Any],
    workers: int,
    progress: Progress,
) -> Iterator[Rows]:
    """What each block adds to each file; what packing.json says is added to its content.

    Raises:
        InputError: If there is no sample.
    """
    piece_bytes = _piece_bytes(source, packing, length)
    packer = _Packer(source, packing, length, special_ids, piece_bytes)
    index_type = INDEX if packing == BEST_FIT else SPANS
    total, blocks = PackingCounts(), 0
    for packed in _packed(packer, workers):
        if packed.counts.samples:
            yield _row(index_type, (total.samples, total.pieces, *packed.place)), *packed.rows
            blocks += 1
        total += packed.counts
        progress(packed.counts.tokens + packed.counts.tokens_truncated + packed.counts.tokens_dropped)
    if not total.samples:
        raise InputError(
            f"source {source.name!r} has no sample of length {length} ({packing})",
            rule=f"its batches of documents have less than {length} tokens each",
            fixes=("a shorter length", f"--packing {BEST_FIT}"),
            origin=Origin(str(source.folder)),
        )
    if total.tokens + total.tokens_truncated + total.tokens_dropped != source.entry["tokens"]:
        raise AssertionError(f"packing accounts for {total} of {source.entry['tokens']} tokens")
    content |= {STRATEGY: packing, "blocks": blocks, **asdict(total), PIECE_BYTES: piece_bytes}
    nothing = np.zeros(0, np.uint8)
    end = (total.samples, total.pieces, source.entry["tokens"], source.entry["documents"], 0)
    yield _row(index_type, end), nothing, nothing, nothing


def _piece_bytes(source: SourceStore, packing: str, length: int) -> int:
    """Bytes of a piece, which holds its first token, counted in its span, and its length: 4 where all fit, else 8.

    The sizes of spans follow from the lengths of documents, of which no more are read than decide it.
    """
    most = NUMBERS_OF_4_BYTES >> (length - 1).bit_length()
    if packing == BEST_FIT:
        fits = source.largest_block() <= most
    else:
        spans = _spans(source, packing, length)
        fits = all(span.tokens <= most for span in islice(spans, 1 if STRATEGIES[packing].first_is_largest else None))
    return 4 if fits else 8


def _spans(source: SourceStore, packing: str, sequence_length: int) -> Iterator[Span]:
    """What another packing than the default one packs together, whatever blocks the store has."""
    assert source.tokens_per_block is not None  # format 1 has no other packing
    parts = (source.shard_lengths(number) for number in range(len(source.entry["shards"])))
    yield from STRATEGIES[packing].spans(parts, sequence_length, source.tokens_per_block)


@dataclass(frozen=True, slots=True, eq=False)
class _PackedSpan:
    """What became of a span.

    Attributes:
        place: Its first token, its first document, and the tokens of this document before.
        counts: Its counts.
        rows: What it adds to the files of sums, samples and pieces; nothing where it has no sample.
    """

    place: tuple[int, int, int]
    counts: PackingCounts
    rows: Rows = ()


def _packed(packer: _Packer, workers: int) -> Iterator[_PackedSpan]:
    """What became of each span, in order; the blocks of the default packing are shared by the workers."""
    if packer.packing == BEST_FIT:
        yield from in_order(lambda block, _: packer.of_block(block), range(len(packer.source.blocks)), workers)
        return
    number = 0
    for span in _spans(packer.source, packer.packing, packer.length):
        packed = packer.of_span(span, number)
        yield packed
        number += bool(packed.counts.samples)


@dataclass(frozen=True, slots=True, eq=False)
class _Packer:
    """Packs one span after the other."""

    source: SourceStore
    packing: str
    length: int
    special_ids: list[int]
    piece_bytes: int

    def of_block(self, block: int) -> _PackedSpan:
        """A block of the store, however it was cut."""
        place = self.source.blocks[block]
        token = int(self.source.shard_starts[place["shard"], 0]) + int(place["first_token"])
        span = Span(token, self.source.first_document(block), 0, self.source.block_lengths(block))
        return self.of_span(span, block)

    def of_span(self, span: Span, number: int) -> _PackedSpan:
        """A span that becomes a block of this number, if it has a sample."""
        strategy, place = STRATEGIES[self.packing], (span.first_token, span.first_document, span.before)
        packed = strategy.pack(span.lengths, self.length)
        counts = counts_of(span, packed, strategy.cause)
        if not packed.samples:
            return _PackedSpan(place, counts)
        samples, pieces = _samples(self.source, span, packed, self.length, self.special_ids, self.piece_bytes)
        high, low = digests(
            self.source.name, self.length, self.packing, np.full(packed.samples, number), np.arange(packed.samples)
        )
        masked = masked_tokens(samples["ordinary"], STORED_PROBABILITY)
        documents = counts.documents + (span.before > 0)
        sums = (high.sum(), low.sum(), masked.sum(), counts.tokens, documents)
        sums_type = SUMS if self.packing == BEST_FIT else SPAN_SUMS
        return _PackedSpan(place, counts, (_row(sums_type, sums), samples, pieces))


def _row(kind: np.dtype[Any], values: Iterable[int]) -> NDArray[Any]:
    """A row of as many of some values as it has fields."""
    row = np.zeros(1, kind)
    for name, value in zip(kind.names or (), values, strict=False):
        row[name] = value
    return row


def _samples(
    source: SourceStore, span: Span, packed: Packed, length: int, special_ids: list[int], piece_bytes: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Samples and pieces of one block."""
    special = np.flatnonzero(np.isin(source.token_range(span.first_token, span.tokens), special_ids))
    is_ordinary = packed.lengths - (
        np.searchsorted(special, packed.starts + packed.lengths) - np.searchsorted(special, packed.starts)
    )
    samples = np.zeros(packed.samples, sample_type(length))
    samples["first_piece"] = packed.first_piece[:-1]
    samples["ordinary"] = np.add.reduceat(is_ordinary, packed.first_piece[:-1])
    bits = (length - 1).bit_length()
    pieces = (packed.starts << bits | (packed.lengths - 1)).astype(f"<u{piece_bytes}")
    return samples, pieces


def _rows_of_version_1(
    source: SourceStore, length: int, special_ids: list[int], content: dict[str, Any], progress: Progress
) -> Iterator[Rows]:
    """The same of a store of format 1."""
    samples = pieces = tokens = 0
    for block in range(len(source.blocks)):
        rows = packed_rows(source, block, length, special_ids)
        rows[1]["first_piece"] += pieces
        of_block = int(rows[1]["tokens"].sum())
        yield rows
        tokens += of_block
        progress(of_block)
        samples, pieces = samples + len(rows[1]), pieces + len(rows[2])
    if tokens != source.entry["tokens"]:
        raise AssertionError(f"packing holds {tokens} of {source.entry['tokens']} tokens")
    content |= {"samples": samples, "pieces": pieces, "tokens": tokens}
