"""What a run draws at each sequence length, and how many passes over the corpus that is."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.loader import Loader, LoaderCounts
from dist_epochs.arithmetic.quantity import Quantity, Unit
from dist_epochs.arithmetic.schedule import Phase
from dist_epochs.plan.corpus_facts import CorpusFacts

__all__ = ["DrawnSamples", "Loop"]


@dataclass(frozen=True, slots=True)
class Loop:
    """Another trainer's loop: how it ends its passes, and what it has done at the end."""

    loader: Loader
    counts: LoaderCounts


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnSamples:
    """The samples of a run, over all devices, beside the corpus that they are drawn from.

    Attributes:
        phases: Steps, length and global batch of each stretch of equal steps.
        batches: How each one's batch lies over the devices.
        loop: Another trainer's loop, where one is planned; it then holds steps, micro-steps and samples.
        facts: The counted corpus, if there is one.
        corpus_size: One pass, counted or stated, in tokens or samples; None if it is not known.
    """

    phases: tuple[Phase, ...]
    batches: tuple[GlobalBatch, ...]
    loop: Loop | None
    facts: CorpusFacts | None
    corpus_size: Quantity | None

    @property
    def counts_tokens(self) -> bool:
        """Whether the corpus is counted in tokens (else in samples)."""
        return self.corpus_size is not None and self.corpus_size.unit is Unit.TOKEN

    @property
    def samples(self) -> int:
        """Samples drawn, and trained."""
        return self.loop.counts.samples if self.loop else sum(phase.samples for phase in self.phases)

    @property
    def lengths(self) -> tuple[int, ...]:
        """The sequence lengths, shortest first."""
        return tuple(sorted({phase.sequence_length for phase in self.phases}))

    def samples_at(self, length: int) -> int:
        """Samples drawn at one length."""
        if self.loop:
            return self.loop.counts.samples
        return sum(phase.samples for phase in self.phases if phase.sequence_length == length)

    def pass_at(self, length: int) -> Fraction | None:
        """Samples of one pass at a length; estimated, if the corpus is not counted; None if it is not packed."""
        if self.facts is not None:
            return None if self.facts.not_packed([length]) else Fraction(sum(self.facts.samples(length).values()))
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
