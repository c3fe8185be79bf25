"""Copies micro-batches to the device, and sums their losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dist_epochs.corpus.streaming.objective import IGNORED, Objective
from dist_epochs.corpus.streaming.stream import MicroBatch

__all__ = ["DeviceBatch", "loss_scale", "loss_sum", "to_device"]

BORDERS_STEP = 64
"""Borders of documents are so many, or twice as many, and so on."""


@dataclass(frozen=True, slots=True)
class DeviceBatch:
    """A micro-batch as the model takes it.

    Attributes:
        input_ids: Shape (samples, length).
        attention_mask: Which position attends to which, boolean, shape (samples, 1, length, length); None where `ends`
            keep documents apart, and, for models that are not causal, where every sample is one document without
            padding.
        positions: Flat indices of the outputs that the loss counts, computed on the host; then zeros, so that there are
            as many for every micro-batch of this shape.
        targets: The ids that these outputs must predict, same shape as `positions`; then −100.
        ends: First positions of documents in the flattened batch and its length, int32, the last one repeated; None
            where a mask keeps them apart.
    """

    input_ids: Tensor
    attention_mask: Tensor | None
    positions: Tensor
    targets: Tensor
    ends: Tensor | None = None


def to_device(
    batch: MicroBatch,
    device: torch.device,
    objective: Objective,
    *,
    by_ends: bool = False,
    always_masks: bool = False,
) -> DeviceBatch:
    """Copy a micro-batch to the device without waiting for it.

    Pieces of different documents do not attend to each other. Padding attends to padding, so that no row of the
    attention is empty.

    Args:
        batch: The micro-batch, on the host.
        device: Where to.
        objective: Which tokens the loss counts.
        by_ends: Whether the ends of the documents keep them apart, and no mask.
        always_masks: Whether to make a mask where none is needed, too: a compiled model is one for each kind of input.
    """
    labels, samples = batch.labels.reshape(-1), len(batch.input_ids)
    counted = np.flatnonzero(labels != IGNORED)
    positions = np.zeros(samples * objective.most_loss_tokens(batch.input_ids.shape[1]), np.int64)
    targets = np.full_like(positions, IGNORED)
    positions[: len(counted)], targets[: len(counted)] = counted, labels[counted]
    borders = _borders(batch.segments) if by_ends else batch.segments
    arrays = (batch.input_ids, borders, positions, targets)
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    if device.type == "cuda":
        tensors = [tensor.pin_memory() for tensor in tensors]
    ids, apart, where, wanted = (tensor.to(device, non_blocking=True) for tensor in tensors)
    if by_ends:
        return DeviceBatch(ids, None, where, wanted, apart)
    # a causal model without a mask looks for packed documents itself, and waits for the device until it knows
    can_do_without = not (always_masks or objective.is_causal) and batch.segments.min() > 0
    if can_do_without and (batch.segments == batch.segments[:, :1]).all():
        return DeviceBatch(ids, None, where, wanted)
    mask = apart[:, None, :, None] == apart[:, None, None, :]
    return DeviceBatch(ids, mask.tril() if objective.is_causal else mask, where, wanted)


def _borders(segments: NDArray[np.int64]) -> NDArray[np.int32]:
    """First positions of all pieces in the flattened batch, padding being one, and then its length.

    The length is repeated up to a multiple of 64 numbers, so that few shapes occur; such a piece is empty.
    """
    begins = np.ones_like(segments, bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    starts = np.flatnonzero(begins)
    ends = np.full(-(-(len(starts) + 1) // BORDERS_STEP) * BORDERS_STEP, segments.size, np.int32)
    ends[: len(starts)] = starts
    return ends


def loss_sum(model: nn.Module, batch: DeviceBatch) -> Tensor:
    """Cross entropy summed over the loss tokens of one micro-batch of this rank, in float32.

    Args:
        model: A `LossModel`, prepared or not.
        batch: The micro-batch.
    """
    loss: Tensor = model(batch.input_ids, batch.attention_mask, batch.positions, batch.targets, batch.ends)
    return loss


def loss_scale(loss_tokens: int, processes: int) -> float:
    """What every micro-batch's loss sum is multiplied by before its backward pass.

    The gradient is then that of the mean over all loss tokens of the step, whatever the padding and the world: DDP and
    FSDP2 average over the ranks, which the factor takes back.

    Args:
        loss_tokens: Tokens that the loss counts, in the whole step over all ranks.
        processes: Processes; all of them are data-parallel ranks.
    """
    return processes / max(1, loss_tokens)
