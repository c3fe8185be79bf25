"""Copies micro-batches to the device, and sums their losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from dist_epochs.corpus.objective import IGNORED, Objective
from dist_epochs.corpus.stream import MicroBatch

__all__ = ["DeviceBatch", "loss_scale", "loss_sum", "to_device"]


@dataclass(frozen=True, slots=True)
class DeviceBatch:
    """A micro-batch as the model takes it.

    Attributes:
        input_ids: Shape (samples, length).
        attention_mask: Which position attends to which, boolean, shape (samples, 1, length, length); None for
            models that are not causal, where every sample is one document without padding.
        positions: Flat indices of the outputs that the loss counts, computed on the host; then zeros, so that there are
            as many for every micro-batch of this shape.
        targets: The ids that these outputs must predict, same shape as `positions`; then −100.
    """

    input_ids: Tensor
    attention_mask: Tensor | None
    positions: Tensor
    targets: Tensor


def to_device(batch: MicroBatch, device: torch.device, objective: Objective) -> DeviceBatch:
    """Copy a micro-batch to the device without waiting for it.

    Pieces of different documents do not attend to each other. Padding attends to padding, so that no row of the
    attention is empty.
    """
    labels, samples = batch.labels.reshape(-1), len(batch.input_ids)
    counted = np.flatnonzero(labels != IGNORED)
    positions = np.zeros(samples * objective.most_loss_tokens(batch.input_ids.shape[1]), np.int64)
    targets = np.full_like(positions, IGNORED)
    positions[: len(counted)], targets[: len(counted)] = counted, labels[counted]
    arrays = (batch.input_ids, batch.segments, positions, targets)
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    if device.type == "cuda":
        tensors = [tensor.pin_memory() for tensor in tensors]
    ids, segments, where, wanted = (tensor.to(device, non_blocking=True) for tensor in tensors)
    # a causal model without a mask looks for packed documents itself, and waits for the device until it knows
    if not objective.is_causal and batch.segments.min() > 0 and (batch.segments == batch.segments[:, :1]).all():
        return DeviceBatch(ids, None, where, wanted)
    mask = segments[:, None, :, None] == segments[:, None, None, :]
    return DeviceBatch(ids, mask.tril() if objective.is_causal else mask, where, wanted)


def loss_sum(model: nn.Module, batch: DeviceBatch) -> Tensor:
    """Cross entropy summed over the loss tokens of one micro-batch of this rank, in float32.

    Args:
        model: A `LossModel`, prepared or not.
        batch: The micro-batch.
    """
    loss: Tensor = model(batch.input_ids, batch.attention_mask, batch.positions, batch.targets)
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
