"""How each phase of a recipe mixes the sources of the corpus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from dist_epochs.arithmetic.curriculum import Curriculum
from dist_epochs.arithmetic.layout import Layout
from dist_epochs.arithmetic.mixture import Mixture, shares_of
from dist_epochs.arithmetic.schedule import Schedule
from dist_epochs.errors import InputError
from dist_epochs.plan.corpus_facts import CorpusFacts
from dist_epochs.plan.history import BEFORE, History
from dist_epochs.recipe import Recipe

__all__ = ["Mixtures", "mixtures_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixtures:
    """What each phase draws from.

    Attributes:
        planned: The mixture of each phase of the recipe.
        taken: The mixture of each phase of the history.
    """

    planned: tuple[Mixture, ...]
    taken: tuple[Mixture, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every source that some phase draws."""
        return tuple(dict.fromkeys(name for mixture in (*self.taken, *self.planned) for name in mixture.names))

    def along(self, layout: Layout) -> Curriculum:
        """The mixtures of the phases that the recipe's were laid out in."""
        return Curriculum(
            Schedule(layout.phases),
            tuple(
                self.taken[index] if stretch == BEFORE else self.planned[stretch]
                for index, stretch in enumerate(layout.stretches)
            ),
        )


def mixtures_of(recipe: Recipe, facts: CorpusFacts | None, history: History | None = None) -> Mixtures | None:
    """How the phases of a recipe draw from their sources; None for one source of stated size.

    Args:
        recipe: The recipe.
        facts: The counted corpus; without it, the stated sources.
        history: What the run did before its plan was changed.

    Raises:
        InputError: If several sources have no weights, weights name no source, or a stated source is never drawn.
    """
    corpus = recipe.corpus
    if facts is not None:
        sizes = {source.name: Fraction(source.tokens) for source in facts.sources}
        weights, where, key = corpus.weights, facts.store, "corpus.weights"
    elif corpus.sources is not None:
        sizes = {name: source.size.value for name, source in corpus.sources.items()}
        stated = {name: source.weight for name, source in corpus.sources.items() if source.weight is not None}
        weights, where, key = stated or None, "corpus.sources", "weight"
    else:
        return None

    made: dict[tuple[tuple[str, Fraction], ...], Mixture] = {}

    def mixture(own: Mapping[str, Fraction] | Mapping[str, int] | None, own_key: str) -> Mixture:
        if own is None:
            shares = shares_of(weights, corpus.temperature, sizes, where=where, key=key)
        else:
            own = {name: Fraction(weight) for name, weight in own.items()}
            shares = shares_of(own, None, sizes, where=where, key=own_key)
        place = tuple(shares.items())
        if place not in made:
            made[place] = Mixture.of(shares)
        return made[place]

    before = (history.mixtures or (None,) * len(history.phases)) if history else ()
    found = Mixtures(
        planned=tuple(mixture(phase.sources, f"phases.{i}.sources") for i, phase in enumerate(recipe.phases)),
        taken=tuple(mixture(own, "history.mixtures") for own in before),
    )
    if facts is None and (unused := [name for name in sizes if name not in found.names]):
        raise InputError(
            f"corpus.sources: no phase draws {', '.join(unused)}",
            rule="epochs are samples drawn ÷ samples of the sources",
            fixes=("leaving it out", "a phase that draws it"),
        )
    return found
