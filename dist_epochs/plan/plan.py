"""The plan as a value: what will be drawn, what it costs, and what to know about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.arithmetic.layout import Excess
from dist_epochs.arithmetic.loader import Loader, LoaderCounts
from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.arithmetic.schedule import Phase
from dist_epochs.plan.corpus_facts import CorpusFacts
from dist_epochs.plan.history import History
from dist_epochs.plan.pricing import Cost
from dist_epochs.recipe import Recipe

__all__ = ["Loop", "Plan", "SourcePlan", "Warning"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SourcePlan:
    """One source's part of the run.

    Attributes:
        name: The source.
        samples: Samples drawn from it.
        tokens: Tokens drawn from it; of a source that was not counted, positions.
        epochs: Samples drawn ÷ samples of the source.
        share: Share of all samples.
        size: Tokens or samples of the source, in the unit of the corpus.
        epochs_at: Of a source that was not counted: epochs at each length.
        fitting_share: Where the recipe caps repeats and this source is beyond: the share that fits.
    """

    name: str
    samples: int
    tokens: int | None
    epochs: Fraction
    share: Fraction
    size: Fraction
    epochs_at: Mapping[int, Fraction] = field(default_factory=dict)
    fitting_share: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Warning:
    """Something to know about a plan.

    Attributes:
        rule: Its name, for `dist-epochs explain`.
        message: What it is here, with numbers.
        is_note: Whether it only informs; `--strict` fails on the others.
    """

    rule: str
    message: str
    is_note: bool = False


@dataclass(frozen=True, slots=True)
class Loop:
    """Somebody else's loop: how it ends its passes, and what it has done at the end."""

    loader: Loader
    counts: LoaderCounts


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What will be drawn, over all devices. None means: not known before the corpus is counted.

    Attributes:
        recipe: What was planned.
        phases: Steps, length and global batch of each stretch of equal steps.
        stretches: For each of them, the phase of the recipe it is a part of.
        batches: How each one's batch lies over the devices.
        excesses: What rounding to whole steps did to the amounts asked for.
        has_partial_step: Whether the last step draws less, what is left of the amount.
        loop: Somebody else's loop, where one is planned; it then holds steps, micro-steps and samples.
        facts: The counted corpus, if there is one.
        corpus_size: One pass, counted or stated, in tokens or samples.
        passes: Exact counts of each pass of each source in each phase.
        cost: What it takes to compute.
        fingerprint: Digest of all that decides which samples are drawn.
        sources: Samples, tokens and epochs of each source.
        coverage: Share of the documents drawn at least once; expected, where it is left to chance.
        warnings: What is estimated, missing, or easily misread.
        history: What was done before the plan was changed, if it was.
    """

    recipe: Recipe
    phases: tuple[Phase, ...]
    stretches: tuple[int, ...]
    batches: tuple[GlobalBatch, ...]
    excesses: tuple[Excess, ...]
    has_partial_step: bool
    loop: Loop | None
    facts: CorpusFacts | None
    corpus_size: Quantity | None
    passes: Mapping[PassKey, Counts] | None
    cost: Cost
    fingerprint: str
    sources: tuple[SourcePlan, ...] = ()
    coverage: Fraction | float | None = None
    warnings: tuple[Warning, ...] = ()
    history: History | None = None

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
    def counts_tokens(self) -> bool:
        """Whether the corpus is counted in tokens (else in samples)."""
        return self.corpus_size is not None and self.corpus_size.unit is Unit.TOKEN

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
    def samples(self) -> int:
        """Samples drawn, and trained."""
        return self.loop.counts.samples if self.loop else sum(phase.samples for phase in self.phases)

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
        if self.recipe.budget is not None:
            return (self.recipe.budget.amount,)
        return tuple(filter(None, (phase.amount for phase in self.recipe.phases)))

    @property
    def devices(self) -> int:
        """All devices, those that see the same data included."""
        return self.recipe.batch.devices or self.batches[0].data_parallel_size

    @property
    def lengths(self) -> tuple[int, ...]:
        """The sequence lengths, shortest first."""
        return tuple(sorted({phase.sequence_length for phase in self.phases}))

    @property
    def totals(self) -> Counts | None:
        """Exact counts of the whole run."""
        return None if self.passes is None else sum(self.passes.values(), Counts())

    @property
    def corpus_tokens(self) -> Quantity | None:
        """Tokens of one pass, counted or stated."""
        return self.corpus_size if self.counts_tokens else None

    def samples_at(self, length: int) -> int:
        """Samples drawn at one length."""
        if self.loop:
            return self.loop.counts.samples
        return sum(phase.samples for phase in self.phases if phase.sequence_length == length)

    def pass_at(self, length: int) -> Fraction | None:
        """Samples of one pass at a length; estimated, if the corpus is not counted; None if it is not packed."""
        if self.facts is not None:
            if any(length not in source.samples for source in self.facts.sources):
                return None
            return Fraction(sum(self.facts.samples(length).values()))
        if self.corpus_size is None:
            return None
        return self.corpus_size.value / length if self.counts_tokens else self.corpus_size.value

    def epochs_at(self, length: int) -> Fraction | None:
        """Epochs drawn at one length."""
        one_pass = self.pass_at(length)
        return None if one_pass is None else self.samples_at(length) / one_pass

    def goes_beyond(self, epochs: Fraction, limit: Fraction) -> bool:
        """Whether some epochs are above a limit, the last step's rounding taken off."""
        last = self.batches[-1].samples if not self.loop else 0
        return epochs * (1 - Fraction(last, max(self.samples, 1))) > limit

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
