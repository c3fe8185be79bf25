"""How stores of format 1 pack: best-fit-decreasing inside a block, with no token left out.

The number of samples depends on document lengths alone, so it is the same in every pass and known
before a run. A document longer than the sample is cut at multiples of the sample's length; the
pieces of a block are placed longest first, each into the fullest sample that still has room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Piece", "pack_block"]


class Piece(NamedTuple):
    """Consecutive tokens of one document.

    Attributes:
        document: Index of the document within its block.
        start: First token, counted from the start of the block.
        length: Tokens.
    """

    document: int
    start: int
    length: int


def pack_block(lengths: Sequence[int], sequence_length: int) -> list[list[Piece]]:
    """Pack the documents of one block into samples of at most `sequence_length` tokens.

    Args:
        lengths: Tokens of each document, at least 1.
        sequence_length: Positions of a sample.

    Returns:
        The samples, each a list of pieces in the order they were placed.

    Examples:
        >>> [[piece.length for piece in sample] for sample in pack_block([5, 2, 3], 4)]
        [[4], [3, 1], [2]]
    """
    pieces = _cut(lengths, sequence_length)
    pieces.sort(key=lambda piece: -piece.length)  # stable: equal lengths keep the corpus order
    samples: list[list[Piece]] = []
    open_samples: list[list[int]] = [[] for _ in range(sequence_length + 1)]  # by room left
    rooms = 0  # bit r is set where some sample has room r
    for piece in pieces:
        fitting = rooms >> piece.length
        if fitting:
            room = piece.length + (fitting & -fitting).bit_length() - 1
            index = open_samples[room].pop()
            if not open_samples[room]:
                rooms &= ~(1 << room)
            samples[index].append(piece)
        else:
            room = sequence_length
            index = len(samples)
            samples.append([piece])
        left = room - piece.length
        if left:
            open_samples[left].append(index)
            rooms |= 1 << left
    return samples


def _cut(lengths: Sequence[int], sequence_length: int) -> list[Piece]:
    pieces = []
    start = 0
    for document, length in enumerate(lengths):
        end = start + length
        pieces += [
            Piece(document, begin, min(sequence_length, end - begin)) for begin in range(start, end, sequence_length)
        ]
        start = end
    return pieces
