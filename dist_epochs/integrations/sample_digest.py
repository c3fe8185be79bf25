"""Hashes of samples, by which ranks find that they drew the same ones."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from dist_epochs.integrations.batch_parts import is_text

__all__ = ["Array", "SampleDigests", "identifying_numbers"]

Array: TypeAlias = Any
"""A tensor or a numpy array: the same operators, wrapping 64-bit integers."""

NUMBERS_PER_DIMENSION = 12
"""Numbers along each dimension that are hashed to identify an image, or another sample that is not text."""

FIRST_MULTIPLIER, SECOND_MULTIPLIER = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64
"""Odd multipliers of splitmix64, as signed 64-bit integers."""


class SampleDigests:
    """Hashes the samples of batches; keeps the weight of each position, on every device that it has seen."""

    def __init__(self) -> None:
        self._weights: dict[object, Array] = {}

    def of(self, rows: Array, mask: Array | None) -> Array:
        """A hash of each sample.

        Args:
            rows: Samples × 64-bit integers.
            mask: What is hashed of them, where it is of their shape: text without its padding.
        """
        if mask is not None and mask.shape == rows.shape:
            rows = rows * mask
        width, place = rows.shape[1], getattr(rows, "device", "cpu")
        if place not in self._weights or len(self._weights[place]) < width:
            numbers = torch.arange(1, 2 * width + 1, device=place)
            self._weights[place] = _mix(numbers * SECOND_MULTIPLIER) | 1
            if isinstance(rows, np.ndarray):
                self._weights[place] = self._weights[place].numpy()
        weights = self._weights[place][:width]
        # numpy's product takes a quarter of the time; torch has none of integers on a GPU
        return _mix(rows.dot(weights) if isinstance(rows, np.ndarray) else (rows * weights).sum(1))


def identifying_numbers(values: Tensor) -> Tensor:
    """Samples × 64-bit integers that identify each sample."""
    if is_text(values):
        return values.to(torch.int64)
    for at, size in enumerate(values.shape[1:], 1):
        values = values[(slice(None),) * at + (slice(None, None, -(-size // NUMBERS_PER_DIMENSION) or 1),)]
    flat = values.reshape(len(values), -1) if values.numel() else values.new_zeros((len(values), 1))
    if flat.is_complex():
        flat = torch.view_as_real(flat).flatten(1)
    if flat.is_floating_point():
        flat = flat.to(torch.float32).contiguous().view(torch.int32)
    return flat.to(torch.int64)


def _mix(values: Array) -> Array:
    """Scatter the bits of 64-bit integers."""
    values = (values ^ (values >> 31)) * FIRST_MULTIPLIER
    values = (values ^ (values >> 29)) * SECOND_MULTIPLIER
    return values ^ (values >> 32)
