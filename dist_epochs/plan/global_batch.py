"""The global batch of a phase in samples, from whatever the recipe states of it."""

from __future__ import annotations

from dist_epochs.arithmetic.batch import BatchError, GlobalBatch, cannot_be_built, nearest_batches
from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.arithmetic.ramp import Ramp
from dist_epochs.arithmetic.text import rounded
from dist_epochs.recipe import BatchRecipe, PhaseRecipe

__all__ = ["batch_of", "data_parallel_size_of", "lay_over_devices", "product_of"]


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
    samples = _samples(batch.global_batch, length) if batch.global_batch else product_of(batch)
    known = (batch.data_parallel_size, batch.per_device, batch.gradient_accumulation)
    if all(known) and samples != product_of(batch):
        raise BatchError(
            f"global batch {samples} is stated, and its factors make another",
            rule=f"{batch.data_parallel_size} devices × {batch.per_device} samples × {batch.gradient_accumulation} "
            f"micro-steps = {product_of(batch)}",
            fixes=("leaving one of them out", "correcting it"),
        )
    if batch.global_batch and batch.gradient_accumulation and batch.ramp is None:
        _check_factors(samples, batch.data_parallel_size, batch.per_device, batch.gradient_accumulation)
    return batch.ramp.levels(samples) if batch.ramp else samples


def lay_over_devices(
    batch: BatchRecipe, samples: int, data_parallel_size: int, *, largest: int, partial: bool
) -> GlobalBatch:
    """How one phase's batch lies over the devices.

    Args:
        batch: The recipe's.
        samples: The global batch.
        largest: The largest global batch of the run; where samples per device are not stated, its slice is.
        data_parallel_size: Devices that see different data.
        partial: Whether this is the last, partial step, which devices share as evenly as it goes.

    Raises:
        BatchError: If the devices cannot build it.
    """
    uneven = partial or batch.uneven == "allow"
    if batch.per_device is None and samples % data_parallel_size and not uneven:
        raise cannot_be_built(samples, data_parallel_size)
    accumulation = batch.gradient_accumulation or 1
    each = -(-largest // data_parallel_size)
    per_device = batch.per_device or -(-each // accumulation)
    return GlobalBatch(
        samples=samples,
        data_parallel_size=data_parallel_size,
        per_device=per_device,
        uneven=uneven,
    )


def data_parallel_size_of(batch: BatchRecipe, phase: PhaseRecipe) -> int:
    """Devices that see different data: stated, or what global batch ÷ (per device × accumulation) leaves; else one."""
    if batch.data_parallel_size is not None:
        return batch.data_parallel_size
    if batch.global_batch is None or batch.per_device is None or batch.gradient_accumulation is None:
        return 1
    found = batch_of(batch, phase)
    samples = found.batches[-1] if isinstance(found, Ramp) else found
    _check_factors(samples, None, batch.per_device, batch.gradient_accumulation)
    return samples // (batch.per_device * batch.gradient_accumulation)


def _check_factors(samples: int, size: int | None, per_device: int | None, accumulation: int) -> None:
    """Does the stated accumulation, with whatever else is stated, divide the global batch?"""
    known = accumulation * (size or 1) * (per_device or 1)
    if samples % known:
        named = {"devices": size, "per device": per_device, "accumulation": accumulation}
        factors = " × ".join(f"{value} {name}" for name, value in named.items() if value)
        raise BatchError(
            f"global batch {samples} does not divide by {factors} = {known}",
            fixes=map(str, nearest_batches(samples, known)),
        )


def product_of(batch: BatchRecipe) -> int:
    """Devices × per device × accumulation; one device and one micro-step where nothing is said."""
    assert batch.per_device is not None  # the recipe checks it
    return (batch.data_parallel_size or 1) * batch.per_device * (batch.gradient_accumulation or 1)


def _samples(stated: Quantity, length: int) -> int:
    samples = stated.value / length if stated.unit in (Unit.TOKEN, Unit.POSITION) else stated.value
    if samples.denominator == 1:
        return int(samples)
    below = int(samples)
    raise BatchError(
        f"global batch {stated.text!r} is {rounded(samples)} samples of length {length}, not a whole number",
        fixes=(f"'{count * length:,} {stated.unit}s' ({count} samples)" for count in (below, below + 1) if count),
    )
