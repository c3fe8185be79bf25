"""Runs that train a part of the parameters: adapters beside a frozen model, or a model whose lowest layers are frozen.

What such a run computes is the full training without the gradients of frozen weights. In FLOPs per position, with N
frozen weights in matrix products, that is 2 N for the forward pass and 2 N to pass gradients through it, 4 N in place
of 6 N; attention has no weights and stays whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from dist_epochs.arithmetic.text import number
from dist_epochs.errors import InputError, close_matches
from dist_epochs.plan.cost.architecture import Architecture, Module, whole
from dist_epochs.plan.cost.memory import Weights
from dist_epochs.recipe.adapters import ALL_LINEAR, AdapterRecipe, FrozenRecipe
from dist_epochs.recipe.training import ModelRecipe

__all__ = ["ModelCost", "PartlyTrained", "not_known_of", "partly_trained", "weights_of"]

LINEAR = ("layer", "linear")
"""Roles of the linear layers without the output head."""


class ModelCost(Protocol):
    """A model as far as its price goes."""

    @property
    def parameters(self) -> int:
        """All of its numbers, shared ones once."""

    @property
    def product_flops(self) -> int:
        """Training FLOPs for one position in products with weights: all but attention's."""

    def flops_per_token(self, sequence_length: int) -> int | Fraction:
        """Training FLOPs for one position: forward and backward."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PartlyTrained:
    """A model of which a part is trained.

    Attributes:
        base: The model, trained in full.
        weights: Its parameters and those of its adapters, by what is kept of them.
        product_flops: Training FLOPs per position in products with weights, those of adapters among them.
        architecture: The sizes of the model, where its lowest layers are frozen, which gradients then do not reach.
    """

    base: ModelCost
    weights: Weights
    product_flops: int
    architecture: Architecture | None = None

    @property
    def parameters(self) -> int:
        """All of its numbers, those of adapters included."""
        return self.weights.total

    def flops_per_token(self, sequence_length: int) -> int | Fraction:
        """Training FLOPs for one position: products with weights, and attention as in full training.

        Gradients pass through the whole model, or down to the lowest layer that is trained. Beside adapters torch
        leaves out what the inputs of the lowest layer would get, which need none: less than one layer's share.
        """
        attention = Fraction(self.base.flops_per_token(sequence_length)) - self.base.product_flops
        if self.architecture is not None and self.weights.frozen_layers is not None:
            attention -= self.architecture.attention_flops_not_reached(self.weights.frozen_layers, sequence_length)
        return whole(self.product_flops + attention)


def weights_of(cost: ModelCost) -> Weights:
    """The parameters by what is kept of them."""
    return cost.weights if isinstance(cost, PartlyTrained) else Weights(trained=cost.parameters)


def not_known_of(model: ModelRecipe | None) -> str | None:
    """Which parameters the cost of a run is not known for, where it depends on what a recipe says of them.

    Examples:
        >>> not_known_of(ModelRecipe(adapter=AdapterRecipe(kind="other")))
        'adapters'
    """
    if model is None or not model.is_partly_trained:
        return None
    return "adapters" if model.adapter is not None else "frozen parameters"


def partly_trained(model: ModelRecipe, base: ModelCost, architecture: Architecture | None) -> PartlyTrained | None:
    """What a recipe trains of a model; None if it does not say enough.

    Args:
        model: The recipe's model, with an adapter or frozen weights.
        base: The whole model, trained in full.
        architecture: Its sizes, if they are known by formula.

    Raises:
        InputError: If modules or layers are named that the model does not have, or numbers contradict each other.
    """
    if model.frozen is not None:
        return _frozen(model.frozen, base, architecture)
    assert model.adapter is not None
    found = _adapter(model.adapter, architecture)
    if found is None or model.adapter.kind == "other":
        return None
    trained, flops = found
    bits = model.quantization.bits if model.quantization else 0
    quantized = 0
    if bits:  # the linear layers without the output head, as bitsandbytes does it
        quantized = architecture.weights_in(*LINEAR) if architecture else base.parameters
    weights = Weights(trained=trained, frozen=base.parameters - quantized, quantized=quantized, bits=bits)
    return PartlyTrained(base=base, weights=weights, product_flops=_frozen_products(base) + flops)


def _frozen_products(base: ModelCost) -> int:
    """FLOPs of products with weights without the gradients of these: forward, and backward to their inputs."""
    return base.product_flops * 2 // 3


def _adapter(adapter: AdapterRecipe, architecture: Architecture | None) -> tuple[int, int] | None:
    """Parameters that are trained, and FLOPs per position for them; None if too little is stated."""
    stated = None if adapter.parameters is None else adapter.parameters.value
    if adapter.parameters is not None and adapter.parameters.value.denominator != 1:
        raise InputError(f"model.adapter.parameters is {adapter.parameters.text}", rule="it must be a whole number")
    counted = None if architecture is None else _counted(adapter, architecture)
    if (
        adapter.parameters is not None
        and counted is not None
        and not adapter.parameters.number.holds(Fraction(counted[0]))
    ):
        raise InputError(
            f"model.adapter.parameters is {adapter.parameters.text}",
            rule=f"rank {adapter.rank} on {', '.join(adapter.targets or ())} makes {number(counted[0])}",
            fixes="leaving one of the two out",
        )
    if counted is not None:
        return counted
    return None if stated is None else (int(stated), 6 * int(stated))  # forward, and backward to inputs and to weights


def _counted(adapter: AdapterRecipe, architecture: Architecture) -> tuple[int, int] | None:
    """The same from rank and targets: rank × (in + out) for each, at 6 FLOPs each; modules in full have copies."""
    if adapter.rank is None or adapter.targets is None:
        return None
    trained = flops = 0
    for module in _named(adapter.targets, architecture, "targets"):
        count = architecture.count_of(module)
        looked_up = module.role == "table"  # the first of its two matrices is looked up too
        trained += count * adapter.rank * (module.inputs + module.outputs)
        flops += 6 * count * adapter.rank * (module.outputs if looked_up else module.inputs + module.outputs)
    for module in _named(adapter.modules_to_save or (), architecture, "modules_to_save"):
        copied = architecture.count_of(module) * module.weights
        trained += copied
        flops += 0 if module.role == "table" else 2 * copied
    return trained, flops


def _named(names: tuple[str, ...], architecture: Architecture, key: str) -> list[Module]:
    """The modules that names stand for, each once.

    Raises:
        InputError: If a name stands for none.
    """
    found: dict[str, Module] = {}
    for name in names:
        if name == ALL_LINEAR:
            matching = [module for module in architecture.modules if module.role in LINEAR]
        else:
            matching = [each for each in architecture.modules if f".{each.name}".endswith(f".{name}")]
        if not matching:
            known = {module.name.rpartition(".")[2] for module in architecture.modules}
            raise InputError(
                f"model.adapter.{key}: the model has no module {name!r}",
                rule=f"it has {', '.join(module.name for module in architecture.modules)}",
                fixes=(*close_matches(name, known), "adapter.parameters, for modules that are not known here"),
            )
        found |= {module.name: module for module in matching}
    return list(found.values())


def _frozen(frozen: FrozenRecipe, base: ModelCost, architecture: Architecture | None) -> PartlyTrained | None:
    """A model of which the lowest layers are frozen, or anything else that leaves a number of trained parameters."""
    if frozen.trained is not None:
        trained = frozen.trained.value
        if trained.denominator != 1 or trained > base.parameters:
            raise InputError(
                f"model.frozen.trained is {frozen.trained.text}",
                rule=f"it must be a whole number of at most all {number(base.parameters)} parameters",
            )
        weights = Weights(trained=int(trained), frozen=base.parameters - int(trained))
        flops = min(_frozen_products(base) + 2 * int(trained), base.product_flops)
        return PartlyTrained(base=base, weights=weights, product_flops=flops)
    if frozen.layers is None or architecture is None:
        return None
    if frozen.layers > architecture.layers:
        raise InputError(
            f"model.frozen.layers is {frozen.layers}", rule=f"the model has {architecture.layers}", fixes="fewer"
        )
    below = architecture.embedding_parameters + sum(architecture.layer_parameters[: frozen.layers])
    products = frozen.layers * architecture.weights_in("layer") // architecture.layers
    tied_head = architecture.weights_in("head") * architecture.has_tied_head
    return PartlyTrained(
        base=base,
        weights=Weights(trained=base.parameters - below, frozen=below, frozen_layers=frozen.layers),
        product_flops=base.product_flops - 4 * products - 2 * tied_head,  # frozen layers have the forward pass alone
        architecture=architecture,
    )
