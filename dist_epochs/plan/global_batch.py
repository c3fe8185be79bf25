"""The global batch of a phase in samples, from whatever the recipe states of it."""

from __future__ import annotations

from dist_epochs.arithmetic.batch import BatchError, GlobalBatch, cannot_build
from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.arithmetic.ramp import Ramp
from dist_epochs.plan.recipe import BatchRecipe, PhaseRecipe

__all__ = ["batch_of", "lay_over_devices"]


def batch_of(batch: BatchRecipe, phase: PhaseRecipe) -> int | Ramp:
    """Samples per step over all devices in one phase, or the ramp they follow.

    Raises:
        BatchError: If tokens do not make whole samples, or the factors contradict the stated batch.
    """
    length = phase.sequence_length or 1
    if phase.global_batch is not None:
        return _samples(phase.global_batch, length)
    if batch.ramp is not None and batch.ramp.stages is not None:
        return batch.ramp.levels(0)
    samples = _samples(batch.global_batch, length) if batch.global_batch else _product(batch)
    complete = batch.data_parallel_size and batch.per_device and batch.gradient_accumulation
    if complete and samples != _product(batch):
        raise BatchError(
            f"global batch {samples} is stated, but {batch.data_parallel_size} devices × {batch.per_device} samples × "
            f"{batch.gradient_accumulation} micro-steps = {_product(batch)}. Leave one of them out, or correct it."
        )
    return batch.ramp.levels(samples) if batch.ramp else samples


def lay_over_devices(batch: BatchRecipe, samples: int, data_parallel_size: int, *, partial: bool) -> GlobalBatch:
    """How one phase's batch lies over the devices.

    Args:
        batch: The recipe's.
        samples: The global batch.
        data_parallel_size: Devices that see different data.
        partial: Whether this is the last, partial step, which devices share as evenly as it goes.

    Raises:
        BatchError: If the devices cannot build it.
    """
    uneven = partial or batch.uneven == "allow"
    if batch.per_device is None and samples % data_parallel_size and not uneven:
        raise BatchError(cannot_build(samples, data_parallel_size))
    accumulation = batch.gradient_accumulation or 1
    each = -(-samples // data_parallel_size)
    per_device = batch.per_device or -(-each // accumulation)
    return GlobalBatch(
        samples=samples,
        data_parallel_size=data_parallel_size,
        per_device=per_device,
        uneven=uneven,
    )


def _product(batch: BatchRecipe) -> int:
    """Devices × per device × accumulation; one device and one micro-step where nothing is said."""
    assert batch.per_device is not None  # the recipe checks it
    return (batch.data_parallel_size or 1) * batch.per_device * (batch.gradient_accumulation or 1)


def _samples(stated: Quantity, length: int) -> int:
    samples = stated.value / length if stated.unit in (Unit.TOKEN, Unit.POSITION) else stated.value
    if samples.denominator == 1:
        return int(samples)
    below = int(samples)
    fits = " and ".join(f"{count * length:,} ({count} samples)" for count in (below, below + 1) if count)
    raise BatchError(
        f"global batch {stated.text!r} is {float(samples):.4g} samples of length {length}, not a whole number. "
        f"Nearest: {fits}. Nothing was rounded."
    )
