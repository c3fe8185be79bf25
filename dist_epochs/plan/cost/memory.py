"""Memory of one device: weights, gradients and Adam states exactly, activations as a range."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.errors import InputError
from dist_epochs.plan.cost.activations import ELEMENT, activation_bytes, check_counts, check_precision
from dist_epochs.plan.cost.architecture import Architecture

__all__ = ["GIB", "Fit", "Memory", "Weights", "device_memory", "fit", "states_bytes"]

GIB = 2**30
TIGHT_MEMORY = Fraction(90, 100)

STATES = {"fp32": (4, 4, 8), "tf32": (4, 4, 8), "bf16": (2, 2, 12), "fp16": (2, 2, 12)}
"""Bytes a parameter of weights, gradients and optimizer states: 16 in each precision."""

SHARDED_FROM_STAGE = (3, 2, 1)
"""The first ZeRO stage that shards weights, gradients and optimizer states."""

QUANTIZATION_CONSTANTS = Interval.between(Fraction(127, 1000), Fraction(1, 2))
"""Bits a weight for the constants of its block of 64: quantized themselves, or one of 32 bits for each block
(Dettmers et al., QLoRA, arXiv:2305.14314, section 3). 8-bit weights have one a row, which is next to nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """The parameters of a model by what is kept of them, over all devices.

    Attributes:
        trained: Those with a gradient and optimizer states.
        frozen: Those without, in the precision of the forward pass: 2 bytes each in bf16.
        quantized: Those without, in fewer bits.
        bits: How many.
        frozen_layers: Where those without are the lowest layers, how many they are; gradients do not reach them.
    """

    trained: int
    frozen: int = 0
    quantized: int = 0
    bits: int = 0
    frozen_layers: int | None = None

    @property
    def total(self) -> int:
        """All of them."""
        return self.trained + self.frozen + self.quantized

    def frozen_bytes(self, precision: str) -> Fraction:
        """Bytes of the weights that are not trained, without the constants of quantized ones.

        Raises:
            InputError: If the precision is not known.
        """
        check_precision(precision)
        return Fraction(self.frozen * ELEMENT[precision]) + Fraction(self.quantized * self.bits, 8)

    @property
    def constant_bytes(self) -> Interval:
        """Bytes of the constants that quantized weights are multiplied with."""
        has_blocks = 0 < self.bits < 8
        return QUANTIZATION_CONSTANTS * Interval.exact(Fraction(self.quantized * has_blocks, 8))


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Bytes of one device at the largest moment of a step, when the backward pass begins.

    Attributes:
        states: Weights, gradients and optimizer states.
        activations: What the backward pass needs, estimated; None where only the number of parameters is known.
        frozen_bytes: Weights that are not trained, over all devices.
    """

    states: Fraction
    activations: Interval | None
    frozen_bytes: Fraction = Fraction(0)

    @property
    def is_floor(self) -> bool:
        """Whether activations come on top of what is counted."""
        return self.activations is None

    @property
    def total(self) -> Interval:
        """All of it; the device's context and fragmentation take another 1 to 2 GiB."""
        states = Interval.exact(self.states)
        return states if self.activations is None else states + self.activations


def device_memory(
    architecture: Architecture,
    *,
    samples: int,
    sequence_length: int,
    precision: str,
    stage: int = 0,
    data_parallel_size: int = 1,
    model_parallel: int = 1,
    recompute: bool = False,
    weights: Weights | None = None,
) -> Memory:
    """What a device holds. Arguments as for `states_bytes` and `activation_bytes`; `weights` where some are frozen.

    Not counted: communication buckets, the layer that stage 3 has gathered, and the device's context.
    At stage 0 in mixed precision the high end has autocast's half-precision copies of the trained weights,
    which the backward pass keeps: 2 bytes each. The constants of quantized weights are part of the range.

    Raises:
        InputError: If a count is below 1, or stage or precision is not known.
    """
    weights = weights or Weights(trained=architecture.parameters)
    frozen_bytes = weights.frozen_bytes(precision)
    states = states_bytes(
        weights.trained, stage, data_parallel_size, precision, model_parallel, frozen_bytes=frozen_bytes
    )
    activations = activation_bytes(
        architecture,
        samples=samples,
        sequence_length=sequence_length,
        precision=precision,
        model_parallel=model_parallel,
        recompute=recompute,
        frozen_layers=weights.frozen_layers or 0,
        keeps_inputs=weights.trained == weights.total or weights.frozen_layers is not None,
    )
    copied = min(weights.trained, architecture.matmul_parameters) if stage == 0 and ELEMENT[precision] == 2 else 0
    copies, constants = Fraction(2 * copied, model_parallel), weights.constant_bytes / Interval.exact(model_parallel)
    low, high = activations.low + constants.low, activations.high + constants.high + copies
    return Memory(states=states, activations=Interval.between(low, high), frozen_bytes=frozen_bytes)


def states_bytes(
    parameters: int,
    stage: int,
    data_parallel_size: int,
    precision: str,
    model_parallel: int = 1,
    *,
    frozen_bytes: Fraction = Fraction(0),
) -> Fraction:
    """Bytes per device of weights, gradients and Adam states.

    Adam takes 16 bytes a parameter in each precision: 4 + 4 + 8 in fp32, which is also what autocast
    keeps, and 2 + 2 + 12 with half-precision weights and an fp32 master copy. They differ in what a
    stage of ZeRO can shard (Rajbhandari et al., arXiv:1910.02054, section 5): with n data-parallel
    devices and half-precision weights, stage 0 holds 16 N, stage 1 4 N + 12 N/n, stage 2 2 N + 14 N/n,
    and stage 3 16 N/n. FSDP's full shard is stage 3. Frozen weights have neither gradients nor Adam states,
    and stage 3 shards them too.

    Args:
        parameters: N, those that are trained, over all devices.
        stage: 0 (nothing sharded, as DDP) to 3 (all of it).
        data_parallel_size: Devices that see different data, n.
        precision: `fp32`, `tf32`, `bf16` or `fp16`.
        model_parallel: Devices that share one copy of the model: tensor × pipeline parallel.
        frozen_bytes: Of the weights that are not trained, over all devices.

    Raises:
        InputError: If a count is below 1, or stage or precision is not known.

    Examples:
        >>> states_bytes(1000, 0, 8, "bf16"), states_bytes(1000, 2, 8, "bf16")
        (Fraction(16000, 1), Fraction(3750, 1))
    """
    check_counts(parameters=parameters, data_parallel_size=data_parallel_size, model_parallel=model_parallel)
    check_precision(precision)
    if stage not in (0, 1, 2, 3):
        raise InputError(
            f"ZeRO stage {stage!r} does not exist",
            rule="0 shards nothing (DDP), 1 optimizer states, 2 gradients too, 3 weights too (FSDP)",
        )
    parts = zip(STATES[precision], SHARDED_FROM_STAGE, strict=True)
    each = sum((Fraction(size, data_parallel_size if stage >= first else 1) for size, first in parts), Fraction(0))
    frozen = frozen_bytes / (data_parallel_size if stage >= SHARDED_FROM_STAGE[0] else 1)
    return (parameters * each + frozen) / model_parallel


class Fit(Enum):
    """Whether a device can hold what it must."""

    FITS = "fits"
    TIGHT = "may not fit"
    TOO_LARGE = "does not fit"
    STATES_TOO_LARGE = "weights, gradients and Adam alone do not fit"


def fit(memory: Memory, capacity_gb: Fraction) -> Fit:
    """Whether a device holds it; above 90 % it is tight, since context and fragmentation take some too.

    Args:
        memory: What it must hold.
        capacity_gb: Its memory as sold: named GB, built in GiB.
    """
    capacity, total = capacity_gb * GIB, memory.total
    if memory.states > capacity:
        return Fit.STATES_TOO_LARGE
    if total.low > capacity:
        return Fit.TOO_LARGE
    return Fit.TIGHT if total.high > TIGHT_MEMORY * capacity else Fit.FITS
