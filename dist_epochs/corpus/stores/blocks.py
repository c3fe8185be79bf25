"""Blocks: neighbouring documents of a shard that are packed together, and read by one rank at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dist_epochs.corpus.stores.damage import damaged

__all__ = ["BLOCKS", "BLOCK_TOKENS", "ROWS_AT_ONCE", "block_rows", "check_blocks", "cut_by_documents", "cut_by_tokens"]

BLOCK_TOKENS = 7 * 2**18
"""Tokens of a block, as near as documents allow: 0.1 % padding at length 512, and positions of 21 bits as a rule."""

BLOCKS = np.dtype(
    [("shard", "<u4"), ("first_document", "<u4"), ("documents", "<u4"), ("first_token", "<u4"), ("tokens", "<u4")]
)
"""A block of the index: its shard, and which documents and tokens of the shard it has."""

ROWS_AT_ONCE = 2**16
"""Blocks that are checked at once."""

Integers = NDArray[np.int64]


def cut_by_tokens(lengths: Integers, block_tokens: int) -> Integers:
    """Where the blocks of a shard begin, with the end: as few as there can be, of about one size.

    Args:
        lengths: Tokens of each document of the shard.
        block_tokens: The most tokens of a block, but for less than a document.

    Examples:
        >>> cut_by_tokens(np.array([3, 3, 3, 3, 9, 1]), 8).tolist()
        [0, 2, 4, 6]
    """
    ends = np.cumsum(lengths)
    total = int(ends[-1])
    blocks = -(-total // block_tokens)
    cuts = np.searchsorted(ends, [total * number // blocks for number in range(1, blocks)], side="right")
    return np.unique(np.concatenate(([0], cuts, [len(lengths)])))


def cut_by_documents(documents: int, block_documents: int) -> Integers:
    """The same in stores of format 1: as many documents in each, and fewer in the last."""
    return np.append(np.arange(0, documents, block_documents), documents)


def block_rows(sizes: Sequence[Sequence[tuple[int, int]]]) -> NDArray[Any]:
    """The index of the blocks of a source.

    Args:
        sizes: Documents and tokens of each block of each shard.
    """
    rows = np.zeros(sum(map(len, sizes)), BLOCKS)
    at = 0
    for shard, blocks in enumerate(sizes):
        both = np.array(blocks, dtype=np.int64).reshape(-1, 2)
        here = rows[at : at + len(both)]
        before = np.cumsum(both, axis=0) - both
        here["shard"] = shard
        here["first_document"], here["first_token"] = before.T
        here["documents"], here["tokens"] = both.T
        at += len(both)
    return rows


def check_blocks(path: Path, blocks: int, shards: Sequence[dict[str, Any]]) -> None:
    """Check that the blocks of each shard follow each other, and have its documents and tokens.

    Args:
        path: The file of the index, of the right size.
        blocks: How many there are.
        shards: What the manifest says of the shards.

    Raises:
        InputError: With what is wrong.
    """
    sums = np.zeros((len(shards), 2), np.int64)
    last: NDArray[Any] = np.zeros(1, BLOCKS)
    for first in range(0, blocks, ROWS_AT_ONCE):
        rows = np.fromfile(path, BLOCKS, min(ROWS_AT_ONCE, blocks - first), offset=first * BLOCKS.itemsize)
        before = np.concatenate([last, rows[:-1]])
        step = rows["shard"].astype(np.int64) - before["shard"]
        goes_on = np.ones(len(rows), np.bool_)
        for begin, size in (("first_document", "documents"), ("first_token", "tokens")):
            expected = np.where(step == 0, before[begin].astype(np.int64) + before[size], 0)
            goes_on &= rows[begin] == expected
        goes_on &= ((step == 0) | (step == 1)) & (rows["shard"] < len(shards)) & (rows["documents"] > 0)
        goes_on &= rows["tokens"] >= rows["documents"]
        if not goes_on.all():
            raise damaged(path, f"block {first + int(np.flatnonzero(~goes_on)[0]):,} does not go on where one ends")
        for column, name in enumerate(("documents", "tokens")):
            sums[:, column] += np.bincount(rows["shard"], rows[name], len(shards)).astype(np.int64)
        last = rows[-1:]
    for number, shard in enumerate(shards):
        for found, name in zip(sums[number].tolist(), ("documents", "tokens"), strict=True):
            if found != shard[name]:
                raise damaged(path, f"shard {number} has {found:,} {name}, and the manifest says {shard[name]:,}")
