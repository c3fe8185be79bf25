"""In which proportion sources are drawn, and which of them each draw comes from: smooth weighted round robin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import accumulate
from math import gcd, lcm

from dist_epochs.errors import InputError

__all__ = ["LARGEST_PERIOD", "Mixture", "shares_by_temperature", "shares_of", "shares_within"]

LARGEST_PERIOD = 100_000
"""Longest period kept in memory; five-digit weights fit."""

SHARE_DIGITS = 10_000
"""Shares that are worked out here (by temperature, within a cap) are stated to this fraction."""

POWER_DIGITS = 40
"""Decimal digits of the powers that shares by temperature are rounded from."""


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

    @property
    def shares(self) -> dict[str, Fraction]:
        """Each source's share of the draws of a period."""
        return {name: Fraction(weight, self.period) for name, weight in zip(self.names, self.weights, strict=True)}

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


def shares_of(
    weights: Mapping[str, Fraction] | None,
    temperature: Fraction | None,
    sizes: Mapping[str, Fraction],
    *,
    where: str,
    key: str,
) -> dict[str, Fraction]:
    """Each source's share of the samples drawn; sources without a weight are left out.

    Args:
        weights: Stated weights, in any proportion.
        temperature: Instead of weights.
        sizes: Tokens or samples of each source.
        where: The corpus, for messages.
        key: The setting that holds the weights, for messages.

    Raises:
        InputError: If several sources have neither, or weights name no source.
    """
    if temperature is not None:
        return shares_by_temperature(sizes, temperature)
    if weights is None and len(sizes) > 1:
        total = sum(sizes.values())
        shares = ", ".join(f"{name}: {float(size / total):.4g}" for name, size in sizes.items())
        raise InputError(
            f"{where} holds {len(sizes)} sources and {key} does not say how to mix them",
            fixes=(
                f"{{{shares}}}, their shares by size",
                "other weights",
                "mixture.temperature: 1, which mixes by size",
            ),
        )
    for name in weights or ():
        if name not in sizes:
            raise InputError(f"{key} names {name!r}; {where} holds {', '.join(sizes)}")
    stated = weights or dict.fromkeys(sizes, Fraction(1))
    total = sum(stated.values(), Fraction(0))
    return {name: stated[name] / total for name in sizes if name in stated}


def shares_by_temperature(sizes: Mapping[str, Fraction], temperature: Fraction) -> dict[str, Fraction]:
    """Temperature-scaled mixing: sizes to the power of 1 ÷ temperature, as shares of whole ten-thousandths.

    1 mixes by size, larger values draw small sources more often. The temperature is that of T5 (arXiv:1910.10683,
    section 3.5.2) without its limit on sizes. XLM (arXiv:1901.07291), XLM-R (arXiv:1911.02116) and mT5
    (arXiv:2010.11934) state the exponent α = 1 ÷ temperature instead.

    Each share is rounded to whole ten-thousandths, at least one; what these add up to is the period of the mixture, so
    that it may differ from 10,000 by a few. Shares by size that are such fractions already are taken as they are.
    Powers have `POWER_DIGITS` decimal digits, so that rounding is the same on every machine.

    Examples:
        >>> shares_by_temperature({"en": Fraction(81), "sw": Fraction(1)}, Fraction(2))
        {'en': Fraction(9, 10), 'sw': Fraction(1, 10)}
    """
    total = sum(sizes.values(), Fraction(0))
    exact = {name: size / total for name, size in sizes.items()}
    if temperature == 1 and lcm(*(share.denominator for share in exact.values())) <= SHARE_DIGITS:
        return exact
    largest = max(sizes.values())
    with localcontext(prec=POWER_DIGITS):
        exponent = _decimal(1 / temperature)
        powers = {name: _decimal(size / largest) ** exponent for name, size in sizes.items()}
        total_power = sum(powers.values())
        counts = {name: max(1, round(power / total_power * SHARE_DIGITS)) for name, power in powers.items()}
    return {name: Fraction(count, sum(counts.values())) for name, count in counts.items()}


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / value.denominator


def shares_within(
    shares: Mapping[str, Fraction], sizes: Mapping[str, Fraction], drawn: Fraction, most_epochs: Fraction
) -> dict[str, Fraction] | None:
    """The shares nearest to the stated ones in which no source is drawn beyond a cap.

    Sources over the cap get the share that fits; the others keep their proportions and fill what that frees. Shares
    have four decimals, so that they can be written down and used.

    Args:
        shares: Stated shares.
        sizes: Size of each source, in the unit of `drawn`.
        drawn: What the run draws in all.
        most_epochs: The cap.

    Returns:
        None if the sources together are too small for any shares to fit.

    Examples:
        >>> sizes = {"web": Fraction(200), "wiki": Fraction(4)}
        >>> shares_within({"web": Fraction(9, 10), "wiki": Fraction(1, 10)}, sizes, Fraction(300), Fraction(4))
        {'web': Fraction(9467, 10000), 'wiki': Fraction(533, 10000)}
    """
    limits = {name: most_epochs * sizes[name] / drawn for name in shares}
    if sum(limits.values()) < 1:
        return None
    fitted = dict(shares)
    capped: set[str] = set()
    while over := [name for name in fitted if name not in capped and fitted[name] > limits[name]]:
        capped.update(over)
        left = 1 - sum(limits[name] for name in capped)
        free = sum((shares[name] for name in shares if name not in capped), Fraction(0))
        for name in shares:
            fitted[name] = limits[name] if name in capped else shares[name] / free * left
    return _in_four_decimals(fitted, capped)


def _in_four_decimals(shares: Mapping[str, Fraction], capped: set[str]) -> dict[str, Fraction]:
    """Shares that can be written down: capped ones rounded down, so that they still fit; the others fill up to one."""
    free = [name for name in shares if name not in capped]
    if not free:
        return dict(shares)
    counts = {name: int(share * SHARE_DIGITS) for name, share in shares.items()}
    missing = SHARE_DIGITS - sum(counts.values())
    by_rest = sorted(free, key=lambda name: counts[name] - shares[name] * SHARE_DIGITS)
    for index in range(missing):
        counts[by_rest[index % len(by_rest)]] += 1
    return {name: Fraction(count, SHARE_DIGITS) for name, count in counts.items()}
