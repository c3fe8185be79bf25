"""What a batch of somebody else's loop holds, counted where it is: on the host or on a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from dist_epochs.errors import InputError
from dist_epochs.runtime.host_copy import HostCopy

__all__ = ["Arrived", "BatchCounter", "BatchCounts"]

Array: TypeAlias = Any
"""A tensor or a numpy array: the same operators, wrapping 64-bit integers."""

IGNORED = -100
"""Label of a position that the loss does not count, as in torch's cross entropy."""

SHOWN = 1024
"""Numbers of an image or another sample that is not text, that tell it from others."""

FIRST, SECOND = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64
"""Odd multipliers of splitmix64, as signed 64-bit integers."""


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """Counts of one micro-batch on this rank, on their way to the host.

    Attributes:
        positions: Samples × length, padding included; 0 where samples have no length.
        rest: Samples, tokens, loss tokens, first tokens among these, and a digest of 64 bits.
    """

    positions: int
    rest: HostCopy | Arrived


@dataclass(frozen=True, slots=True)
class Arrived:
    """Numbers that are on the host already."""

    values: list[int]
    arrived: bool = True

    def read(self) -> list[int]:
        """The numbers."""
        return self.values


class BatchCounter:
    """Counts batches; a handful of small operations where the batch is, and no wait for a device.

    A batch is a mapping with `input_ids` (and `attention_mask`, `labels`), or any mapping, tuple or list of tensors
    whose first dimension is the samples. The digest of a sample follows from its token ids at their positions
    (padding left out where a mask tells it), or from the first numbers of its first tensor.

    Attributes:
        units: What can be counted, from the first batch.
        assumes_tokens: Whether no mask tells padding, so that every position is taken for a token.
        counts_restarts: Whether batches are one long row, whose samples are told by where `position_ids` begin again.
        shifts: Whether the labels are the inputs: then the model predicts the next token, and the first of each
            sample is none of the loss's. None before the first batch, or without labels.
    """

    def __init__(self) -> None:
        self.units: tuple[str, ...] = ()
        self.assumes_tokens = False
        self.counts_restarts = False
        self._equal: HostCopy | None = None
        self._weights: dict[tuple[int, object], Array] = {}

    @property
    def shifts(self) -> bool | None:
        """See above; waits for the first batch."""
        return None if self._equal is None else bool(self._equal.read()[0])

    def look(self, batch: object) -> None:
        """See what the batches of this loader tell, from the first of them.

        Raises:
            InputError: As `count`.
        """
        first, mask, labels, restarts = _parts(batch)
        text = _is_text(first)
        self.assumes_tokens, self.counts_restarts = text and mask is None, restarts is not None
        self.units = ("samples", *(("positions", "tokens") if text else ()))
        if labels is not None:
            self.units += ("loss_tokens",)
        if labels is not None and labels.shape == first.shape:
            same = ((labels == first) | (labels == IGNORED)).all()
            self._equal = HostCopy(same.to(torch.int64).reshape(1))

    def count(self, batch: object) -> BatchCounts:
        """Begin to count a batch.

        Raises:
            InputError: If it holds no tensor whose first dimension could be samples.
        """
        first, *parts = _parts(batch)
        positions = first.numel() if _is_text(first) else 0
        mask, labels, restarts = (None if part is None else _array(part) for part in parts)
        rows = _array(_numbers(first))
        samples = len(first) if restarts is None else (restarts == 0).sum()
        tokens = positions if mask is None else mask.sum()
        loss_tokens, first_tokens = 0, 0
        if labels is not None:
            counted = labels != IGNORED
            loss_tokens, first_tokens = counted.sum(), counted[:, 0].sum()
        values = [samples, tokens, loss_tokens, first_tokens, self._digest(rows, mask)]
        if isinstance(rows, np.ndarray):
            return BatchCounts(positions, Arrived([int(value) for value in values]))
        on_device = [torch.as_tensor(value, device=first.device) for value in values]  # plain numbers go without a wait
        return BatchCounts(positions, HostCopy(torch.stack(on_device)))

    def _digest(self, rows: Array, mask: Array | None) -> Array:
        """The wrapping sum over the samples of a hash of each."""
        if mask is not None and mask.shape == rows.shape:
            rows = rows * mask
        width = rows.shape[1]
        place = (width, getattr(rows, "device", None))
        if place not in self._weights:
            numbers = torch.arange(1, width + 1, device=getattr(rows, "device", "cpu"))
            weights = _mix(numbers * SECOND) | 1
            self._weights[place] = weights.numpy() if isinstance(rows, np.ndarray) else weights
        return _mix((rows * self._weights[place]).sum(1)).sum()


def _mix(values: Array) -> Array:
    """Scatter the bits of 64-bit integers."""
    values = (values ^ (values >> 31)) * FIRST
    values = (values ^ (values >> 29)) * SECOND
    return values ^ (values >> 32)


def _array(values: Tensor) -> Array:
    """On the host the same numbers for numpy, whose small operations take less time; on a device as they are."""
    return values.numpy() if values.device.type == "cpu" else values


def _parts(batch: object) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Inputs; attention mask and labels of each position; positions of samples that share one row."""
    named: Mapping[str, Any] = batch if isinstance(batch, Mapping) else {}
    values = named.values() if named else batch if isinstance(batch, tuple | list) else [batch]
    tensors = [value for value in values if isinstance(value, Tensor) and value.dim() > 0]
    first = named.get("input_ids", tensors[0] if tensors else None)
    if not isinstance(first, Tensor) or first.dim() == 0:
        raise InputError(
            f"a batch of type {type(batch).__name__} holds no tensor whose first dimension is its samples, so nothing "
            "can be counted. Let the loader give a mapping, a tuple or a list of tensors."
        )
    mask = _like(named.get("attention_mask"), first)
    labels = named.get("shift_labels", named.get("labels"))
    if labels is None and not named and len(tensors) > 1 and tensors[1].shape == first.shape:
        labels = tensors[1]
    one_row = mask is None and len(first) == 1
    return first, mask, _like(labels, first), _like(named.get("position_ids"), first) if one_row else None


def _like(value: object, first: Tensor) -> Tensor | None:
    """A tensor with a number for each position of the inputs, or nothing."""
    fits = isinstance(value, Tensor) and value.dim() > 1 and _is_text(value) and len(value) == len(first)
    return value if fits and isinstance(value, Tensor) else None


def _is_text(values: Tensor) -> bool:
    """Whether a tensor is samples × positions of integers."""
    return values.dim() == 2 and not values.is_floating_point() and not values.is_complex()


def _numbers(values: Tensor) -> Tensor:
    """Samples × 64-bit integers that tell the samples apart."""
    if _is_text(values):
        return values.to(torch.int64)
    flat = values.reshape(len(values), -1)[:, :SHOWN].contiguous()
    sizes = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    if flat.is_floating_point():
        flat = flat.view(sizes[flat.element_size()])
    return flat.to(torch.int64)
