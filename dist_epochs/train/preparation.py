"""Makes a model ready for the loop: with its loss, its optimizer and its attention, on its device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from accelerate import Accelerator
from torch import nn
from transformers import PreTrainedModel

from dist_epochs.corpus.stream import MicroBatch
from dist_epochs.train.attention import choose_attention
from dist_epochs.train.loss import DeviceBatch, to_device
from dist_epochs.train.loss_model import LossModel
from dist_epochs.train.model import settle_buckets
from dist_epochs.train.setup import Setup, adamw

__all__ = ["Prepared", "prepare"]

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prepared:
    """What the loop computes with.

    Attributes:
        model: The model with its loss, prepared by the accelerator.
        optimizer: The optimizer, prepared by the accelerator.
        to_device: Copies a micro-batch as the model takes it.
        how: How the model attends, and whether it is compiled, in words.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    to_device: Callable[[MicroBatch], DeviceBatch]
    how: str


def prepare(model: PreTrainedModel, setup: Setup, accelerator: Accelerator) -> Prepared:
    """Prepare a model; it keeps the names of its weights, and is the one that is saved. Every rank calls this.

    Raises:
        InputError: If the recipe asks for an attention that cannot be had here.
    """
    recipe = setup.recipe
    with_loss = LossModel(model)
    prepared, optimizer = accelerator.prepare(with_loss, adamw(model, setup.optimizer, accelerator))
    settle_buckets(prepared)
    attention = choose_attention(
        recipe.attention, model, causal=setup.objective.is_causal, kind=HALF.get(recipe.arithmetic)
    )
    with_loss.documents = attention.documents
    if recipe.hardware is not None and recipe.hardware.activation_checkpointing:
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})  # older releases have the second name alone
    if recipe.compile:
        model.compile(dynamic=False)
    return Prepared(
        model=prepared,
        optimizer=optimizer,
        to_device=partial(
            to_device,
            device=accelerator.device,
            objective=setup.objective,
            by_ends=attention.documents is not None,
            always_masks=recipe.compile,
        ),
        how=f"attention by {attention.why}{'; compiled' if recipe.compile else ''}",
    )
