"""Which source each draw of a mixture comes from: smooth weighted round robin with an integer period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from math import gcd, lcm

from dist_epochs.errors import InputError

__all__ = ["LARGEST_PERIOD", "Mixture"]

LARGEST_PERIOD = 100_000
"""Longest period kept in memory; five-digit weights fit."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """An endless, evenly interleaved pattern of sources.

    In each period of `sum(weights)` draws every source is drawn exactly its weight's number of times,
    spread as evenly as the weights allow. A source's share is exact after every whole period.

    Attributes:
        names: Sources, in order.
        weights: Draws of each source per period, integers without a common factor.

    Examples:
        >>> mix = Mixture.of({"web": Fraction(3, 4), "wiki": Fraction(1, 4)})
        >>> [mix.names[source] for source in mix.pattern]
        ['web', 'web', 'wiki', 'web']
        >>> mix.split(2, 9)
        {'web': (2, 7), 'wiki': (0, 2)}
    """

    names: tuple[str, ...]
    weights: tuple[int, ...]
    pattern: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _before: tuple[tuple[int, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", _round_robin(self.weights))
        before = tuple(
            (0, *accumulate(int(drawn == source) for drawn in self.pattern)) for source in range(len(self.names))
        )
        object.__setattr__(self, "_before", before)

    @classmethod
    def of(cls, weights: Mapping[str, Fraction]) -> Mixture:
        """A mixture from weights in any proportion.

        Raises:
            InputError: If a weight is not above zero, or the period would be too long.
        """
        for name, weight in weights.items():
            if weight <= 0:
                raise InputError(
                    f"the weight of source {name!r} is {weight}", rule="it must be above zero", fixes="leaving it out"
                )
        unit = lcm(*(weight.denominator for weight in weights.values()))
        whole = [int(weight * unit) for weight in weights.values()]
        common = gcd(*whole)
        counts = tuple(count // common for count in whole)
        if sum(counts) > LARGEST_PERIOD:
            raise InputError(
                f"the weights repeat only after {sum(counts):,} draws",
                rule=f"at most {LARGEST_PERIOD:,} are kept",
                fixes="weights with fewer digits",
            )
        return cls(tuple(weights), counts)

    @property
    def period(self) -> int:
        """Draws after which the pattern repeats."""
        return len(self.pattern)

    def drawn(self, source: int, count: int) -> int:
        """How many of the first `count` draws come from source number `source`."""
        periods, rest = divmod(count, self.period)
        return periods * self.weights[source] + self._before[source][rest]

    def split(self, start: int, stop: int) -> dict[str, tuple[int, int]]:
        """Draws `start` to `stop` − 1 of the mixture, as a range of each source's own sequence."""
        return {name: (self.drawn(source, start), self.drawn(source, stop)) for source, name in enumerate(self.names)}


def _round_robin(weights: tuple[int, ...]) -> tuple[int, ...]:
    """One period: each draw goes to the source that is furthest behind its share."""
    total = sum(weights)
    credit = [0] * len(weights)
    pattern = []
    for _ in range(total):
        credit = [have + weight for have, weight in zip(credit, weights, strict=True)]
        chosen = max(range(len(weights)), key=credit.__getitem__)
        credit[chosen] -= total
        pattern.append(chosen)
    return tuple(pattern)
