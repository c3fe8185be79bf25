"""The model of a recipe as far as its price goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from dist_epochs.errors import InputError
from dist_epochs.plan.cost.architecture import Architecture
from dist_epochs.plan.cost.families import read_architecture
from dist_epochs.plan.cost.trained_part import ModelCost, partly_trained
from dist_epochs.plan.pricing import SixPerParameter
from dist_epochs.recipe import ModelRecipe, Recipe
from dist_epochs.recipe.model_families import CLOSED_FORM
from dist_epochs.recipe.reading import read_config

__all__ = ["MeasuredModel", "architecture_of", "check_positions", "config_of", "model_cost"]


@dataclass(frozen=True, slots=True)
class MeasuredModel:
    """A model that was built and counted, at the lengths that the run uses."""

    parameters: int
    matmul_parameters: int
    by_length: Mapping[int, int | Fraction]

    @property
    def product_flops(self) -> int:
        """Training FLOPs for one position in products with weights."""
        return 6 * self.matmul_parameters

    def flops_per_token(self, sequence_length: int) -> int | Fraction:
        """Training FLOPs for one position."""
        return self.by_length[sequence_length]


def config_of(model: ModelRecipe) -> Mapping[str, Any]:
    """The keys of a recipe's model configuration, read from its file if it is one.

    Raises:
        InputError: If the file does not hold one.
    """
    assert model.config is not None
    return read_config(Path(model.config)) if isinstance(model.config, str) else model.config


def architecture_of(model: ModelRecipe | None) -> Architecture | None:
    """The sizes of a recipe's model; None if there is none, or its family has no closed form here.

    Raises:
        InputError: If a configuration of a known family makes no sense.
    """
    if model is None or model.config is None:
        return None
    config = config_of(model)
    if config.get("model_type") not in CLOSED_FORM:
        return None
    where = model.config if isinstance(model.config, str) else "model.config"
    return read_architecture(config, where=where)


def model_cost(model: ModelRecipe | None, measured: ModelCost | None = None) -> ModelCost | None:
    """What a recipe's model costs per token; None if too little is stated, or it cannot be told without torch.

    Args:
        model: The recipe's model.
        measured: The whole model trained in full, where it was built and counted; default, by closed form.

    Raises:
        InputError: If a configuration of a known family makes no sense, parameters are no whole number, or what is
            trained does not fit the model.
    """
    base = measured or _whole_model(model)
    if model is None or base is None or not model.is_partly_trained:
        return base
    return partly_trained(model, base, architecture_of(model))


def _whole_model(model: ModelRecipe | None) -> ModelCost | None:
    if model is not None and model.parameters is not None:
        if architecture_of(model) is not None:
            raise InputError(
                "model.parameters is stated, and model.config says how many there are", fixes="one of them"
            )
        if model.parameters.value.denominator != 1:
            raise InputError(f"model.parameters is {model.parameters.text}", rule="it must be a whole number")
        return SixPerParameter(int(model.parameters.value))
    return architecture_of(model)


def check_positions(recipe: Recipe) -> None:
    """Does the model take the longest samples of the run?

    Raises:
        InputError: If a length is beyond the positions that its configuration states.
    """
    model = recipe.model
    if model is None or model.config is None:
        return
    architecture = architecture_of(model)
    stated = model.config.get("max_position_embeddings") if isinstance(model.config, Mapping) else None
    positions = architecture.longest if architecture is not None and architecture.longest else stated
    if isinstance(positions, int) and recipe.longest > positions:
        raise InputError(
            f"sequence length {recipe.longest} is beyond the model's {positions} positions",
            fixes=(
                f"phases.sequence_length of at most {positions}",
                f"model.config.max_position_embeddings of at least {recipe.longest}",
            ),
        )
