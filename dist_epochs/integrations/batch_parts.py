"""Finds the tensors of a batch that are counted, whatever kind of object the batch is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from dist_epochs.errors import InputError

__all__ = ["BatchParts", "is_second_a_mask", "is_text", "parts_of"]


@dataclass(frozen=True, slots=True)
class BatchParts:
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


def parts_of(batch: object, *, second_is_mask: bool) -> BatchParts:
    """Find the tensors to count.

    Args:
        batch: The batch.
        second_is_mask: Whether the second tensor of a tuple is an attention mask; else it is labels.

    Raises:
        InputError: If nothing in it shows how many samples it holds.
    """
    if isinstance(batch, Sequence) and batch and isinstance(batch[0], Mapping):
        if any(isinstance(part, Mapping) for part in batch[1:]):
            raise _several_batches()
        batch = batch[0]  # (inputs, target)
    if isinstance(batch, Mapping) and isinstance(batch.get("input_ids"), Tensor) and batch["input_ids"].dim():
        return _text(batch, batch["input_ids"])
    tensors = list(_tensors(batch))
    if not tensors:
        return BatchParts(_length(batch))
    if not isinstance(batch, Mapping) and is_text(tensors[0]):
        alike = [tensor for tensor in tensors[1:3] if tensor.shape == tensors[0].shape]
        names = ("attention_mask", "labels") if second_is_mask else ("labels",)
        return _text(dict(zip(names, alike, strict=False)), tensors[0])
    largest = max(tensors, key=Tensor.numel)
    return BatchParts(len(largest), content=largest)


def _text(named: Mapping[str, Any], ids: Tensor) -> BatchParts:
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
    if not is_text(ids):
        return BatchParts(samples, content=ids)
    mask, labels = named.get("attention_mask"), named.get("shift_labels", named.get("labels"))
    mask = mask if isinstance(mask, Tensor) and mask.shape == ids.shape else None
    labels = labels if isinstance(labels, Tensor) and is_text(labels) and labels.shape[0] == samples else None
    places = named.get("position_ids")
    one_row = mask is None and samples == 1 and isinstance(places, Tensor) and places.shape == ids.shape
    return BatchParts(samples, content=ids, ids=ids, mask=mask, labels=labels, restarts=places if one_row else None)


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


def is_second_a_mask(batch: object) -> bool:
    """Whether the second tensor of a tuple is an attention mask, and not labels of 0 and 1. May wait for a device.

    A mask is 1 along one stretch of each sample, and where it is 0 all ids are the same one, that of padding.
    """
    tensors = list(islice(_tensors(batch), 2))
    if isinstance(batch, Mapping) or len(tensors) < 2:
        return False
    first, second = tensors
    if second.shape != first.shape or not is_text(second) or not second.numel():
        return False
    ones = second == 1
    if not bool((ones | (second == 0)).all()):
        return False
    steps = ones[:, 1:].to(torch.int8) - ones[:, :-1].to(torch.int8)
    padding = first[~ones]
    one_stretch = (steps == 1).sum(1) + ones[:, 0] == 1
    return bool(one_stretch.all()) and bool((padding == padding[:1]).all())


def is_text(values: Tensor) -> bool:
    """Whether a tensor is samples × positions of integers."""
    return values.dim() == 2 and not values.is_floating_point() and not values.is_complex()
