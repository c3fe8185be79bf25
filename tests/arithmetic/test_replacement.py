"""Draws with replacement against the exact binomial, plain fractions, and draws made at random."""

import random
from fractions import Fraction
from math import comb, exp, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.arithmetic.replacement import expected_coverage, share_never_drawn, spread_of_draws
from dist_epochs.errors import InputError


@given(corpus=st.integers(1, 20), draws=st.integers(0, 40))
def test_against_the_exact_binomial(corpus, draws):
    chance = Fraction(1, corpus)
    times = [comb(draws, k) * chance**k * (1 - chance) ** (draws - k) for k in range(draws + 1)]
    assert sum(times) == 1
    assert share_never_drawn(corpus, draws) == pytest.approx(float(times[0]), rel=1e-12, abs=0)
    assert expected_coverage(corpus, draws) == pytest.approx(float(1 - times[0]), rel=1e-12, abs=0)
    mean = sum(k * p for k, p in enumerate(times))
    variance = sum((k - mean) ** 2 * p for k, p in enumerate(times))
    assert spread_of_draws(corpus, draws) == pytest.approx(sqrt(variance), rel=1e-12, abs=0)


def test_against_draws_made_at_random():
    corpus, draws, runs, generator = 50, 80, 4000, random.Random(7)
    seen = sum(len(set(generator.choices(range(corpus), k=draws))) for _ in range(runs))
    assert expected_coverage(corpus, draws) == pytest.approx(seen / (runs * corpus), abs=0.003)
    first = [generator.choices(range(corpus), k=draws).count(0) for _ in range(runs)]
    mean = sum(first) / runs
    spread = sqrt(sum((times - mean) ** 2 for times in first) / runs)
    assert spread_of_draws(corpus, draws) == pytest.approx(spread, abs=0.06)


@pytest.mark.parametrize(
    ("corpus", "draws", "never"),
    [
        (10**9, 10**9, 0.368),  # SkyRL PR 1990: one epoch of draws
        (14_000_000, 25_600_000, 0.161),  # datacomp 48
        (100, 500, 0.00657),
    ],
)
def test_published_shares(corpus, draws, never):
    assert float(f"{share_never_drawn(corpus, draws):.3g}") == never


def test_large_corpora_keep_their_digits():
    assert expected_coverage(10**18, 1) == pytest.approx(1e-18, rel=1e-12, abs=0)
    assert share_never_drawn(10**18, 3 * 10**18) == pytest.approx(exp(-3), rel=1e-12, abs=0)
    assert share_never_drawn(10**6, 40 * 10**6) == pytest.approx(exp(-40) * (1 - 20e-6), rel=1e-6, abs=0)


def test_one_sample():
    assert (expected_coverage(1, 0), expected_coverage(1, 1), expected_coverage(1, 9)) == (0, 1, 1)
    assert (share_never_drawn(1, 0), share_never_drawn(1, 9)) == (1, 0)
    assert spread_of_draws(1, 9) == 0


def test_an_estimated_corpus():
    assert expected_coverage(Fraction(5, 2), 2) == pytest.approx(1 - 0.6**2)
    assert expected_coverage(1 + Fraction(1, 10**30), 1) == 1


@pytest.mark.parametrize("function", [expected_coverage, share_never_drawn, spread_of_draws])
def test_errors(function):
    with pytest.raises(InputError, match="corpus must have at least 1 sample, not 0: there is nothing to draw from"):
        function(0, 5)
    with pytest.raises(InputError, match="draws must be at least 0, not -1"):
        function(5, -1)
