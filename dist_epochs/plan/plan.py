"""The plan as a value: what will be drawn, what it costs, and what to know about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.arithmetic.layout import Excess
from dist_epochs.arithmetic.quantity import Quantity
from dist_epochs.plan.drawn import DrawnSamples
from dist_epochs.plan.history import History
from dist_epochs.plan.pricing import Cost
from dist_epochs.plan.sources import SourcePlan
from dist_epochs.plan.warnings import check
from dist_epochs.plan.warnings.warning import Warning
from dist_epochs.recipe import Recipe

__all__ = ["FROM_FLAGS_ALONE", "Plan"]

FROM_FLAGS_ALONE = "plan"
"""The name of a plan that comes from no recipe."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan(DrawnSamples):
    """What will be drawn, over all devices, and what it costs. None means: not known before the corpus is counted.

    Attributes:
        recipe: What was planned.
        stretches: For each phase, the phase of the recipe that it is a part of.
        excesses: What rounding to whole steps did to the amounts asked for.
        has_partial_step: Whether the last step draws less, what is left of the amount.
        passes: Exact counts of each pass of each source in each phase.
        sources: Samples, tokens and epochs of each source.
        phase_sources: The same for each phase; nothing, where no phase of the recipe has its own sources.
        coverage: Share of the documents drawn at least once; expected, where it is left to chance.
        cost: What it takes to compute.
        fingerprint: Digest of all that decides which samples are drawn.
        history: What was done before the plan was changed, if it was.
        is_launched: Whether the devices are those of a launch that runs already.
        warnings: What is estimated, missing, or easily misread; follows from the rest.
    """

    recipe: Recipe
    stretches: tuple[int, ...]
    excesses: tuple[Excess, ...]
    has_partial_step: bool
    passes: Mapping[PassKey, Counts] | None
    sources: tuple[SourcePlan, ...]
    phase_sources: tuple[tuple[SourcePlan, ...], ...]
    coverage: Fraction | float | None
    cost: Cost
    fingerprint: str
    history: History | None
    is_launched: bool
    warnings: tuple[Warning, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "warnings", check(self))

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    @property
    def has_positions(self) -> bool:
        """Whether samples have a length; rows and images have none."""
        return all(phase.sequence_length > 1 for phase in self.phases)

    @property
    def is_estimate(self) -> bool:
        """Whether padding is not known, so that every position is taken for a token."""
        return self.facts is None and self.counts_tokens

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return self.loop.counts.steps if self.loop else sum(phase.steps for phase in self.phases)

    @property
    def micro_steps(self) -> int:
        """Forward and backward passes on each device (on the busiest one, where they differ)."""
        if self.loop:
            return self.loop.counts.micro_steps
        return sum(
            phase.steps * batch.gradient_accumulation for phase, batch in zip(self.phases, self.batches, strict=True)
        )

    @property
    def positions(self) -> int | None:
        """Positions drawn, padding included; None for samples without a length."""
        if not self.has_positions:
            return None
        if self.loop:
            return self.loop.counts.samples * self.phases[0].sequence_length
        return sum(phase.positions for phase in self.phases)

    @property
    def amounts(self) -> tuple[tuple[str, Fraction], ...]:
        """What the run's length was asked for in: the budget's, or each phase's."""
        if self.recipe.length_budget is not None:
            return (self.recipe.length_budget.amount,)
        return tuple(filter(None, (phase.amount for phase in self.recipe.phases)))

    @property
    def devices(self) -> int:
        """All devices, those that see the same data included."""
        return self.recipe.batch.devices or self.batches[0].data_parallel_size

    @property
    def totals(self) -> Counts | None:
        """Exact counts of the whole run."""
        return None if self.passes is None else sum(self.passes.values(), Counts())

    @property
    def corpus_tokens(self) -> Quantity | None:
        """Tokens of one pass, counted or stated."""
        return self.corpus_size if self.counts_tokens else None

    @property
    def epochs(self) -> dict[str, Fraction | None]:
        """Epochs by samples (the definition), by positions (as papers print it), and by tokens."""
        totals, corpus = self.totals, self.corpus_tokens
        by_length = [self.epochs_at(length) for length in self.lengths]
        known = [epochs for epochs in by_length if epochs is not None]
        return {
            "samples": sum(known, Fraction(0)) if len(known) == len(by_length) else None,
            "positions": self.positions / corpus.value if corpus and self.positions is not None else None,
            "tokens": totals.tokens / corpus.value if corpus and totals else None,
        }
