"""What is drawn of each source of a mixture, as facts and formulas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.quantity import parse
from dist_epochs.audit.plan_facts import drawn_formula
from dist_epochs.plan.plan import Plan
from dist_epochs.recipe.corpus import SourceRecipe
from dist_epochs.settings.document import Document

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
        recipe: Its recipe as written, for the spelling of weights.
    """

    plan: Plan
    recipe: Document

    @property
    def sources(self) -> Mapping[str, SourceRecipe]:
        """The sources of stated size."""
        return self.plan.recipe.corpus.sources or {}

    @property
    def weights(self) -> tuple[str, ...]:
        """Their weights as written; none, where they are mixed otherwise."""
        written = [self.recipe.get(("corpus", "sources", name, "weight")) for name in self.sources]
        return tuple(str(weight) for weight in written if weight is not None)

    @property
    def are_shares(self) -> bool:
        """Whether the weights are meant to come to one: percentages, or numbers that nearly do; else proportions."""
        if not self.weights:
            return False
        if all("%" in weight for weight in self.weights):
            return True
        values = [parse(weight).value for weight in self.weights]
        return max(values) < 1 and NEAR_ONE[0] <= sum(values) <= NEAR_ONE[1]

    def facts(self) -> Iterator[tuple[str, Any]]:
        """Sizes and weights as written, or the shares that the plan works out."""
        for number, source in enumerate(self.sources.values()):
            if source.words is not None and source.tokens_per_word is not None:
                yield f"words_{number}", source.words.text
                yield f"tokens_per_word_{number}", {"number": source.tokens_per_word.text, "exact": True}
            else:
                yield f"size_{number}", source.size.text
        for number, weight in enumerate(self.weights):
            yield f"weight_{number}", weight if self.are_shares else {"number": weight, "exact": True}
        for number, planned in enumerate(self.plan.sources if not self.weights else ()):
            origin = "the plan: the temperature" if len(self.sources) > 1 else "the plan: the only source"
            share = f"{planned.share.numerator}/{planned.share.denominator}"
            yield f"share_{number}", {"number": share, "exact": True, "derived": True, "read_in": origin}

    def formulas(self, rows: Mapping[str, Any]) -> dict[str, str]:
        """How the stated epochs of sources follow, and what they come to, by the names of the checks.

        Args:
            rows: What is stated, by source.
        """
        drawn, names = drawn_formula(self.plan), list(self.sources)
        found = {
            EPOCHS_OF.format(name): f"{drawn} * {self._share(number)} / {self._size(number)}"
            for number, name in enumerate(names)
            if name in rows
        }
        if self.are_shares:
            found[SUM_OF_WEIGHTS] = self._whole
        if len(rows) == len(names):
            total = " + ".join(f"epochs_{number} * {self._size(number)}" for number in range(len(names)))
            found[SUM_OF_EPOCHS] = f"({total}) / {drawn}"
        return found

    @property
    def _whole(self) -> str:
        return " + ".join(f"weight_{number}" for number in range(len(self.weights)))

    def _share(self, number: int) -> str:
        if not self.weights:
            return f"share_{number}"
        return f"weight_{number}" if self.are_shares else f"weight_{number} / ({self._whole})"

    def _size(self, number: int) -> str:
        source = list(self.sources.values())[number]
        return f"size_{number}" if source.words is None else f"(words_{number} * tokens_per_word_{number})"
