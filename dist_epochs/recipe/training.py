"""The model, the optimizer, and what is watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from dist_epochs.arithmetic.duration import parse_hours
from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.errors import InputError
from dist_epochs.recipe.adapters import AdapterRecipe, FrozenRecipe, QuantizationRecipe
from dist_epochs.recipe.values import COUNT, DURATION, NUMBER, PART, STEPS, TEXT, count, quantity
from dist_epochs.settings.fields import Choice, Many, Part, Value, key
from dist_epochs.settings.files import refuse_name

__all__ = ["CheckpointRecipe", "EvaluationRecipe", "ModelRecipe", "OptimizerRecipe", "TrackingRecipe"]


SECONDS_BETWEEN_CHECKPOINTS = 1800.0


def _below_one(data: Any) -> float:
    number = float(NUMBER.parse(data))
    if not 0 <= number < 1:
        raise InputError(f"it must be at least 0 and below 1, not {data}")
    return number


def _config(data: Any) -> str | dict[str, Any]:
    if isinstance(data, Mapping) and data:
        if not isinstance(data.get("model_type"), str | None):
            raise InputError("its model_type must be text")
        return {name: _plain(value) for name, value in data.items()}
    if isinstance(data, str):
        refuse_name(data)
        return data
    raise InputError(f"it must be a size name, a config.json, or its keys, not {data!r}")


def _plain(value: Any) -> Any:
    """A value as transformers takes it: floats without their spelling."""
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


@dataclass(frozen=True, kw_only=True)
class ModelRecipe:
    """The model, from a transformers configuration; weights start at random."""

    objective: Literal["masked", "causal"] | None = key(Choice(("masked", "causal")), None)
    """`masked`: predict masked tokens (BERT). `causal`: predict the next token (GPT). Default: what its family does."""
    config: str | Mapping[str, Any] | None = key(Value(_config, ("string", "object")), None)
    """A size name (`bert-base`), a transformers `config.json` (file or folder, relative to the recipe), or its keys,
    `model_type` among them."""
    parameters: Quantity | None = key(quantity(), None)
    """To price a model that has no config yet, or whose family has no formula here: its parameters (of a mixture of
    experts, those active for one token), at 6 FLOPs each a token."""
    mask_probability: Fraction = key(PART, Fraction(15, 100))
    """Share of each sample's ordinary tokens that are predicted; a fixed count per sample, at least one."""
    adapter: AdapterRecipe | None = key(Part(AdapterRecipe), None)
    """To price a run that trains adapters (LoRA) beside a frozen model; planned, never trained here."""
    frozen: FrozenRecipe | None = key(Part(FrozenRecipe), None)
    """To price a run that trains a part of the model's own weights; planned, never trained here."""
    quantization: QuantizationRecipe | None = key(Part(QuantizationRecipe), None)
    """The frozen weights beside an adapter in fewer bits (QLoRA)."""

    def __post_init__(self) -> None:
        if self.config is None and self.parameters is None and not self.is_partly_trained:
            raise InputError(
                "what the model is is not stated",
                fixes=("config: a size name, a config.json or its keys", "parameters: their number"),
            )
        if self.adapter is not None and self.frozen is not None:
            raise InputError(
                "adapter and frozen are both stated",
                rule="beside an adapter all of the model's own weights are frozen, but for adapter.modules_to_save",
                fixes="one of them",
            )
        if self.quantization is not None and self.adapter is None:
            raise InputError(
                f"weights of {self.quantization.bits} bits and no adapter",
                rule="quantized weights are not trained; an adapter beside them is (QLoRA, arXiv:2305.14314)",
                fixes=("adapter: {rank: 16, targets: all-linear}", "leaving quantization out"),
            )
        if self.adapter is not None and self.adapter.kind == "qlora" and self.quantization is None:
            raise InputError(
                "kind: qlora, and the bits of the frozen weights are not stated",
                fixes=("quantization: {bits: 4}", "kind: lora"),
            )

    @property
    def is_partly_trained(self) -> bool:
        """Whether some weights are frozen."""
        return self.adapter is not None or self.frozen is not None


@dataclass(frozen=True, kw_only=True)
class OptimizerRecipe:
    """AdamW, clipping, and the learning rate as a function of applied steps."""

    learning_rate: float = key(NUMBER)
    """Peak learning rate."""
    warmup_steps: int = key(count(Unit.STEP, least=0), 0)
    """Steps over which the rate rises from zero to its peak."""
    decay: Literal["linear", "cosine", "constant"] = key(Choice(("linear", "cosine", "constant")), "linear")
    """How it falls from the peak to zero at the last step."""
    weight_decay: float = key(NUMBER, 0.01)
    """Decoupled decay of matrices; biases and norms have none."""
    betas: tuple[float, float] = key(Many(Value(_below_one), exactly=2), (0.9, 0.999))
    """Adam's averaging factors."""
    epsilon: float = key(NUMBER, 1e-8)
    """Adam's denominator term."""
    max_grad_norm: float | None = key(NUMBER, 1.0, null=True)
    """Global gradient norm above which gradients are scaled down; null leaves them."""


@dataclass(frozen=True, kw_only=True)
class EvaluationRecipe:
    """Loss on the held-out documents."""

    every: int = key(STEPS)
    """Steps between evaluations; the last step is always evaluated."""


@dataclass(frozen=True, kw_only=True)
class CheckpointRecipe:
    """When the run's state is saved: every so often, and always on a stop signal and at the end."""

    steps: int | None = key(STEPS, None)
    """Steps between checkpoints."""
    time: str | None = key(DURATION, None)
    """Time between checkpoints, such as `30 minutes`; with `steps`, whichever comes first. Default: 30 minutes."""
    keep: int = key(COUNT, 2)
    """How many are kept. Older ones go when a new one is safe."""

    @property
    def seconds(self) -> float | None:
        """Seconds between checkpoints; None where only steps count."""
        if self.time:
            return float(parse_hours(self.time) * 3600)
        return None if self.steps else SECONDS_BETWEEN_CHECKPOINTS


@dataclass(frozen=True, kw_only=True)
class TrackingRecipe:
    """Where the numbers are mirrored; the ledger is the record."""

    wandb: str = key(TEXT)
    """Project name. Not logged in means an offline run in the run directory."""
