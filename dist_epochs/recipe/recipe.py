"""A whole run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from dist_epochs.arithmetic.duration import parse_hours
from dist_epochs.arithmetic.quantity import Unit, parse_count
from dist_epochs.errors import InputError
from dist_epochs.recipe.batch import BatchRecipe
from dist_epochs.recipe.corpus import CorpusRecipe, MixtureRecipe
from dist_epochs.recipe.hardware import HardwareRecipe
from dist_epochs.recipe.phases import BudgetRecipe, PhaseRecipe
from dist_epochs.recipe.training import (
    CheckpointRecipe,
    EvaluationRecipe,
    ModelRecipe,
    OptimizerRecipe,
    TrackingRecipe,
)
from dist_epochs.recipe.values import COUNT, DURATION, FLAG, STEPS, TEXT
from dist_epochs.settings.fields import Choice, Many, Part, Value, key

__all__ = ["DEFAULT_PRECISION", "Recipe"]

DEFAULT_PRECISION = "bf16"
"""Where a recipe states none, in pricing and in training; a note says so."""

LARGEST_SEED = 2**63 - 1


def _seed(data: Any) -> int:
    seed = parse_count(data, what="the seed", least=0)
    if seed > LARGEST_SEED:
        raise ValueError(f"the seed must be at most {LARGEST_SEED}, not {data}")
    return seed


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole run."""

    name: str = key(TEXT, "")
    """Name of the run, for titles and trackers. Default: the file's."""
    seed: int = key(Value(_seed, ("integer",)), 0)
    """Seed of order, masks and initial weights."""
    corpus: CorpusRecipe = key(Part(CorpusRecipe), CorpusRecipe())
    """What is drawn. Without it epochs are not known."""
    mixture: MixtureRecipe | None = key(Part(MixtureRecipe), None)
    """How its sources are mixed, where no weights are stated."""
    batch: BatchRecipe = key(Part(BatchRecipe))
    """What one step draws, and how it is laid over devices."""
    budget: BudgetRecipe | None = key(Part(BudgetRecipe), None)
    """The whole run in one number; phases then take shares of it."""
    phases: tuple[PhaseRecipe, ...] = key(Many(Part(PhaseRecipe), least=1), (PhaseRecipe(),))
    """Stretches of the run, in order. Without any, the budget is spent in one."""
    model: ModelRecipe | None = key(Part(ModelRecipe), None)
    """What is trained. Needed to train, and to price the run."""
    hardware: HardwareRecipe | None = key(Part(HardwareRecipe), None)
    """What it is priced on."""
    optimizer: OptimizerRecipe | None = key(Part(OptimizerRecipe), None)
    """Needed to train."""
    precision: Literal["fp32", "tf32", "bf16", "fp16"] | None = key(Choice(("fp32", "tf32", "bf16", "fp16")), None)
    """Arithmetic of the forward and backward passes; tf32 is fp32 whose matrix products take TF32 on NVIDIA GPUs.
    Default: bf16, in pricing and in training."""
    attention: Literal["auto", "mask", "varlen"] = key(Choice(("auto", "mask", "varlen")), "auto")
    """What keeps packed documents apart in training: a dense `mask`, or `varlen`, a kernel for documents of different
    lengths, on CUDA in bf16 or fp16 and without dropout in the attention. `auto`: the kernel where it can be had."""
    compile: bool = key(FLAG, False)
    """Whether the model is compiled by `torch.compile` for training, once for each sequence length."""
    evaluation: EvaluationRecipe | None = key(Part(EvaluationRecipe), None)
    """Evaluate on held-out documents; needs a store made with `--held-out`."""
    tracking: TrackingRecipe | None = key(Part(TrackingRecipe), None)
    """Mirror of the numbers."""
    checkpoints: CheckpointRecipe = key(Part(CheckpointRecipe), CheckpointRecipe())
    """When the run's state is saved, so that it survives a crash."""
    on_nan: Literal["stop", "skip"] = key(Choice(("stop", "skip")), "stop")
    """Where the loss or the gradient is not finite: `stop` and go back to the last checkpoint, or `skip` the step."""
    max_skipped: int = key(COUNT, 20)
    """Steps in a row that may be skipped, for NaN or for overflows of fp16, before the run stops after all."""
    timeout: str = key(DURATION, "10 minutes")
    """How long a rank may be silent before the others end the run and name it."""
    log_every: int = key(STEPS, 10)
    """Steps between logged rows."""

    def __post_init__(self) -> None:
        self._take_mixture()
        self._check_amounts()
        self._check_lengths()
        self._check_sources()
        if self.batch.is_foreign and (len(self.phases) > 1 or any(phase.global_batch for phase in self.phases)):
            raise InputError(
                "batch: last_window and uneven: pad, drop, keep with several phases or batches",
                rule="they plan another trainer's loop, which has one phase with one batch",
                fixes=("leaving them out", "one phase"),
            )
        if self.batch.ramp is not None and any(phase.global_batch for phase in self.phases):
            raise InputError(
                "batch.ramp says how the batch grows over the whole run", rule="phases then have no batch of their own"
            )

    def _take_mixture(self) -> None:
        """`mixture.temperature` is another place for `corpus.temperature`; the corpus keeps it."""
        if self.mixture is None:
            return
        if self.corpus.temperature is not None:
            raise InputError("mixture.temperature and corpus.temperature are the same setting", fixes="one of them")
        corpus = replace(self.corpus, temperature=self.mixture.temperature)
        object.__setattr__(self, "corpus", corpus)
        object.__setattr__(self, "mixture", None)

    def _check_sources(self) -> None:
        """Phases choose among the sources of a corpus that has some."""
        chosen = [index for index, phase in enumerate(self.phases) if phase.sources is not None]
        if chosen and self.corpus.store is None and self.corpus.sources is None:
            raise InputError(
                f"phases.{chosen[0]}.sources: the corpus has no sources to choose from",
                fixes=("corpus.sources, with the size of each", "corpus.store"),
            )
        if chosen and self.length_budget is not None and self.length_budget.epochs is not None:
            counted = [index for index, phase in enumerate(self.phases) if phase.epochs is not None]
            if counted:
                raise InputError(
                    f"phases.{counted[0]}.epochs: a budget in epochs, and phases with sources of their own",
                    rule="epochs of the budget are over the whole corpus, and those of a phase over its sources",
                    fixes=("shares of the budget", "epochs of every phase, and no budget"),
                )

    def _check_lengths(self) -> None:
        """A length is only missing where samples need none: nothing is counted in tokens."""
        lengths = {phase.sequence_length is not None for phase in self.phases}
        if lengths == {True}:
            return
        size, stated = self.corpus.size, self.batch.global_batch
        in_tokens = [
            name
            for name, tokens in {
                "the corpus": self.corpus.store is not None or (size is not None and size.unit is not Unit.SAMPLE),
                "the batch": stated is not None and stated.unit in (Unit.TOKEN, Unit.POSITION),
                "some phases": len(lengths) > 1,
                "the budget": self.length_budget is not None and self.length_budget.tokens is not None,
            }.items()
            if tokens
        ]
        if in_tokens:
            raise InputError(
                "phases: sequence_length is missing", rule=f"{in_tokens[0]} counts tokens, and each sample holds some"
            )

    def _check_amounts(self) -> None:
        amounts = [phase.amount for phase in self.phases]
        open_phases = amounts.count(None)
        shares = [value for name, value in filter(None, amounts) if name == "share"]
        if self.length_budget is None:
            if open_phases or shares:
                raise InputError(
                    "how long is the run?",
                    fixes=(
                        "an amount of each phase: steps, samples, tokens or epochs",
                        "a budget that they share: steps, samples, tokens, epochs, hours, flops or money",
                    ),
                )
            return
        unit, budget = self.length_budget.amount
        others = {name for name, _ in filter(None, amounts)} - {"share", unit}
        if others:
            raise InputError(
                f"the budget counts {unit}, and a phase counts {', '.join(sorted(others))}",
                rule="how much of the budget it takes is not known",
                fixes=("shares of the budget", "amounts in the unit of the budget"),
            )
        if open_phases > 1:
            raise InputError(
                "phases: one phase may take the rest of the budget, not several", fixes="a share for the others"
            )
        taken = sum(value * budget if name == "share" else value for name, value in filter(None, amounts))
        if taken > budget or (taken == budget) == bool(open_phases):
            raise InputError(
                f"phases take {float(taken / budget):.6g} of the budget of {float(budget):g} {unit}"
                f"{', and one phase takes the rest' if open_phases else ''}",
                rule="it must be spent exactly",
            )

    @property
    def length_budget(self) -> BudgetRecipe | None:
        """The budget, where it says how long the run is; None where it only limits it."""
        return self.budget if self.budget is not None and self.budget.is_length else None

    @property
    def arithmetic(self) -> str:
        """The precision that is priced and trained: the stated one, or `DEFAULT_PRECISION`."""
        return self.precision or DEFAULT_PRECISION

    @property
    def timeout_seconds(self) -> float:
        """Seconds that a rank may be silent."""
        return float(parse_hours(self.timeout) * 3600)

    @property
    def longest(self) -> int:
        """The longest sequence length of the phases; 1 where samples have none."""
        return max(phase.sequence_length or 1 for phase in self.phases)
