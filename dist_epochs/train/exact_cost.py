"""Parameters and training FLOPs of any transformers model, counted on a model without weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import CONFIG_MAPPING, PretrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from dist_epochs.errors import InputError, close_matches
from dist_epochs.plan.cost.architecture import whole
from dist_epochs.plan.cost.families import read_architecture
from dist_epochs.recipe.model_families import FAMILIES
from dist_epochs.train.model import CONFIG, known_config, run_on_zeros, untrained

__all__ = ["ExactCost", "exact_cost"]

WINDOW_SETTINGS = ("sliding_window", "window_size", "attention_window", "attention_chunk_size")
"""Settings with the number of keys that a layer sees."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExactCost:
    """What one training position costs.

    Attributes:
        parameters: All weights, tied ones once.
        matmul_parameters: Weights of linear layers, the output head among them.
        flops_per_token: Training FLOPs per position, three times the forward pass, by sequence length.
    """

    parameters: int
    matmul_parameters: int
    flops_per_token: Mapping[int, int | Fraction]


def exact_cost(
    config: Mapping[str, Any], objective: Literal["masked", "causal"], sequence_lengths: Iterable[int]
) -> ExactCost:
    """Build the model on torch's `meta` device, which computes shapes alone, and count what it does.

    The forward pass is counted by `torch.utils.flop_counter.FlopCounterMode`, for one sample, as the
    trainer calls it; training is three times that (Kaplan et al., arXiv:2001.08361, section 2.1), as
    model FLOPs are counted. All positions pass through the output head. Attention is full for causal
    models too, the convention of PaLM (arXiv:2204.02311, appendix B); ModernBERT's sliding windows are
    taken off by their closed form (`Architecture.flops_per_token`). Nothing is downloaded, and no code
    that comes with a model runs.

    Args:
        config: The content of a `config.json`.
        objective: `masked` or `causal`: which head the model is trained with.
        sequence_lengths: Positions of a sample, each counted apart.

    Raises:
        InputError: If transformers cannot build or run the model, or the count would be wrong: experts,
            windows without a closed form, and products that the counter does not see.
    """
    lengths = sorted(set(sequence_lengths))
    if any(length < 1 for length in lengths):
        raise InputError(f"a sequence length is at least 1, not {lengths[0]}")
    stated = dict(config)
    model_type = str(stated.pop("model_type", ""))
    if model_type not in CONFIG_MAPPING:
        raise InputError(
            f"the installed transformers knows no model_type {model_type!r}",
            fixes=close_matches(model_type, CONFIG_MAPPING, most=3) or "the one in the config.json of the model",
            origin=CONFIG,
        )
    settings = known_config(model_type, stated, lenient=True)
    _refuse_windows(settings, lengths)
    try:
        with torch.device("meta"):  # unlike accelerate's `init_empty_weights` this keeps tied weights
            model = untrained(settings, objective).eval()
    except Exception as error:  # every kind of model raises its own
        raise InputError(f"{model_type} with a {objective} objective cannot be built: {error}", origin=CONFIG) from None
    _refuse_experts(model)
    windows = read_architecture(config, where="model.config") if _has_windows(settings) else None

    def saved(length: int) -> int | Fraction:
        return windows.full_attention_flops_per_token(length) - windows.flops_per_token(length) if windows else 0

    return ExactCost(
        parameters=sum(weight.numel() for weight in model.parameters()),
        matmul_parameters=_linear_weights(model),
        flops_per_token={length: whole(3 * _forward_flops(model, length) - saved(length)) for length in lengths},
    )


def _linear_weights(model: PreTrainedModel) -> int:
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear | Conv1D))


def _forward_flops(model: PreTrainedModel, length: int) -> Fraction:
    """FLOPs per position of the forward pass of one sample.

    Without the 4-D mask, transformers would look for packed documents in the ids, which have no values on `meta`.
    On `meta`, attention consists of products that the counter knows; the fused kernel of a CPU would count as 0,
    and that of a GPU counts its backward pass differently.
    """
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            run_on_zeros(model, length)
    except Exception as error:  # every kind of model raises its own
        raise InputError(
            f"{model.config.model_type} does not run without weights at length {length}, so it cannot be counted",
            rule=str(error),
            origin=CONFIG,
        ) from None
    flops = counter.get_total_flops()
    linear = _linear_weights(model)
    if flops < 2 * linear * length:  # every position passes through every linear layer, unless a kernel replaces it
        _refuse(
            model.config,
            f"linear layers of {2 * linear:,} FLOPs per position, and {flops // length:,} were counted at length "
            f"{length}",
        )
    return Fraction(flops, length)


def _has_windows(settings: PretrainedConfig) -> bool:
    """Whether the windows of its family have a closed form."""
    family = FAMILIES.get(settings.model_type)
    return family is not None and family.has_windows


def _refuse_windows(settings: PretrainedConfig, lengths: list[int]) -> None:
    """Refuse windows: the counter counts full attention in every layer (for ModernBERT at 8192, 69 % too much)."""
    if _has_windows(settings):
        return
    text = settings.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    if kinds:
        _refuse(text, f"layers of {', '.join(sorted(kinds))}, which is no full attention")
    if "local" in (getattr(text, "attention_layers", None) or ()) or getattr(text, "use_sliding_window", True):
        for name in WINDOW_SETTINGS:
            window = getattr(text, name, None)
            if isinstance(window, int) and any(length > window for length in lengths):
                _refuse(text, f"{name} {window}, shorter than the sequence length {lengths[-1]}")


def _refuse_experts(model: PreTrainedModel) -> None:
    for name, module in model.named_modules():
        if "expert" in name.lower() or "expert" in type(module).__name__.lower():
            _refuse(
                model.config, f"experts ({name}): fused ones are invisible to it, a five-fold undercount for Mixtral"
            )


def _refuse(settings: PretrainedConfig, has: str) -> None:
    raise InputError(
        f"{settings.model_type} has {has}",
        consequence="torch's counter would be wrong",
        fixes=("to state parameters and FLOPs per token", "to plan without a price"),
        origin=CONFIG,
    )
