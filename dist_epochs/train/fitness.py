"""Which recipes this loop can train: some are for planning other people's runs only."""

from __future__ import annotations

from pathlib import Path

from dist_epochs.errors import InputError
from dist_epochs.recipe import Recipe

__all__ = ["check_trainable"]


def check_trainable(recipe: Recipe, path: Path) -> int:
    """Does the recipe ask for something that is only planned here?

    Returns:
        The most samples that one device takes in one micro-step, which planning can do without.

    Raises:
        InputError: With the first setting that does.
    """
    batch, model = recipe.batch, recipe.model
    assert model is not None  # checked before
    if batch.per_device is None:
        raise InputError(f"{path}: batch.per_device is missing: training needs to know what one device takes at once")
    if batch.is_foreign or batch.replacement:
        raise InputError(
            f"{path}: batch.last_window, replacement and uneven: pad, drop, keep describe somebody else's loop. This "
            "one draws every sample of a pass once and runs on across passes. Leave them out to train."
        )
    shared = {name: getattr(batch, f"{name}_parallel") for name in ("tensor", "pipeline", "context", "expert")}
    for name, size in shared.items():
        if size > 1:
            raise InputError(
                f"{path}: batch.{name}_parallel is {size}: this loop trains with DDP or FSDP2, where every device sees "
                "its own data. Leave it out to train; it can be planned."
            )
    hardware = recipe.hardware
    if hardware is not None and hardware.activation_checkpointing:
        raise InputError(
            f"{path}: hardware.activation_checkpointing is planned and not done: this loop keeps all activations, so "
            "it would take more memory than planned. Set it to false to train."
        )
    if hardware is not None and hardware.zero_stage in (1, 2):
        raise InputError(
            f"{path}: hardware.zero_stage {hardware.zero_stage} is planned and not done: this loop shards nothing "
            "(DDP, stage 0) or everything (FSDP2, stage 3), so memory would not be the planned one. Set one of these."
        )
    if model.objective is None:
        raise InputError(f"{path}: model.objective is missing: masked or causal? It is not known for this family.")
    if model.config is None:
        raise InputError(f"{path}: model.parameters prices a model; to train one, give model.config")
    if recipe.budget is not None and recipe.budget.amount[0] in ("hours", "flops", "money"):
        raise InputError(
            f"{path}: a budget in {recipe.budget.amount[0]} is an estimate of steps. Plan it, and train the steps that "
            "the plan shows."
        )
    return batch.per_device
