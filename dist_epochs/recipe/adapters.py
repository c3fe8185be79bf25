"""Training a part of the parameters: adapters, frozen layers, and quantized weights that stay as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from dist_epochs.arithmetic.quantity import Quantity
from dist_epochs.errors import InputError
from dist_epochs.recipe.values import COUNT, TEXT, count, quantity
from dist_epochs.settings.fields import Choice, Many, Place, Problem, Value, key

__all__ = ["ALL_LINEAR", "AdapterRecipe", "FrozenRecipe", "QuantizationRecipe"]

ALL_LINEAR = "all-linear"
"""PEFT's word for every linear layer but the output head."""

MOST_BITS = 8


class TargetsReader:
    """A list of modules, or `all-linear`."""

    def read(self, data: Any, place: Place, problems: list[Problem]) -> Any:
        """Read either; the result is a tuple of names."""
        if isinstance(data, str):
            if data == ALL_LINEAR:
                return (ALL_LINEAR,)
            problems.append(
                Problem(place, f"it must be a list of modules, or {ALL_LINEAR}, not {data!r}", fixes=(f"[{data}]",))
            )
            return None
        return Many(TEXT, least=1).read(data, place, problems)

    def schema(self) -> dict[str, Any]:
        """JSON schema of either form."""
        return {"anyOf": [{"enum": [ALL_LINEAR]}, Many(TEXT, least=1).schema()]}


def _bits(data: Any) -> int:
    bits = count(None).parse(data)
    if bits > MOST_BITS:
        raise InputError(
            f"quantized weights have at most {MOST_BITS} bits, not {bits}",
            fixes="precision: bf16 (or fp16, fp32), where weights are not quantized",
        )
    return int(bits)


@dataclass(frozen=True, kw_only=True)
class AdapterRecipe:
    """Small matrices that are trained beside the model's own weights, which are frozen.

    What is not stated is not assumed: the rows that it decides are then not known.
    """

    kind: Literal["lora", "qlora", "other"] = key(Choice(("lora", "qlora", "other")), "lora")
    """`lora` (Hu et al., arXiv:2106.09685), `qlora` (LoRA beside quantized weights, arXiv:2305.14314; needs
    `quantization`), or another method, whose FLOPs are not known here."""
    rank: int | None = key(COUNT, None, also="r")
    """Width of the matrices: a target of in × out weights gets rank × (in + out) more."""
    targets: tuple[str, ...] | None = key(TargetsReader(), None, also="target_modules")
    """Modules that get them, by the ends of their names as in PEFT (`[q_proj, v_proj]`), or `all-linear`."""
    modules_to_save: tuple[str, ...] | None = key(Many(TEXT), None)
    """Modules that are trained in full beside the adapters, in a copy of their own, such as `lm_head`."""
    parameters: Quantity | None = key(quantity(), None)
    """Instead of rank and targets: the number of trained parameters, as PEFT's `print_trainable_parameters` says it."""


@dataclass(frozen=True, kw_only=True)
class FrozenRecipe:
    """Weights that are not trained. With neither key, it is only known that some are."""

    layers: int | None = key(count(None, least=0), None)
    """How many of the lowest layers are frozen, with the embeddings below them (and a head that is tied to them)."""
    trained: Quantity | None = key(quantity(), None)
    """Instead: the number of parameters that are trained, wherever they are."""

    def __post_init__(self) -> None:
        if self.layers is not None and self.trained is not None:
            raise InputError("layers and trained both say what is frozen", fixes="one of them")


@dataclass(frozen=True, kw_only=True)
class QuantizationRecipe:
    """The frozen weights of the linear layers in fewer bits; embeddings, norms and the output head keep theirs."""

    bits: int = key(Value(_bits, least=1))
    """Bits of a weight: 4 or 8."""
