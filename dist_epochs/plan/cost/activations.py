"""What one micro-step keeps for its backward pass, as a range."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.errors import InputError
from dist_epochs.plan.cost.architecture import Architecture
from dist_epochs.recipe.model_families import KeptTensors

__all__ = ["ELEMENT", "activation_bytes", "check_counts", "check_precision"]

ELEMENT = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2}
"""Bytes of a number that a matrix product keeps for its backward pass."""


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
    check_counts(samples=samples, sequence_length=sequence_length, model_parallel=model_parallel)
    check_precision(precision)
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


def check_counts(**counts: int) -> None:
    """Refuse counts below 1.

    Raises:
        InputError: With the name of the first.
    """
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name.replace('_', ' ')} must be at least 1, not {count}")


def check_precision(precision: str) -> None:
    """Refuse what is not trained in here.

    Raises:
        InputError: If the precision is not known.
    """
    if precision not in ELEMENT:
        raise InputError(
            f"precision {precision!r} is not one that is trained in here", fixes=f"one of {', '.join(ELEMENT)}"
        )
