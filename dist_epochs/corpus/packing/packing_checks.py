"""Checks of packings: of the counts, and of the samples of stores of format 1, a million of them at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dist_epochs.corpus.stores.damage import check_keys, damaged_packing, is_sha256, shown
from dist_epochs.errors import InputError
from dist_epochs.runtime.files import digest_of_json

__all__ = ["DIGESTS", "FILES", "PIECE_BYTES", "STRATEGY", "check_counts", "check_packing"]

FILES = {1: ("blocks", "samples", "pieces"), 2: ("blocks", "sums", "samples", "pieces")}
"""The files of a packing beside its packing.json, by the format of the store."""

PACKING_COUNTS = ("sequence_length", "samples", "pieces", "tokens")
PIECE_BYTES = "piece_bytes"
STRATEGY = "packing"
MORE_COUNTS = {"blocks": 1, "documents": 1, "documents_cut": 0, "tokens_truncated": 0, "tokens_dropped": 0}
"""Counts since format 2, and the least each can be."""
DIGESTS = "sha256"
"""Key of packing.json that holds the SHA-256 of each of its files; older stores have none."""

SAMPLES_AT_ONCE = 2**20
"""Samples that are checked at once."""

Integers = NDArray[np.int64]


def check_counts(
    written: dict[str, Any], path: Path, packing: str, sequence_length: int, tokens: int, version: int
) -> dict[str, Any]:
    """The counts of a packing, checked against each other.

    Args:
        written: What packing.json holds.
        path: Its place.
        packing: The strategy.
        sequence_length: Its length.
        tokens: Tokens of the source.
        version: Format of the store.

    Raises:
        InputError: If they contradict each other, or the source.
    """
    counts = dict(written)
    if version > 1 and (found := counts.pop("digest", None)) != (digest := digest_of_json(counts)):
        raise damaged_packing(path, f"its digest is {digest} and not {shown(found)}, as it says")
    names = PACKING_COUNTS if version == 1 else (*PACKING_COUNTS, *MORE_COUNTS, STRATEGY, PIECE_BYTES, DIGESTS)
    try:
        check_keys(counts, names, path, may=(DIGESTS,) if version == 1 else ())
    except InputError as error:
        raise damaged_packing(path, error.asked) from None
    for name, least in (dict.fromkeys(PACKING_COUNTS, 1) | (MORE_COUNTS if version > 1 else {})).items():
        if type(counts[name]) is not int or counts[name] < least:
            rule = f"must be a whole number of at least {least}"
            raise damaged_packing(path, f"{name} is {shown(counts[name])} and {rule}")
    lost = counts["tokens_truncated"] + counts["tokens_dropped"] if version > 1 else 0
    for name, expected in (("sequence_length", sequence_length), ("tokens", tokens - lost)):
        if counts[name] != expected:
            raise damaged_packing(path, f"{name} is {shown(counts[name])} and must be {expected:,}")
    if version > 1 and counts[STRATEGY] != packing:
        raise damaged_packing(path, f"{STRATEGY} is {shown(counts[STRATEGY])} and must be {packing}")
    tokens, places = counts["tokens"], counts["samples"] * sequence_length
    if tokens > places or not counts["samples"] <= counts["pieces"] <= tokens:
        numbers = (
            f"{shown(counts['samples'])} samples and {shown(counts['pieces'])} pieces of length {sequence_length:,}"
        )
        raise damaged_packing(path, f"{numbers} cannot hold {tokens:,} tokens")
    if version > 1 and counts[PIECE_BYTES] not in (4, 8):
        raise damaged_packing(path, f"{PIECE_BYTES} is {shown(counts[PIECE_BYTES])} and must be 4 or 8")
    files = FILES[version]
    digests = counts.get(DIGESTS, dict.fromkeys(files, "0" * 64))
    if not isinstance(digests, dict) or digests.keys() != set(files) or not all(map(is_sha256, digests.values())):
        raise damaged_packing(path, f"{DIGESTS} is {shown(digests)} and must be a SHA-256 of {', '.join(files)}")
    return counts


def check_packing(
    folder: Path,
    sequence_length: int,
    files: tuple[Integers, NDArray[Any], NDArray[Any]],
    blocks: NDArray[Any],
    lengths: Integers,
) -> None:
    """Check that every sample consists of pieces of documents of its block, and that every token is in one of them.

    Args:
        folder: The folder of the packing.
        sequence_length: Its length.
        files: Samples of each block, samples and pieces; of the sizes that packing.json says.
        blocks: The index of the blocks.
        lengths: Tokens of each document.

    Raises:
        InputError: With the file that is wrong.
    """
    block_samples, samples, pieces = files
    _check_blocks(folder / "blocks", block_samples, len(samples))
    _check_samples(folder / "samples", samples, sequence_length, len(pieces), int(lengths.sum()))
    ends = np.cumsum(block_samples)
    before = np.concatenate(([0], np.cumsum(lengths)))
    documents = blocks["documents"].astype(np.int64)
    spans = np.stack([np.cumsum(documents) - documents, documents], axis=1)
    for start in range(0, len(samples), SAMPLES_AT_ONCE):
        here = samples[start : start + SAMPLES_AT_ONCE]
        block = np.searchsorted(ends, np.arange(start, start + len(here)), side="right")
        first = here["first_piece"] - here["first_piece"][0]
        own = pieces[here["first_piece"][0] :][: int(here["pieces"].sum(dtype=np.int64))]
        _check_pieces(folder / "pieces", own, np.repeat(spans[block], here["pieces"], axis=0), before)
        found = np.add.reduceat(own["length"].astype(np.int64), first)
        wrong = np.flatnonzero(found != here["tokens"])
        if len(wrong):
            at = int(wrong[0])
            raise damaged_packing(
                folder / "samples",
                f"sample {start + at:,} has {here['tokens'][at]:,} tokens and its pieces {found[at]:,}",
            )


def _check_blocks(path: Path, block_samples: Integers, samples: int) -> None:
    wrong = np.flatnonzero((block_samples < 1) | (block_samples > samples))
    if len(wrong):
        at = int(wrong[0])
        raise damaged_packing(path, f"block {at:,} has {block_samples[at]:,} samples of {samples:,}")
    if (found := int(block_samples.sum())) != samples:
        raise damaged_packing(path, f"its blocks have {found:,} samples, and packing.json says {samples:,}")


def _check_samples(path: Path, samples: NDArray[Any], length: int, pieces: int, tokens: int) -> None:
    piece_counts = samples["pieces"].astype(np.int64)
    ends = np.cumsum(piece_counts)
    fits = (
        (piece_counts >= 1)
        & (samples["first_piece"] == ends - piece_counts)
        & (samples["tokens"] >= 1)
        & (samples["tokens"] <= length)
        & (samples["ordinary"] >= 0)
        & (samples["ordinary"] <= samples["tokens"])
    )
    if not fits.all():
        at = int(np.flatnonzero(~fits)[0])
        numbers = ", ".join(f"{samples[name][at]:,} {name}" for name in ("pieces", "tokens", "ordinary"))
        raise damaged_packing(
            path,
            f"sample {at:,} is impossible: {numbers}, its first piece {samples['first_piece'][at]:,}, which must be "
            f"{ends[at] - piece_counts[at]:,}, at length {length:,}",
        )
    for what, found, expected in (
        ("pieces", int(ends[-1]), pieces),
        ("tokens", int(samples["tokens"].sum(dtype=np.int64)), tokens),
    ):
        if found != expected:
            raise damaged_packing(path, f"its samples have {found:,} {what} and must have {expected:,}")


def _check_pieces(path: Path, pieces: NDArray[Any], spans: Integers, before: Integers) -> None:
    """Check that every piece is a part of one document of its block."""
    document, start, length = pieces["document"], pieces["start"], pieces["length"]
    first, documents = spans.T
    fits = (document >= first) & (document < first + documents)
    known = np.where(fits, document, 0)
    begin, end = before[known] - before[first], before[known + 1] - before[first]
    fits &= (length >= 1) & (start >= begin) & (start <= end - length)
    if not fits.all():
        piece = pieces[int(np.flatnonzero(~fits)[0])]
        numbers = ", ".join(f"{name} {piece[name]:,}" for name in ("document", "start", "length"))
        raise damaged_packing(path, f"a piece lies outside its block or document: {numbers}")
