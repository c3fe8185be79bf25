"""Connects the ranks of a launch, and checks that they are those that were asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs

from dist_epochs.errors import InputError, Origin
from dist_epochs.recipe import Recipe
from dist_epochs.runtime.gloo import connect
from dist_epochs.runtime.peers import Peers
from dist_epochs.train.launch import check_environment, check_launch
from dist_epochs.train.launch_sharding import check_sharding, take_over
from dist_epochs.train.tracking import prepare_wandb

__all__ = ["World", "join"]

PRECISIONS = {"fp32": "no", "tf32": "no", "bf16": "bf16", "fp16": "fp16"}


@dataclass(frozen=True, slots=True)
class World:
    """The ranks of a run.

    Attributes:
        accelerator: The accelerator of this rank.
        ranks: All ranks, connected on the host.
        say: Prints a line, on rank 0 only.
    """

    accelerator: Accelerator
    ranks: Peers
    say: Callable[[str], None]

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0."""
        return self.ranks.rank == 0

    @property
    def size(self) -> int:
        """Data-parallel size: ranks that see different data, which here are all."""
        return self.ranks.size


def join(recipe: Recipe, say: Callable[[str], None]) -> World:
    """Connect with the other ranks.

    Collectives time out later than the watchdog, which can name the rank that is missing.

    Raises:
        LaunchError: If the launch is not what was asked for.
        InputError: If the device does not support the recipe's precision.
    """
    check_environment(os.environ, precision=recipe.arithmetic)
    check_sharding(os.environ, recipe.hardware)
    take_over(os.environ)
    speaks = os.environ.get("RANK", "0") == "0"
    if recipe.tracking:
        prepare_wandb(say if speaks else lambda _: None)
    patience = 2 * recipe.timeout_seconds + 60
    accelerator = Accelerator(
        gradient_accumulation_steps=1,
        mixed_precision=PRECISIONS[recipe.arithmetic],
        log_with="wandb" if recipe.tracking else None,
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=timedelta(seconds=patience)),
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),  # else DDP holds all gradients twice
        ],
    )
    check_launch(accelerator, planned=recipe.batch.devices, environment=os.environ)
    _check_precision(recipe, accelerator)
    torch.set_float32_matmul_precision("high" if recipe.arithmetic == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = recipe.arithmetic == "tf32"  # convolutions would take it by default
    if recipe.precision is None and accelerator.is_main_process:
        say(f"assumed-precision: the recipe states no precision, and {recipe.arithmetic} is taken, as in planning")
    return World(accelerator, connect(patience), say if accelerator.is_main_process else lambda _: None)


def _check_precision(recipe: Recipe, accelerator: Accelerator) -> None:
    device, wanted = accelerator.device, recipe.arithmetic
    if wanted in ("fp16", "tf32") and device.type != "cuda":
        raise InputError(
            f"{wanted} needs a GPU, and this run is on {device.type}",
            fixes=("fp32", "bf16"),
            origin=Origin("precision"),
        )
    if wanted == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise InputError(
            f"{torch.cuda.get_device_name(device)} has no bf16", fixes=("fp16", "fp32"), origin=Origin("precision")
        )
