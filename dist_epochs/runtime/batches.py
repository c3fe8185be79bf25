"""What a batch of somebody else's loop holds, counted where it is: on the host or on a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dist_epochs.errors import InputError
from dist_epochs.runtime.host_copy import HostCopy

__all__ = ["BatchCounter", "BatchCounts"]

IGNORED = -100
"""Label of a position that the loss does not count, as in torch's cross entropy."""

SHOWN = 1024
"""Numbers of an image or another sample that is not text, that tell it from others."""

LEFT, RIGHT, STEP = 0x9E3779B97F4A7C15 - 2**64, 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64
"""Odd multipliers of splitmix64, as signed 64-bit integers."""


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """Counts of one micro-batch on this rank, on their way to the host.

    Attributes:
        positions: Samples × length, padding included; 0 where samples have no length.
        rest: Samples, tokens, loss tokens, first tokens among these, and the two halves of the digest.
    """

    positions: int
    rest: HostCopy


class BatchCounter:
    """Counts batches; a handful of small operations on the device where the batch is, and no wait.

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
        self._weights: dict[tuple[int, torch.device], Tensor] = {}

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
        first, mask, labels, restarts = _parts(batch)
        positions = first.numel() if _is_text(first) else 0
        zero = torch.zeros((), dtype=torch.int64, device=first.device)
        samples = zero + len(first) if restarts is None else (restarts == 0).sum()
        counts = [samples, zero + positions if mask is None else mask.sum(dtype=torch.int64), zero, zero]
        if labels is not None:
            counted = labels != IGNORED
            counts[2:] = [counted.sum(), counted[:, 0].sum()]
        return BatchCounts(positions, HostCopy(torch.stack([*counts, *self._digest(first, mask)])))

    def _digest(self, first: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Two wrapping sums over the samples of a hash of each."""
        rows = _numbers(first)
        if mask is not None and mask.shape == rows.shape:
            rows = rows * mask
        key = (rows.shape[1], rows.device)
        if key not in self._weights:
            self._weights[key] = _mix(torch.arange(1, rows.shape[1] + 1, device=rows.device) * STEP) | 1
        sums = (rows * self._weights[key]).sum(dim=1)
        return _mix(sums + LEFT).sum(), _mix(sums ^ RIGHT).sum()


def _mix(values: Tensor) -> Tensor:
    """Scatter the bits of 64-bit integers."""
    values = (values ^ (values >> 31)) * RIGHT
    values = (values ^ (values >> 29)) * STEP
    return values ^ (values >> 32)


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
