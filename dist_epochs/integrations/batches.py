"""Counts what a batch of a user's own loop holds, on the device that holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

NUMBERS_PER_DIMENSION = 12
"""Numbers along each dimension that are hashed to identify an image, or another sample that is not text."""

FIRST_MULTIPLIER, SECOND_MULTIPLIER = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64
"""Odd multipliers of splitmix64, as signed 64-bit integers."""


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """Counts of one micro-batch on this rank, which may still be on their way to the host.

    Attributes:
        positions: Samples × length, padding included; 0 where samples have no length.
        rest: Samples, tokens, loss tokens, first tokens among these, and a digest of 64 bits (0 if there is none).
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


@dataclass(frozen=True, slots=True)
class _Parts:
    """The tensors of a batch that are counted.

    Attributes:
        samples: Samples, by the first dimension.
        content: What identifies a sample: token ids, or the largest tensor.
        ids: Token ids, samples × positions.
        mask: The attention mask, of the same shape: 0 where padded.
        labels: Labels, samples × positions.
        restarts: The position of each token in its sample, where one long row holds several samples.
    """

    samples: int
    content: Tensor | None = None
    ids: Tensor | None = None
    mask: Tensor | None = None
    labels: Tensor | None = None
    restarts: Tensor | None = None


NO_COUNTS = BatchCounts(0, Arrived([0] * 5))


class BatchCounter:
    """Counts batches, by a few small operations on the device of the batch, without waiting for it.

    A batch is a mapping with `input_ids` (and `attention_mask`, `labels`), or any mapping, tuple or list of tensors
    whose first dimension is the samples. The digest of a sample follows from its token ids at their positions
    (without padding, where a mask shows it), or from numbers spread over its largest tensor.

    Attributes:
        units: The units that can be counted, by the first batch.
        device: The kind of device that the first batch is on.
        assumes_tokens: Whether there is no mask to show padding, so that every position is counted as a token.
        counts_restarts: Whether a batch is one long row, whose samples are counted by where `position_ids` begin again.
        shifts: Whether the labels are the inputs: then the model predicts the next token, and the loss does not count
            the first token of a sample. None before the first batch, or without labels.
    """

    nothing = NO_COUNTS
    """The counts of a batch that could not be counted."""

    def __init__(self) -> None:
        self.units: tuple[str, ...] = ()
        self.device = "cpu"
        self.assumes_tokens = False
        self.counts_restarts = False
        self._second_is_mask = False
        self._equal: HostCopy | None = None
        self._weights: dict[object, Array] = {}

    @property
    def shifts(self) -> bool | None:
        """See the attributes; waits for the first batch to be copied."""
        return None if self._equal is None else bool(self._equal.read()[0])

    def inspect(self, batch: object) -> None:
        """Find out from the first batch what the batches of this loader hold. May wait for a device, once.

        Raises:
            InputError: As `count`.
        """
        self._second_is_mask = _is_mask(_tensors(batch)) if not isinstance(batch, Mapping) else False
        parts = self._parts(batch)
        ids, labels = parts.ids, parts.labels
        self.device = parts.content.device.type if parts.content is not None else "cpu"
        self.assumes_tokens = ids is not None and parts.mask is None
        self.counts_restarts = parts.restarts is not None
        self.units = ("samples", *(("positions", "tokens") if ids is not None else ()))
        if labels is not None:
            self.units += ("loss_tokens",)
        if labels is not None and ids is not None and labels.shape == ids.shape:
            same = ((labels == ids) | (labels == IGNORED)).all()
            self._equal = HostCopy(same.to(torch.int64).reshape(1))

    def count(self, batch: object) -> BatchCounts:
        """Start counting a batch.

        Raises:
            InputError: If nothing in it shows how many samples it holds.
        """
        parts = self._parts(batch)
        if parts.content is None or not parts.samples:
            return BatchCounts(0, Arrived([parts.samples, 0, 0, 0, 0]))
        positions = 0 if parts.ids is None else parts.ids.numel()
        mask = None if parts.mask is None else _array(parts.mask) != 0
        samples = parts.samples if parts.restarts is None else (_array(parts.restarts) == 0).sum()
        tokens = positions if mask is None else mask.sum()
        loss_tokens, first_tokens = 0, 0
        if parts.labels is not None:
            counted = _array(parts.labels) != IGNORED
            loss_tokens, first_tokens = counted.sum(), counted[:, 0].sum()
        rows = _array(_numbers(parts.content))
        values = [samples, tokens, loss_tokens, first_tokens, self._digest(rows, mask)]
        if isinstance(rows, np.ndarray):
            return BatchCounts(positions, Arrived([int(value) for value in values]))
        on_device = [  # a number that the host has is written by a kernel, which nothing waits for
            value.to(torch.int64) if isinstance(value, Tensor) else torch.full((), value, device=rows.device)
            for value in values
        ]
        return BatchCounts(positions, HostCopy(torch.stack(on_device)))

    def _digest(self, rows: Array, mask: Array | None) -> Array:
        """The wrapping sum over the samples of a hash of each."""
        if mask is not None and mask.shape == rows.shape:
            rows = rows * mask
        width, place = rows.shape[1], getattr(rows, "device", "cpu")
        if place not in self._weights or len(self._weights[place]) < width:
            numbers = torch.arange(1, 2 * width + 1, device=place)
            self._weights[place] = _mix(numbers * SECOND_MULTIPLIER) | 1
            if isinstance(rows, np.ndarray):
                self._weights[place] = self._weights[place].numpy()
        return _mix((rows * self._weights[place][:width]).sum(1)).sum()

    def _parts(self, batch: object) -> _Parts:
        """Find the tensors to count."""
        if isinstance(batch, Sequence) and batch and isinstance(batch[0], Mapping):
            batch = batch[0]  # (inputs, target)
        tensors = list(_tensors(batch))
        if isinstance(batch, Mapping) and isinstance(batch.get("input_ids"), Tensor) and batch["input_ids"].dim():
            return _text(batch, batch["input_ids"])
        if not tensors:
            return _Parts(_length(batch))
        if not isinstance(batch, Mapping) and _is_text(tensors[0]):
            second = tensors[1] if len(tensors) > 1 and tensors[1].shape == tensors[0].shape else None
            named = {} if second is None else {"attention_mask" if self._second_is_mask else "labels": second}
            return _text(named, tensors[0])
        largest = max(tensors, key=Tensor.numel)
        return _Parts(len(largest), content=largest)


def _text(named: Mapping[str, Any], ids: Tensor) -> _Parts:
    """A batch of token ids."""
    if not _is_text(ids):
        return _Parts(len(ids), content=ids)
    mask, labels = named.get("attention_mask"), named.get("shift_labels", named.get("labels"))
    mask = mask if isinstance(mask, Tensor) and mask.shape == ids.shape else None
    labels = labels if isinstance(labels, Tensor) and _is_text(labels) and len(labels) == len(ids) else None
    places = named.get("position_ids")
    one_row = mask is None and len(ids) == 1 and isinstance(places, Tensor) and places.shape == ids.shape
    return _Parts(len(ids), content=ids, ids=ids, mask=mask, labels=labels, restarts=places if one_row else None)


def _tensors(batch: object) -> Iterator[Tensor]:
    """Dense tensors of a batch that have a first dimension."""
    values = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, tuple | list) else [batch]
    for value in values:
        if isinstance(value, Tensor) and value.dim() and value.layout == torch.strided and not value.is_nested:
            yield value


def _length(batch: object) -> int:
    """Samples of a batch without a tensor: the length of its first part that has one."""
    values = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, tuple | list) else ()
    for value in values:
        if isinstance(value, list | tuple):
            return len(value)
    raise InputError(
        f"a batch of type {type(batch).__name__} cannot be counted",
        rule="it holds no tensor and no list whose first dimension is its samples",
        fixes="a loader that gives a mapping, a tuple or a list of tensors",
    )


def _is_mask(tensors: Iterator[Tensor]) -> bool:
    """Whether the second tensor holds only 0 and 1, which makes it a mask and not labels."""
    first, second = next(tensors, None), next(tensors, None)
    if first is None or second is None or second.shape != first.shape or not _is_text(second):
        return False
    return bool(((second == 0) | (second == 1)).all())


def _is_text(values: Tensor) -> bool:
    """Whether a tensor is samples × positions of integers."""
    return values.dim() == 2 and not values.is_floating_point() and not values.is_complex()


def _numbers(values: Tensor) -> Tensor:
    """Samples × 64-bit integers that identify each sample."""
    if _is_text(values):
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


def _array(values: Tensor) -> Array:
    """A tensor on the host as a numpy array, whose small operations take less time; one on a device as it is."""
    if values.device.type != "cpu":
        return values.detach()
    return values.detach().numpy() if values.dtype != torch.bfloat16 else values.detach().float().numpy()
