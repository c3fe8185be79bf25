"""The worth of repeated data against the published fit and its printed checks."""

from fractions import Fraction
from math import exp, inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.arithmetic.repeats import RepeatBand, repeat_band, unique_equivalents, worth_per_token
from dist_epochs.errors import InputError

TABLE = [
    (1, 1, 1), (2, 1.9682, 0.9841), (3, 2.8755, 0.9585), (4, 3.7257, 0.9314), (5, 4.5224, 0.9045), (8, 6.6241, 0.8280),
    (10, 7.8141, 0.7814), (16, 10.5825, 0.6614), (20, 11.9113, 0.5956), (40, 15.1675, 0.3792), (100, 16.3630, 0.1636),
    (inf, 16.3878, 0),
]  # fmt: skip


@pytest.mark.parametrize(("epochs", "equivalents", "worth"), TABLE)
def test_the_table(epochs, equivalents, worth):
    assert round(unique_equivalents(epochs), 4) == equivalents
    assert round(worth_per_token(epochs), 4) == worth


@pytest.mark.parametrize(
    ("parameters", "tokens", "unique", "loss"),
    [(6.34e9, 242e9, 25e9, 2.2256440889984477), (8.67e9, 178e9, 25e9, 2.2269634075087867)],
)
def test_the_losses_that_the_authors_print(parameters, tokens, unique, loss):
    """The README of huggingface/datablations, "Parametric Fit": the whole law, with our term for the data."""
    a, b, e, power, parameter_decay = 6.255414, 7.3049974, 0.6254804, 0.3526596, 5.309743
    balance = (exp(a) / exp(b)) ** (1 / (2 * power))
    base = min(parameters, unique * balance * balance)
    excess = 1 + parameter_decay * (1 - exp(-(parameters / base - 1) / parameter_decay))
    fresh = unique * unique_equivalents(tokens / unique)
    assert exp(e) + exp(a) / (base * excess) ** power + exp(b) / fresh**power == pytest.approx(loss, rel=1e-13)


def test_nanogpt_repeats_openwebtext():
    """600,000 × 491,520 tokens over 9,035,582,198 are 32.64 epochs, worth 14.42 corpora."""
    epochs = Fraction(600_000 * 491_520, 9_035_582_198)
    assert round(unique_equivalents(epochs), 2) == 14.42
    assert round(worth_per_token(epochs), 2) == 0.44


@pytest.mark.parametrize("epochs", [0, Fraction(1, 3), 1])
def test_nothing_is_repeated_within_an_epoch(epochs):
    assert unique_equivalents(epochs) == float(epochs)
    assert worth_per_token(epochs) == 1
    assert repeat_band(epochs) is RepeatBand.NONE


@given(fewer=st.floats(0, 200), more=st.floats(0, 200))
def test_more_epochs_are_worth_more_in_all_and_less_each(fewer, more):
    fewer, more = sorted((fewer, more))
    assert unique_equivalents(fewer) <= unique_equivalents(more) <= min(more, 16.387756)
    assert worth_per_token(fewer) >= worth_per_token(more) - 1e-15


@pytest.mark.parametrize(
    ("epochs", "band"),
    [
        (1, "none"), (Fraction(1001, 1000), "mild"), (4, "mild"), (Fraction(4001, 1000), "noticeable"),
        (16, "noticeable"), (16.01, "strong"), (40, "strong"), (40.01, "near zero"), (inf, "near zero"),
    ],
)  # fmt: skip
def test_bands_include_their_upper_end(epochs, band):
    assert repeat_band(epochs) == band


@pytest.mark.parametrize("function", [unique_equivalents, worth_per_token, repeat_band])
@pytest.mark.parametrize("epochs", [-1, Fraction(-1, 2), nan])
def test_epochs_below_0(function, epochs):
    with pytest.raises(InputError, match=f"epochs must be at least 0, not {epochs}"):
        function(epochs)
