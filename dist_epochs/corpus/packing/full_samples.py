"""Fills samples to the last position where pieces are small and alike, which the longest first cannot do.

Best fit of the longest first repeats one length until less than the shortest piece is left, some positions in every
sample. Here one of them gives way to two shorter pieces that fill the sample. The others are left to best fit.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["fill_samples"]

Integers = NDArray[np.int64]

FEWER = 3
"""How many of the repeated length may give way."""


def fill_samples(sizes: Integers, sequence_length: int) -> tuple[Integers, int]:
    """Make samples that are full, each of one length and at most two others.

    Args:
        sizes: Tokens of each piece, longest first.
        sequence_length: Positions of a sample.

    Returns:
        The sample of each piece, -1 where it has none, and how many samples there are.

    Examples:
        >>> fill_samples(np.array([5, 5, 5, 4, 3, 3]), 12)
        (array([ 0, -1, -1,  0,  0, -1]), 1)
    """
    values, first = np.unique(-sizes, return_index=True)
    counts = dict(zip((-values).tolist(), np.diff(np.append(first, len(sizes))).tolist(), strict=True))
    next_piece = dict(zip((-values).tolist(), first.tolist(), strict=True))
    sample = np.full(len(sizes), -1, np.int64)
    samples = 0
    for value in counts:
        while (pattern := _pattern(value, counts, sequence_length)) is not None:
            many = min(counts[size] // times for size, times in pattern.items())
            for size, times in pattern.items():
                at = next_piece[size]
                sample[at : at + many * times] = np.repeat(np.arange(samples, samples + many), times)
                next_piece[size] += many * times
                counts[size] -= many * times
            samples += many
    return sample, samples


def _pattern(value: int, counts: Mapping[int, int], sequence_length: int) -> dict[int, int] | None:
    """How often each length stands in a full sample with as much of one length as there can be."""
    most = min(sequence_length // value, counts[value])
    for times in range(most, max(most - FEWER, 0), -1):
        left = sequence_length - times * value
        if not left:
            return {value: times}
        if counts.get(left, 0) and left < value:
            return {value: times, left: 1}
        pairs = [
            (min(counts[size], counts.get(left - size, 0)), size)
            for size in counts
            if size < value and size * 2 >= left and counts.get(left - size, 0) > (size * 2 == left)
        ]
        if pairs and (best := max(pairs))[0]:
            size = best[1]
            return {value: times, size: 2} if size * 2 == left else {value: times, size: 1, left - size: 1}
    return None
