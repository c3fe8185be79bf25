"""Memory of one device: weights, gradients and Adam states exactly, activations as a range."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.errors import InputError
from dist_epochs.plan.cost.architecture import Architecture
from dist_epochs.recipe.model_families import KeptTensors

__all__ = ["GIB", "Fit", "Memory", "Weights", "activation_bytes", "device_memory", "fit", "states_bytes"]

GIB = 2**30
TIGHT_MEMORY = Fraction(90, 100)

STATES = {"fp32": (4, 4, 8), "tf32": (4, 4, 8), "bf16": (2, 2, 12), "fp16": (2, 2, 12)}
"""Bytes a parameter of weights, gradients and optimizer states: 16 in each precision."""

SHARDED_FROM_STAGE = (3, 2, 1)
"""The first ZeRO stage that shards weights, gradients and optimizer states."""

ELEMENT = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2}
"""Bytes of a number that a matrix product keeps for its backward pass."""


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
        _check_precision(precision)
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
    _check_counts(parameters=parameters, data_parallel_size=data_parallel_size, model_parallel=model_parallel)
    _check_precision(precision)
    if stage not in (0, 1, 2, 3):
        raise InputError(
            f"ZeRO stage {stage!r} does not exist",
            rule="0 shards nothing (DDP), 1 optimizer states, 2 gradients too, 3 weights too (FSDP)",
        )
    parts = zip(STATES[precision], SHARDED_FROM_STAGE, strict=True)
    each = sum((Fraction(size, data_parallel_size if stage >= first else 1) for size, first in parts), Fraction(0))
    frozen = frozen_bytes / (data_parallel_size if stage >= SHARDED_FROM_STAGE[0] else 1)
    return (parameters * each + frozen) / model_parallel


def activation_bytes(
    architecture: Architecture,
    *,
    samples: int,
    sequence_length: int,
    precision: str,
    model_parallel: int = 1,
    recompute: bool = False,
    frozen_layers: int = 0,
    keeps_inputs: bool = True,
) -> Interval:
    """Bytes per device of what one micro-step keeps for its backward pass, logits included.

    Attention is fused (flash or memory-efficient), so that no matrix of scores is kept; where it is
    not, each layer has 2 (fp32: 4) bytes × heads × length² a sample more, several times over.

    The low end is a textbook's: every matrix product, norm and activation keeps its inputs once, and
    dropout a mask of one byte. With an MLP of 4 × hidden in half precision these are the 34 bytes ×
    samples × length × hidden × layers of Korthikanti et al., arXiv:2205.05198, equation 1 without its
    scores; the logits are kept once in fp32 (their section 4.3).

    The high end is transformers 5 in eager mode under autocast, counted with
    `torch.autograd.graph.saved_tensors_hooks` on meta and on a CPU: norms in fp32, a cast for each
    projection, activations written out in Python, grouped keys repeated; in each layer a copy of the
    mask that keeps packed documents apart; logits in fp32 with their log-softmax and their gradient.
    Neither end was measured on a GPU.

    The lowest layers, if they are frozen, keep nothing. A frozen matrix that gradients pass needs no input for a
    gradient of its own: beside adapters the low end leaves out the inputs of all matrices, and what the adapters keep
    lies within the range (dropout of adapters is not counted).

    Recomputing all activations leaves the input of each layer, and one layer at work (section 5 of
    the paper). Tensor parallelism with sequence parallelism divides all (low end); without it only a
    part, and pipelines keep as many micro-batches as they have stages (high end: nothing divided).

    Args:
        architecture: The model.
        samples: Samples per micro-step on this device.
        sequence_length: Positions of a sample.
        precision: `fp32`, `tf32`, or `bf16` or `fp16` mixed with it.
        model_parallel: Devices that share one copy of the model.
        recompute: Whether activations are recomputed in the backward pass (gradient checkpointing).
        frozen_layers: How many of the lowest layers gradients do not reach.
        keeps_inputs: Whether the matrices that gradients pass are trained.

    Raises:
        InputError: If a count is below 1, or the precision is not known.
    """
    _check_counts(samples=samples, sequence_length=sequence_length, model_parallel=model_parallel)
    _check_precision(precision)
    positions = samples * sequence_length
    low = _low(architecture, precision, keeps_inputs=keeps_inputs)
    high = _high(architecture, precision, sequence_length)
    layers = architecture.layers - frozen_layers
    if recompute:
        low_layers = layers * ELEMENT[precision] * architecture.hidden_size + low.layer
        high_layers = layers * 4 * architecture.hidden_size + high.layer
    else:
        low_layers, high_layers = layers * low.layer, layers * high.layer
    return Interval.between(
        Fraction(positions * (low_layers + low.ends), model_parallel),
        Fraction(positions * (high_layers + high.ends)),
    )


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


@dataclass(frozen=True, slots=True)
class _PerPosition:
    """Bytes per position of one layer, and of the embeddings, head and logits together."""

    layer: int
    ends: int


def _kept(model: Architecture) -> KeptTensors:
    assert model.family.kept is not None  # a family with a closed form has it
    return model.family.kept


def _low(model: Architecture, precision: str, *, keeps_inputs: bool) -> _PerPosition:
    """Each input once, elements as small as the precision allows."""
    element, masks = ELEMENT[precision], _kept(model).dropout * model.hidden_size
    attention = 2 * model.attention_size + 2 * model.key_value_size
    mlp = (2 if model.gated else 1) * model.intermediate_size
    inputs = (2 * model.hidden_size + model.intermediate_size) * keeps_inputs  # of projections, and of the MLP's last
    layer = element * (attention + mlp + 2 * model.hidden_size + inputs) + masks
    return _PerPosition(
        layer, element * _end_tensors(model) * model.hidden_size + masks // 2 + 4 * model.vocabulary_size
    )


def _high(model: Architecture, precision: str, sequence_length: int) -> _PerPosition:
    """What eager modules keep."""
    element, kept = ELEMENT[precision], _kept(model)
    masks = kept.dropout * model.hidden_size
    casts = (2 if element == 4 else kept.casts) * model.hidden_size
    products = casts + kept.attention * model.attention_size + kept.mlp * model.intermediate_size
    layer = element * (products + sequence_length) + 2 * 4 * kept.norm * model.hidden_size + masks
    half_precision = 0 if element == 4 else 2
    logits = (4 + 4 + 4 + half_precision) * model.vocabulary_size
    return _PerPosition(layer, 4 * (_end_tensors(model) + 1) * model.hidden_size + masks // 2 + logits)


def _end_tensors(model: Architecture) -> int:
    """Hidden-sized inputs kept outside the layers.

    Masked: those of the embeddings' norm, and of the head's dense layer, activation, norm and output.
    Causal: those of the last norm and of the output.
    """
    return 5 if model.family.objective == "masked" else 2


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name.replace('_', ' ')} must be at least 1, not {count}")


def _check_precision(precision: str) -> None:
    if precision not in STATES:
        raise InputError(
            f"precision {precision!r} is not one that is trained in here", fixes=f"one of {', '.join(STATES)}"
        )
