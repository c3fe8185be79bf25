"""Counts what a batch of a user's own loop holds, on the device that holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dist_epochs.errors import InputError
from dist_epochs.integrations.batch_parts import is_second_a_mask, parts_of
from dist_epochs.integrations.by_source import BySource
from dist_epochs.integrations.sample_digest import Array, SampleDigests, identifying_numbers
from dist_epochs.runtime.host_copy import HostCopy

__all__ = ["Arrived", "BatchCounter", "BatchCounts"]

IGNORED = -100
"""Label of a position that the loss does not count, as in torch's cross entropy."""

INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """Counts of one micro-batch on this rank, which may still be on their way to the host.

    Attributes:
        positions: Samples × length, padding included; 0 where samples have no length.
        rest: Samples, tokens, loss tokens, first tokens among these, and a digest of 64 bits (0 if there is none).
        sources: The same of each sample, where sources are counted.
        is_counted: Whether the batch could be counted.
    """

    positions: int
    rest: HostCopy | Arrived
    sources: _Sources | None = None
    is_counted: bool = True

    @property
    def arrived(self) -> bool:
        """Whether all of it is on the host."""
        return self.rest.arrived and (self.sources is None or self.sources.numbers.arrived)

    def numbers(self) -> list[int]:
        """1 if it could not be counted, positions, and the rest, when it has arrived."""
        return [int(not self.is_counted), self.positions, *map(int, self.rest.read())]

    def by_source(self) -> BySource:
        """The rest by the name of the source, when it has arrived; empty where sources are not counted."""
        return BySource() if self.sources is None else self.sources.by_name()


@dataclass(frozen=True, slots=True)
class Arrived:
    """Numbers that are on the host already."""

    values: list[Any]
    arrived: bool = True

    def read(self) -> list[Any]:
        """The numbers."""
        return self.values


@dataclass(frozen=True, slots=True)
class _Sources:
    """Counts of each sample of a micro-batch, and the source that it is from.

    Attributes:
        names: The source of each sample; None where the numbers begin with it, as an integer.
        numbers: Rows of integers, one for each sample: how many samples it is (where several are in one row), tokens,
            loss tokens, first tokens among these, digest.
    """

    names: list[str] | None
    numbers: HostCopy | Arrived

    def by_name(self) -> BySource:
        """Counts by source."""
        rows: Any = self.numbers.read()
        names, found = self.names, BySource()
        if names is None:
            names, rows = [str(number) for number in rows[0]], rows[1:]
        for name, *numbers in zip(names, *rows, strict=True):
            found.add({name: numbers})
        return found


class BatchCounter:
    """Counts batches, by a few small operations on the device of the batch, without waiting for it.

    A batch is a mapping with `input_ids` (and `attention_mask`, `labels`), or any mapping, tuple or list of tensors
    whose first dimension is the samples. The digest of a sample follows from its token ids at their positions
    (without padding, where a mask shows it), or from numbers spread over its largest tensor.

    Args:
        source: Key of a batch that names the source of each sample, as text or as integers, or that of all of them.

    Attributes:
        source: See the arguments.
        units: The units that can be counted, by the first batch.
        device: The kind of device that the first batch is on.
        assumes_tokens: Whether there is no mask to show padding, so that every position is counted as a token.
        counts_restarts: Whether a batch is one long row, whose samples are counted by where `position_ids` begin again.
        shifts: Whether the labels are the inputs: then the model predicts the next token, and the loss does not count
            the first token of a sample. None before the first batch, or without labels.
    """

    uncounted = BatchCounts(0, Arrived([0] * 5), is_counted=False)
    """What stands for a batch that cannot be counted."""

    def __init__(self, source: str | None = None) -> None:
        self.source = source
        self.units: tuple[str, ...] = ()
        self.device = "cpu"
        self.assumes_tokens = False
        self.counts_restarts = False
        self._second_is_mask = False
        self._equal: HostCopy | None = None
        self._digests = SampleDigests()

    @property
    def shifts(self) -> bool | None:
        """See the attributes; waits for the first batch to be copied."""
        return None if self._equal is None else bool(self._equal.read()[0])

    def inspect(self, batch: object) -> None:
        """Find out from the first batch what the batches of this loader hold. May wait for a device, once.

        Raises:
            InputError: As `count`.
        """
        self._second_is_mask = is_second_a_mask(batch)
        parts = parts_of(batch, second_is_mask=self._second_is_mask)
        ids, labels = parts.ids, parts.labels
        self.device = parts.content.device.type if parts.content is not None else "cpu"
        self.assumes_tokens = ids is not None and parts.mask is None and parts.restarts is None
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
        parts = parts_of(batch, second_is_mask=self._second_is_mask)
        if parts.content is None or not parts.samples:
            rows = [[1] * parts.samples, *[[0] * parts.samples] * 4]
            sources = self._sources(batch, parts.samples, rows) if self.source else None
            return BatchCounts(0, Arrived([parts.samples, 0, 0, 0, 0]), sources)
        positions = 0 if parts.ids is None else parts.ids.numel()
        mask = None if parts.mask is None else _array(parts.mask)
        samples = parts.samples if parts.restarts is None else (_array(parts.restarts) == 0).sum()
        tokens = positions if mask is None else _count(mask)
        mask = None if mask is None or (isinstance(tokens, int) and tokens == positions) else mask != 0
        loss_tokens, first_tokens, counted = 0, 0, None
        if parts.labels is not None:
            counted = _array(parts.labels) != IGNORED
            loss_tokens, first_tokens = _count(counted), _count(counted[:, 0])
        ids = _array(identifying_numbers(parts.content))
        digests = self._digests.of(ids, mask)
        values = [samples, tokens, loss_tokens, first_tokens, digests.sum()]
        sources = None
        if self.source:
            row_tokens = positions // parts.samples if mask is None else mask.sum(1)
            row_loss_tokens = (0, 0) if counted is None else (counted.sum(1), counted[:, 0])
            of_row = [1 if parts.restarts is None else samples, row_tokens, *row_loss_tokens, digests]
            sources = self._sources(batch, parts.samples, [_row(values, digests) for values in of_row])
        if isinstance(ids, np.ndarray):
            return BatchCounts(positions, Arrived([int(value) for value in values]), sources)
        on_device = [  # a number that the host has is written by a kernel, which nothing waits for
            value.to(torch.int64) if isinstance(value, Tensor) else torch.full((), value, device=ids.device)
            for value in values
        ]
        return BatchCounts(positions, HostCopy(torch.stack(on_device)), sources)

    def _sources(self, batch: object, samples: int, rows: Sequence[Any]) -> _Sources:
        """Counts of each sample with its source.

        Args:
            batch: The batch, a mapping.
            samples: Its samples.
            rows: Samples, tokens, loss tokens, first tokens and digest of each: lists, or tensors of a device.

        Raises:
            InputError: If the key is missing, or has not one source for each sample.
        """
        named: Any = batch.get(self.source) if isinstance(batch, Mapping) else None
        if isinstance(named, Tensor) and named.dtype in INTEGERS and named.numel() == samples:
            if isinstance(rows[0], Tensor):
                return _Sources(None, HostCopy(torch.stack([named.reshape(-1).to(rows[0]), *rows])))
            named = named.reshape(-1)
        names = named.tolist() if hasattr(named, "tolist") else named
        names = [names] * samples if isinstance(names, str | int) else names
        if not isinstance(names, list | tuple) or len(names) != samples:
            raise InputError(
                f"a batch of {samples} samples does not name their sources under {self.source!r}",
                rule="the key holds one name or number for each sample, or one for all of them",
                fixes="to keep the column of the sources in the collator, and to pop it before the model is called",
            )
        numbers = HostCopy(torch.stack(list(rows))) if isinstance(rows[0], Tensor) else Arrived([*map(list, rows)])
        return _Sources([str(name) for name in names], numbers)


def _row(values: Any, like: Array) -> Array:
    """A number for each sample as 64-bit integers of the same kind as `like`; one number is that of every sample."""
    if isinstance(like, Tensor):
        return torch.as_tensor(values, device=like.device).to(torch.int64).expand(len(like))
    return np.broadcast_to(np.asarray(values, np.int64), len(like)).tolist()


def _count(values: Array) -> Any:
    """How many are not 0: an int of an array on the host, a tensor of a device."""
    return np.count_nonzero(values) if isinstance(values, np.ndarray) else (values != 0).sum()


def _array(values: Tensor) -> Array:
    """A tensor on the host as a numpy array, whose small operations take less time; one on a device as it is."""
    if values.requires_grad or not values.is_cpu:
        values = values.detach()
    if not values.is_cpu:
        return values
    return values.numpy() if values.dtype != torch.bfloat16 else values.float().numpy()
