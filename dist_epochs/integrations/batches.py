"""Counts what a batch of a user's own loop holds, on the device that holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from dist_epochs.errors import InputError
from dist_epochs.integrations.by_source import BySource
from dist_epochs.runtime.host_copy import HostCopy

__all__ = ["Arrived", "BatchCounter", "BatchCounts"]

Array: TypeAlias = Any
"""A tensor or a numpy array: the same operators, wrapping 64-bit integers."""

IGNORED = -100
"""Label of a position that the loss does not count, as in torch's cross entropy."""

INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)

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
        parts = self._parts(batch)
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
        ids = _array(_numbers(parts.content))
        digests = self._digests(ids, mask)
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

    def _digests(self, rows: Array, mask: Array | None) -> Array:
        """A hash of each sample."""
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

    def _parts(self, batch: object) -> _Parts:
        """Find the tensors to count."""
        if isinstance(batch, Sequence) and batch and isinstance(batch[0], Mapping):
            if any(isinstance(part, Mapping) for part in batch[1:]):
                raise _several_batches()
            batch = batch[0]  # (inputs, target)
        if isinstance(batch, Mapping) and isinstance(batch.get("input_ids"), Tensor) and batch["input_ids"].dim():
            return _text(batch, batch["input_ids"])
        tensors = list(_tensors(batch))
        if not tensors:
            return _Parts(_length(batch))
        if not isinstance(batch, Mapping) and _is_text(tensors[0]):
            alike = [tensor for tensor in tensors[1:3] if tensor.shape == tensors[0].shape]
            names = ("attention_mask", "labels") if self._second_is_mask else ("labels",)
            return _text(dict(zip(names, alike, strict=False)), tensors[0])
        largest = max(tensors, key=Tensor.numel)
        return _Parts(len(largest), content=largest)


def _text(named: Mapping[str, Any], ids: Tensor) -> _Parts:
    """A batch of token ids.

    Raises:
        InputError: If the tokens stand in one row without a dimension for samples, and nothing tells where one begins.
    """
    if ids.dim() == 1:
        places = named.get("position_ids")
        if not isinstance(places, Tensor) or places.shape != ids.shape:
            raise InputError(
                f"input_ids of one dimension, {len(ids)} tokens",
                rule="a row of tokens is counted by where its position_ids begin again, and it has none",
                fixes=("position_ids in the batch", "input_ids of samples × positions"),
            )
        rows = {name: value[None] for name, value in named.items() if isinstance(value, Tensor) and value.dim() == 1}
        return _text(rows | {"attention_mask": None}, ids[None])
    samples = ids.shape[0]  # `len` of a tensor is a Python function of torch's
    if not _is_text(ids):
        return _Parts(samples, content=ids)
    mask, labels = named.get("attention_mask"), named.get("shift_labels", named.get("labels"))
    mask = mask if isinstance(mask, Tensor) and mask.shape == ids.shape else None
    labels = labels if isinstance(labels, Tensor) and _is_text(labels) and labels.shape[0] == samples else None
    places = named.get("position_ids")
    one_row = mask is None and samples == 1 and isinstance(places, Tensor) and places.shape == ids.shape
    return _Parts(samples, content=ids, ids=ids, mask=mask, labels=labels, restarts=places if one_row else None)


def _tensors(batch: object) -> Iterator[Tensor]:
    """Dense tensors of a batch that have a first dimension."""
    values = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, tuple | list) else [batch]
    for value in values:
        if isinstance(value, Tensor) and value.dim() and value.layout == torch.strided and not value.is_nested:
            yield value


def _length(batch: object) -> int:
    """Samples of a batch without a tensor: the length of its first part that has one."""
    values = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, tuple | list) else ()
    lists = [value for value in values if isinstance(value, list | tuple)]
    if lists and not isinstance(batch, Mapping) and all(next(_tensors(value), None) is not None for value in lists):
        raise _several_batches()
    if lists:
        return len(lists[0])
    raise InputError(
        f"a {type(batch).__name__} without a tensor or a list whose first dimension is its samples",
        rule="batches are counted by tensors, or lists, whose first dimension is their samples",
        fixes="a loader that gives a mapping, a tuple or a list of tensors",
    )


def _several_batches() -> InputError:
    return InputError(
        "a batch that consists of several batches",
        rule="which of them are samples of the data is not known",
        fixes="`ledger.watch` around one of the loaders that are zipped, the one whose passes are the run's",
    )


def _is_mask(tensors: Iterator[Tensor]) -> bool:
    """Whether the second tensor is an attention mask, and not labels of 0 and 1.

    A mask is 1 along one stretch of each sample, and where it is 0 all ids are the same one, that of padding.
    """
    first, second = next(tensors, None), next(tensors, None)
    if first is None or second is None or second.shape != first.shape or not _is_text(second) or not second.numel():
        return False
    ones = second == 1
    if not bool((ones | (second == 0)).all()):
        return False
    steps = ones[:, 1:].to(torch.int8) - ones[:, :-1].to(torch.int8)
    padding = first[~ones]
    one_stretch = (steps == 1).sum(1) + ones[:, 0] == 1
    return bool(one_stretch.all()) and bool((padding == padding[:1]).all())


def _row(values: Any, like: Array) -> Array:
    """A number for each sample as 64-bit integers of the same kind as `like`; one number is that of every sample."""
    if isinstance(like, Tensor):
        return torch.as_tensor(values, device=like.device).to(torch.int64).expand(len(like))
    return np.broadcast_to(np.asarray(values, np.int64), len(like)).tolist()


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


def _count(values: Array) -> Any:
    """How many are not 0: an int of an array on the host, a tensor of a device."""
    return np.count_nonzero(values) if isinstance(values, np.ndarray) else (values != 0).sum()


def _mix(values: Array) -> Array:
    """Scatter the bits of 64-bit integers."""
    values = (values ^ (values >> 31)) * FIRST_MULTIPLIER
    values = (values ^ (values >> 29)) * SECOND_MULTIPLIER
    return values ^ (values >> 32)


def _array(values: Tensor) -> Array:
    """A tensor on the host as a numpy array, whose small operations take less time; one on a device as it is."""
    if values.requires_grad or not values.is_cpu:
        values = values.detach()
    if not values.is_cpu:
        return values
    return values.numpy() if values.dtype != torch.bfloat16 else values.float().numpy()
