"""What is drawn of each source of a mixture, as facts and formulas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from dist_epochs.arithmetic.quantity import Quantity
from dist_epochs.audit.expression import Expression, Name, total
from dist_epochs.audit.fact import Fact
from dist_epochs.audit.plan_facts import derived, drawn_formula, exact
from dist_epochs.plan.plan import Plan
from dist_epochs.recipe.corpus import SourceRecipe

__all__ = ["EPOCHS_OF", "SUM_OF_EPOCHS", "SUM_OF_WEIGHTS", "SourceFacts"]

EPOCHS_OF = "epochs of {}"
SUM_OF_WEIGHTS = "sum of the weights"
SUM_OF_EPOCHS = "sum of epochs × size ÷ what is drawn"
"""Names of checks."""

NEAR_ONE = (Fraction(9, 10), Fraction(11, 10))
"""Weights below one that come to this are shares, if not quite; others are proportions."""


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """The sources of a planned recipe, by their numbers.

    Attributes:
        plan: The plan.
        weights: The sources' weights with the precision they were written in; none, where they are mixed otherwise.
    """

    plan: Plan
    weights: Sequence[Quantity]

    @property
    def sources(self) -> Mapping[str, SourceRecipe]:
        """The sources of stated size."""
        return self.plan.recipe.corpus.sources or {}

    @property
    def are_shares(self) -> bool:
        """Whether the weights are meant to come to one: percentages, or numbers that nearly do; else proportions."""
        if not self.weights:
            return False
        if all("%" in weight.text for weight in self.weights):
            return True
        values = [weight.value for weight in self.weights]
        return max(values) < 1 and NEAR_ONE[0] <= sum(values) <= NEAR_ONE[1]

    def facts(self) -> Iterator[tuple[str, Fact]]:
        """Sizes and weights as written, or the shares that the plan works out."""
        for number, source in enumerate(self.sources.values()):
            if source.words is not None and source.tokens_per_word is not None:
                yield f"words_{number}", Fact(number=source.words)
                yield f"tokens_per_word_{number}", exact(source.tokens_per_word.value)
            else:
                yield f"size_{number}", Fact(number=source.size)
        for number, weight in enumerate(self.weights):
            yield f"weight_{number}", Fact(number=weight) if self.are_shares else exact(weight.value)
        for number, planned in enumerate(self.plan.sources if not self.weights else ()):
            if self.plan.phase_sources:
                tokens, positions = planned.tokens, self.plan.positions
                drawn = (planned.samples, self.plan.samples) if tokens is None else (tokens, positions)
                yield f"share_{number}", derived(Fraction(*drawn), "the plan: the sources of its phases")
            else:
                origin = "the plan: the temperature" if len(self.sources) > 1 else "the plan: the only source"
                yield f"share_{number}", derived(planned.share, origin)

    def formulas(self, stated: Mapping[str, Fact]) -> dict[str, Expression]:
        """How the stated epochs of sources follow, and what they come to, by the names of the checks.

        Args:
            stated: Epochs that are stated, by source.
        """
        drawn, names = drawn_formula(self.plan), list(self.sources)
        found: dict[str, Expression] = {
            EPOCHS_OF.format(name): self._drawn_of(number, drawn) / self._size(number)
            for number, name in enumerate(names)
            if name in stated
        }
        if self.are_shares:
            found[SUM_OF_WEIGHTS] = self._sum_of_weights
        if len(stated) == len(names):
            found[SUM_OF_EPOCHS] = (
                total([Name(f"epochs_{number}") * self._size(number) for number in range(len(names))]) / drawn
            )
        return found

    @property
    def _sum_of_weights(self) -> Expression:
        return total([Name(f"weight_{number}") for number in range(len(self.weights))])

    def _drawn_of(self, number: int, drawn: Expression) -> Expression:
        """What is drawn of one source."""
        if not self.weights:
            return drawn * Name(f"share_{number}")
        mine = drawn * Name(f"weight_{number}")
        return mine if self.are_shares else mine / self._sum_of_weights

    def _size(self, number: int) -> Expression:
        source = list(self.sources.values())[number]
        if source.words is None:
            return Name(f"size_{number}")
        return Name(f"words_{number}") * Name(f"tokens_per_word_{number}")
