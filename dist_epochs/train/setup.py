"""Checks what a recipe needs to be trained, before any process waits for another."""

from __future__ import annotations

import concurrent.futures
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from transformers import PretrainedConfig

from dist_epochs.corpus.stores.opening import store_of
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.stores.verify import verify_store
from dist_epochs.corpus.streaming.held_out import HeldOutBatches
from dist_epochs.corpus.streaming.objective import Objective
from dist_epochs.corpus.streaming.planning import objective_of
from dist_epochs.corpus.tokenizing.tokenizer import TextTokenizer
from dist_epochs.errors import InputError, Origin
from dist_epochs.recipe import ModelRecipe, OptimizerRecipe, Recipe
from dist_epochs.runtime.peers import Peers, together
from dist_epochs.train.evaluation import Evaluation
from dist_epochs.train.model import check_fit, model_config
from dist_epochs.train.world import World

__all__ = ["Setup", "adamw", "check_trainable", "evaluation_of", "set_up", "verify_together"]

FUSED_DEVICES = ("cpu", "cuda")
"""Devices whose AdamW is one kernel in every torch that is supported."""

MEET_SECONDS = 10.0
"""Seconds between the times that ranks meet while a store is read: far less than the timeout of a collective."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """A recipe that can be trained, and what it names.

    Attributes:
        config_data: Settings of the model that are not transformers' defaults, without the version of transformers.
    """

    recipe: Recipe
    model: ModelRecipe
    optimizer: OptimizerRecipe
    store: Store
    tokenizer: TextTokenizer
    config: PretrainedConfig
    config_data: Mapping[str, Any]
    objective: Objective
    per_device: int


def set_up(recipe: Recipe, path: Path) -> Setup:
    """Check everything that can be checked before the ranks meet, and load what the recipe names.

    Raises:
        InputError: If something is missing, or two settings contradict each other.
    """
    origin = Origin(str(path))
    missing = [name for name in ("model", "optimizer") if getattr(recipe, name) is None]
    if missing:
        raise InputError(
            f"{' and '.join(missing)} missing", rule="a recipe without them can be planned, not trained", origin=origin
        )
    per_device = check_trainable(recipe, path)
    assert recipe.model is not None
    assert recipe.optimizer is not None
    store = store_of(recipe, origin)
    tokenizer = store.tokenizer()
    config = model_config(recipe.model, tokenizer)
    check_fit(config, tokenizer, recipe.longest)
    config_data = json.loads(config.to_json_string(use_diff=True))  # before a model is built, which adds to it
    objective = objective_of(recipe.model, store)
    return Setup(
        recipe=recipe,
        model=recipe.model,
        optimizer=recipe.optimizer,
        store=store,
        tokenizer=tokenizer,
        config=config,
        config_data={name: value for name, value in config_data.items() if name != "transformers_version"},
        objective=objective,
        per_device=per_device,
    )


def check_trainable(recipe: Recipe, path: Path) -> int:
    """Refuse settings that can be planned but not trained.

    Args:
        recipe: A recipe with a model.
        path: Its file, for the error.

    Returns:
        The most samples that one device takes in one micro-step.

    Raises:
        InputError: With the first such setting.
    """
    for error in _untrainable(recipe):
        raise error.but(origin=Origin(str(path)))
    assert recipe.batch.per_device is not None
    return recipe.batch.per_device


def _untrainable(recipe: Recipe) -> Iterator[InputError]:
    """Settings that can be planned but not trained, each as its error."""
    batch, model, hardware = recipe.batch, recipe.model, recipe.hardware
    assert model is not None
    if batch.per_device is None:
        yield InputError(
            "batch.per_device is missing", rule="training needs to know how many samples one device takes at once"
        )
    if batch.is_foreign or batch.replacement:
        yield InputError(
            "batch.last_window, replacement and uneven: pad, drop, keep describe another trainer's loop",
            rule="this one draws every sample of a pass once, and its batches continue across passes",
            fixes="to leave them out",
        )
    for name, size in batch.parallel_sizes.items():
        if size > 1:
            yield InputError(
                f"batch.{name}_parallel is {size}, which can be planned and not trained",
                rule="this loop trains with DDP or FSDP2, where every device sees its own data",
                fixes="to leave it out",
            )
    if hardware is not None and hardware.zero_stage in (1, 2):
        yield InputError(
            f"hardware.zero_stage {hardware.zero_stage} is planned and not done",
            rule="this loop shards nothing (DDP, stage 0) or everything (FSDP2, stage 3), so memory would not be the "
            "planned one",
            fixes=("hardware.zero_stage: 0", "hardware.zero_stage: 3"),
        )
    if model.is_partly_trained:
        yield InputError(
            f"model.{'adapter' if model.adapter else 'frozen'} is planned and not done",
            rule="this loop trains all weights of the model, from random ones",
            fixes="to leave it out",
        )
    if model.objective is None:
        yield InputError(
            "model.objective is missing",
            rule="it is not known for this family of models",
            fixes=("masked", "causal"),
        )
    if model.config is None:
        yield InputError("model.parameters prices a model", fixes="model.config, to train one")
    if recipe.length_budget is not None and recipe.length_budget.amount[0] in ("hours", "flops", "money"):
        yield InputError(
            f"a budget in {recipe.length_budget.amount[0]} is an estimate of steps",
            fixes="to plan it, and to train the steps that the plan shows",
        )


def verify_together(store: Store, ranks: Peers, *, again: bool = False) -> None:
    """Compare the store's digests on one rank of each machine, while all ranks wait.

    Args:
        store: The store, as this rank opened it.
        ranks: All ranks, which all call this.
        again: Compare even if that was done before.

    Raises:
        InputError: On every rank, if the store is damaged on any machine.
    """
    work: concurrent.futures.Future[bool] = concurrent.futures.Future()

    def read() -> None:
        try:
            work.set_result(verify_store(store, again))
        except BaseException as error:
            work.set_exception(error)

    if os.environ.get("LOCAL_RANK", "0") == "0":
        Thread(target=read, daemon=True).start()
    else:
        work.set_result(False)

    def wait() -> str:
        if concurrent.futures.wait([work], MEET_SECONDS).not_done:
            return "reading"
        work.result()
        return ""

    while any(together(ranks, wait)):
        pass


def evaluation_of(setup: Setup, world: World) -> Evaluation | None:
    """This rank's part of the held-out samples, if the recipe asks for evaluation.

    Raises:
        InputError: If the store has no held-out documents.
    """
    recipe = setup.recipe
    if recipe.evaluation is None:
        return None
    sources = setup.store.sources(held_out=True)
    if not sources:
        raise InputError(
            f"evaluation is asked for and {setup.store.place} holds no held-out documents",
            fixes=("to make the store with `--held-out 1%`", "to remove evaluation"),
        )
    batches = HeldOutBatches(
        [source.packing(recipe.longest, recipe.corpus.packing) for source in sources],
        setup.objective,
        devices=world.size,
        rank=world.ranks.rank,
        per_device=setup.per_device,
        pad=setup.tokenizer.pad_id,
    )
    return Evaluation(batches, recipe.evaluation.every)


def adamw(model: nn.Module, recipe: OptimizerRecipe, accelerator: Accelerator) -> torch.optim.Optimizer:
    """AdamW with weight decay for matrices, and none for biases and norms; its update is one kernel where there is one.

    Not with fp16: its loss scale would skip an update inside the kernel, where nobody sees that it was skipped.

    Args:
        model: The model, before or after it was prepared.
        recipe: The settings.
        accelerator: Has the device that the model is trained on, and fp16's loss scale.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    fused = True if accelerator.device.type in FUSED_DEVICES and accelerator.scaler is None else None
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, eps=recipe.epsilon, fused=fused)
