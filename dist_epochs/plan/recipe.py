"""The recipe: one YAML file that says what to train on, in which batches, for how long."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from dist_epochs.arithmetic.quantity import Quantity, Unit, parse, parse_count, parse_length
from dist_epochs.plan.yaml_reader import RecipeError, load

__all__ = [
    "BatchRecipe",
    "CorpusRecipe",
    "EvaluationRecipe",
    "ModelRecipe",
    "OptimizerRecipe",
    "PhaseRecipe",
    "Recipe",
    "TrackingRecipe",
    "read_recipe",
]


def _count(unit: Unit | None, least: int = 1) -> BeforeValidator:
    return BeforeValidator(lambda text: parse_count(text, unit=unit, what="the value", least=least))


def _read_quantity(text: Any, *units: Unit) -> Quantity:
    quantity = text if isinstance(text, Quantity) else parse(text, what="the value")
    if quantity.unit is not None and quantity.unit not in units:
        wanted = " or ".join(f"{unit}s" for unit in units) or "nothing"
        raise ValueError(f"{quantity.text!r} counts {quantity.unit}s; it must count {wanted}")
    if quantity.value <= 0:
        raise ValueError(f"it must be above zero, not {quantity.text}")
    return quantity


def _quantity(*units: Unit) -> BeforeValidator:
    return BeforeValidator(lambda text: _read_quantity(text, *units))


def _share(text: Any) -> Fraction:
    share = parse(text, what="the value").value
    if not 0 < share < 1:
        raise ValueError(f"it must lie between 0 and 1, not {text}")
    return share


def _number(text: Any) -> float:
    return float(parse(text, what="the value").value)


def _batch(text: Any) -> Quantity:
    quantity = _read_quantity(text, Unit.SAMPLE, Unit.TOKEN, Unit.POSITION)
    if len(quantity.factors) > 1:
        raise ValueError(f"{quantity.text!r} is a product; give the samples, the length is the phase's")
    return quantity


def _below_one(text: Any) -> float:
    number = _number(text)
    if not 0 <= number < 1:
        raise ValueError(f"it must be at least 0 and below 1, not {text}")
    return number


Steps = Annotated[int, _count(Unit.STEP)]
Samples = Annotated[int, _count(Unit.SAMPLE)]
Length = Annotated[int, BeforeValidator(lambda text: parse_length(text, what="the value"))]
Share = Annotated[float, BeforeValidator(_below_one)]
Number = Annotated[float, BeforeValidator(_number)]
Batch = Annotated[Quantity, BeforeValidator(_batch)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, arbitrary_types_allowed=True)


class CorpusRecipe(_Part):
    """What is drawn: a token store, or, to plan before anything is counted, a size."""

    store: str | None = None
    """Folder written by `dist-epochs tokenize`, relative to the recipe."""
    weights: (
        dict[str, Annotated[Fraction, BeforeValidator(lambda text: parse(text, what="the value").value)]] | None
    ) = None
    """Share of the samples drawn from each source, in any proportion. Needed with several sources."""
    tokens: Annotated[Quantity, _quantity(Unit.TOKEN)] | None = None
    """Tokens of the corpus, where nothing was counted."""
    words: Annotated[Quantity, _quantity(Unit.WORD)] | None = None
    """Words of the corpus, where nothing was counted; needs `tokens_per_word`."""
    tokens_per_word: Annotated[Quantity, _quantity()] | None = None
    """Tokens for one word."""

    @model_validator(mode="after")
    def _one_size(self) -> CorpusRecipe:
        given = [name for name in ("store", "tokens", "words") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of store, tokens and words, not {' and '.join(given) or 'none'}")
        if (self.words is None) != (self.tokens_per_word is None):
            raise ValueError(
                "words and tokens_per_word go together: words do not turn into tokens without a ratio "
                "(papers count 1; BERT's pieces on WikiText-2 are 1.24)"
            )
        return self

    @property
    def stated_tokens(self) -> Quantity | None:
        """The size in tokens, where it is stated and not counted."""
        if self.words is not None and self.tokens_per_word is not None:
            return (self.words * self.tokens_per_word.exactly()).using(Unit.TOKEN)
        return self.tokens


class BatchRecipe(_Part):
    """How a step's samples are laid over devices. The global batch is fixed; the rest follows the launch."""

    global_batch: Batch | None = None
    """Samples per step over all devices (or tokens, divided by the length). Default: the product of the rest."""
    per_device: Samples = Field(validation_alias=AliasChoices("per_device", "per_device_train_batch_size"))
    """The most samples one device takes in one micro-step."""
    gradient_accumulation: Annotated[int, _count(None)] | None = Field(
        default=None, validation_alias=AliasChoices("gradient_accumulation", "gradient_accumulation_steps")
    )
    """Micro-steps per step. Only needed where no global batch is stated."""
    devices: Annotated[int, _count(Unit.DEVICE)] | None = None
    """Data-parallel devices the run is planned for; a launch with another number is refused."""
    uneven: Literal["error", "allow"] = "error"
    """What happens where the devices do not divide the batch; `allow` lets them differ by one sample."""

    @model_validator(mode="after")
    def _enough(self) -> BatchRecipe:
        if self.global_batch is None and (self.devices is None or self.gradient_accumulation is None):
            raise ValueError("give global_batch, or devices and gradient_accumulation to derive it from")
        return self


class PhaseRecipe(_Part):
    """A stretch of steps with one sequence length."""

    steps: Steps
    """Optimizer steps."""
    sequence_length: Length
    """Positions per sample."""
    global_batch: Batch | None = None
    """Samples per step, where it differs from the batch's."""


class ModelRecipe(_Part):
    """The model, from a transformers configuration; weights start at random."""

    objective: Literal["masked", "causal"]
    """`masked`: predict masked tokens (BERT). `causal`: predict the next token (GPT)."""
    config: str | dict[str, Any]
    """A transformers `config.json` (file or folder, relative to the recipe), or its keys, `model_type` among them."""
    mask_probability: Annotated[Fraction, BeforeValidator(_share)] = Fraction(15, 100)
    """Share of each sample's ordinary tokens that are predicted; a fixed count per sample, at least one."""


class OptimizerRecipe(_Part):
    """AdamW, clipping, and the learning rate as a function of applied steps."""

    learning_rate: Number
    """Peak learning rate."""
    warmup_steps: Annotated[int, _count(Unit.STEP, least=0)] = 0
    """Steps over which the rate rises from zero to its peak."""
    decay: Literal["linear", "cosine", "constant"] = "linear"
    """How it falls from the peak to zero at the last step."""
    weight_decay: Number = 0.01
    """Decoupled decay of matrices; biases and norms have none."""
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Adam's averaging factors."""
    epsilon: Number = 1e-8
    """Adam's denominator term."""
    max_grad_norm: Number | None = 1.0
    """Global gradient norm above which gradients are scaled down; null leaves them."""


class EvaluationRecipe(_Part):
    """Loss on the held-out documents."""

    every: Steps
    """Steps between evaluations; the last step is always evaluated."""


class TrackingRecipe(_Part):
    """Where the numbers are mirrored; the ledger is the record."""

    wandb: str
    """Project name. Not logged in means an offline run in the run directory."""


class Recipe(_Part):
    """A whole run."""

    name: str
    """Name of the run, for titles and trackers."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of order, masks and initial weights."""
    corpus: CorpusRecipe
    batch: BatchRecipe
    phases: Annotated[list[PhaseRecipe], Field(min_length=1)]
    """Stretches of the run, in order."""
    model: ModelRecipe | None = None
    """Needed to train."""
    optimizer: OptimizerRecipe | None = None
    """Needed to train."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the forward and backward passes."""
    evaluation: EvaluationRecipe | None = None
    """Evaluate on held-out documents; needs a store made with `--held-out`."""
    tracking: TrackingRecipe | None = None
    log_every: Steps = 10
    """Steps between logged rows."""

    @property
    def longest(self) -> int:
        """The longest sequence length of the phases."""
        return max(phase.sequence_length for phase in self.phases)


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe; paths in it become absolute.

    Raises:
        RecipeError: With all problems at once, each at `path:line`.
    """
    recipe = load(path, Recipe, overrides)
    home = path.resolve().parent
    if recipe.corpus.store is not None:
        store = str((home / recipe.corpus.store).resolve())
        recipe = recipe.model_copy(update={"corpus": recipe.corpus.model_copy(update={"store": store})})
    if recipe.model is not None and isinstance(recipe.model.config, str):
        config = (home / recipe.model.config).resolve()
        if not config.exists():
            raise RecipeError(f"{path}: model.config: {config}: no such file or folder")
        recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"config": str(config)})})
    return recipe
