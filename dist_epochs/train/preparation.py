"""Makes a model ready for the loop: with its loss, its optimizer and its attention, on its device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from accelerate import Accelerator
from torch import nn
from transformers import PreTrainedModel

from dist_epochs.corpus.streaming.stream import MicroBatch
from dist_epochs.train.attention import choose_attention
from dist_epochs.train.loss import DeviceBatch, to_device
from dist_epochs.train.loss_model import LossModel
from dist_epochs.train.model import settle_buckets
from dist_epochs.train.setup import Setup, adamw
from dist_epochs.train.sharding import layers_of, shard

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
    recipe, hardware, half = setup.recipe, setup.recipe.hardware, HALF.get(setup.recipe.arithmetic)
    with_loss = LossModel(model)
    ranks = accelerator.num_processes
    shards = hardware is not None and hardware.is_fully_sharded and ranks > 1
    if hardware is not None and shards:
        shard(with_loss, accelerator.device, ranks=ranks, shard_size=hardware.shard_size, half=half)
        prepared, optimizer = with_loss, accelerator.prepare(adamw(model, setup.optimizer, accelerator))
    else:
        prepared, optimizer = accelerator.prepare(with_loss, adamw(model, setup.optimizer, accelerator))
        settle_buckets(prepared)
    attention = choose_attention(recipe.attention, with_loss, causal=setup.objective.is_causal, kind=half)
    with_loss.documents = attention.documents
    if hardware is not None and hardware.activation_checkpointing:
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})  # older releases have the second name alone
    if recipe.compile:
        for part in layers_of(model) if shards else (model,):  # weights are gathered between sharded layers
            part.compile(dynamic=False)
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
        how="; ".join([f"attention by {attention.why}", *["sharded (FSDP2)"] * shards, *["compiled"] * recipe.compile]),
    )
