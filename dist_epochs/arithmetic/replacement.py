"""Sampling with replacement: how much of a corpus a number of draws reaches, and how unevenly.

Each draw takes one of the N samples, all equally likely, whatever was drawn before (`RandomSampler(replacement=True)`,
resampled shards, sources of a mixture picked at random). D draws are then D ÷ N epochs on average only: each sample is
drawn a binomial number of times. Corpus sizes may be estimates, hence fractions.

What is expected of random draws is no count: shares and spreads are floats.
"""

from __future__ import annotations

from fractions import Fraction
from math import exp, expm1, inf, log1p, sqrt

from dist_epochs.errors import InputError

__all__ = ["expected_coverage", "share_never_drawn", "spread_of_draws"]


def expected_coverage(corpus: int | Fraction, draws: int | Fraction) -> float:
    """Expected share of the corpus that is drawn at least once, 1 − (1 − 1/N)^D, from 0 to 1.

    Args:
        corpus: Samples of the corpus, N.
        draws: Samples drawn, D, over all devices.

    Raises:
        InputError: If the corpus has less than one sample, or the draws are below 0.

    Examples:
        >>> round(expected_coverage(10**9, 10**9), 4)
        0.6321
    """
    return -expm1(_log_never_drawn(corpus, draws))


def share_never_drawn(corpus: int | Fraction, draws: int | Fraction) -> float:
    """Expected share of the corpus that is never drawn, (1 − 1/N)^D; about e^−epochs for a large corpus.

    Raises:
        InputError: As `expected_coverage`.

    Examples:
        >>> round(share_never_drawn(14_000_000, 25_600_000), 3)
        0.161
    """
    return exp(_log_never_drawn(corpus, draws))


def spread_of_draws(corpus: int | Fraction, draws: int | Fraction) -> float:
    """Standard deviation of how often one sample is drawn, √(D · 1/N · (1 − 1/N)); about √epochs for a large corpus.

    Raises:
        InputError: As `expected_coverage`.

    Examples:
        >>> round(spread_of_draws(100, 400), 4)
        1.99
    """
    _check(corpus, draws)
    chance = 1 / Fraction(corpus)
    return sqrt(draws * chance * (1 - chance))


def _log_never_drawn(corpus: int | Fraction, draws: int | Fraction) -> float:
    """Natural logarithm of (1 − 1/N)^D; log1p keeps the digits that 1 − 1/N would lose."""
    _check(corpus, draws)
    chance = float(1 / Fraction(corpus))
    if draws == 0:
        return 0.0
    return float(draws) * log1p(-chance) if chance < 1 else -inf


def _check(corpus: int | Fraction, draws: int | Fraction) -> None:
    if corpus < 1:
        raise InputError(f"corpus must have at least 1 sample, not {corpus}", rule="there is nothing to draw from")
    if draws < 0:
        raise InputError(f"draws must be at least 0, not {draws}")
