"""Packs documents into samples: best-fit-decreasing inside a block, with no token left out.

The number of samples depends on document lengths alone, so it is the same in every pass and known before a run. A
document longer than the sample is cut at multiples of the sample's length; the pieces of a block are placed longest
first, each into the fullest sample that still has room. Where that leaves much room in many samples, as with documents
of a few words, samples that can be filled to the end are made before. Pieces of one length are placed together, so the
work grows with the number of different lengths rather than with that of documents.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dist_epochs.corpus.packing.full_samples import fill_samples

__all__ = ["Packed", "best_fit", "cut", "pack_block"]

MANY_SAMPLES = 1000
"""Samples of a block from which on it is tried to have fewer: of a few, the last one has most of the padding."""
MUCH_PADDING = 0.001
"""Share of padding from which on that is tried."""

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """The samples of one block.

    Attributes:
        first_piece: The first piece of each sample, with the end.
        starts: First token of each piece, counted from the start of the block.
        lengths: Tokens of each piece.
    """

    first_piece: Integers
    starts: Integers
    lengths: Integers

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self.first_piece) - 1


def pack_block(lengths: Integers, sequence_length: int) -> Packed:
    """Pack the documents of one block into samples of at most `sequence_length` tokens.

    Args:
        lengths: Tokens of each document, at least 1.
        sequence_length: Positions of a sample.

    Examples:
        >>> packed = pack_block(np.array([5, 2, 3]), 4)
        >>> packed.first_piece.tolist(), packed.starts.tolist(), packed.lengths.tolist()
        ([0, 1, 3, 4], [0, 7, 4, 5], [4, 3, 1, 2])
    """
    return best_fit(*cut(lengths, sequence_length), sequence_length)


def best_fit(starts: Integers, sizes: Integers, sequence_length: int, *, oldest_first: bool = False) -> Packed:
    """Place pieces, longest first, each into the fullest sample that still has room.

    Args:
        starts: First token of each piece.
        sizes: Tokens of each, at most a sample's.
        sequence_length: Positions of a sample.
        oldest_first: Which of equally full samples is taken: the one that has been so for longest, or for shortest.
    """
    order = np.argsort(-sizes, kind="stable")  # equal lengths keep the corpus order
    place = _place if oldest_first else _fewest  # others know only best fit
    sample = place(sizes[order], sequence_length, oldest_first)
    order = order[np.argsort(sample, kind="stable")]
    first = np.concatenate(([0], np.cumsum(np.bincount(sample))))
    return Packed(first, starts[order], sizes[order])


def cut(lengths: Integers, sequence_length: int) -> tuple[Integers, Integers]:
    """The first token and the tokens of each piece, in the order of the documents."""
    pieces = -(-lengths // sequence_length)
    ends = np.cumsum(lengths)
    number = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    inside = number * sequence_length
    return np.repeat(ends - lengths, pieces) + inside, np.minimum(np.repeat(lengths, pieces) - inside, sequence_length)


def _fewest(sizes: Integers, sequence_length: int, oldest_first: bool) -> Integers:
    """The sample of each piece, by best fit; of many samples with padding, after full ones if there are fewer then."""
    sample = _place(sizes, sequence_length, oldest_first)
    samples = int(sample.max()) + 1
    if samples < MANY_SAMPLES or samples * sequence_length * (1 - MUCH_PADDING) < sizes.sum():
        return sample
    other, full = fill_samples(sizes, sequence_length)
    is_left = other < 0
    if is_left.any():
        other[is_left] = _place(sizes[is_left], sequence_length, oldest_first) + full
    return other if int(other.max()) + 1 < samples else sample


def _place(sizes: Integers, sequence_length: int, oldest_first: bool) -> Integers:
    """The sample of each piece; the pieces are sorted, longest first."""
    values, counts = np.unique(-sizes, return_counts=True)
    placed: list[Integers] = []
    rooms: dict[int, deque[Integers]] = {}  # samples by the room that they have left, in runs
    open_rooms = 0  # bit r is set where some sample has room r
    samples = 0
    for value, count in zip((-values).tolist(), counts.tolist(), strict=True):
        while count:
            fitting = open_rooms >> value
            if fitting:
                room = value + (fitting & -fitting).bit_length() - 1
                free = rooms[room].popleft() if oldest_first else rooms[room].pop()
            else:
                room = sequence_length
                free = np.arange(samples, samples - (-count // (room // value)))
                samples += len(free)
            each = room // value
            used, rest = free[: -(-count // each)], free[-(-count // each) :]
            if fitting:
                if len(rest) and oldest_first:
                    rooms[room].appendleft(rest)
                elif len(rest):
                    rooms[room].append(rest)
                elif not rooms[room]:
                    open_rooms &= ~(1 << room)
            taken = np.repeat(used, each)[:count]
            placed.append(taken)
            count -= len(taken)
            short = len(used) * each - len(taken)  # of the last sample, which has more room left than the others
            for run, left in (
                (used[: len(used) - (short > 0)], room - each * value),
                (used[len(used) - (short > 0) :], room - (each - short) * value),
            ):
                if len(run) and left:
                    rooms.setdefault(left, deque()).append(run)
                    open_rooms |= 1 << left
    return np.concatenate(placed)
