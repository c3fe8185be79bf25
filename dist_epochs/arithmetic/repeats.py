"""What repeated data are worth, by the data-constrained scaling law.

Muennighoff et al. 2023, "Scaling Data-Constrained Language Models", arXiv:2305.16264 (JMLR 26-53, 2025): D tokens drawn
from U unique ones lower the loss as D′ fresh tokens would,

    D′ = U + U · R*_D · (1 − exp(−R ÷ R*_D)),    R = D ÷ U − 1 the repetitions.

Limits. The experiments behind it trained causal (decoder) language models on English C4 and OSCAR with the GPT-2
tokenizer, up to 9 billion parameters and 900 billion tokens. Masked language models get a new mask in every pass, and
the law says nothing about them. It only ever levels off, so it cannot predict the harm of repeating too much.

An exponential of a fitted constant: floats by nature, good for two or three digits.
"""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction
from math import expm1

from dist_epochs.errors import InputError

__all__ = ["MILD_EPOCHS", "REPETITION_DECAY", "RepeatBand", "repeat_band", "unique_equivalents", "worth_per_token"]

REPETITION_DECAY = 15.387756
"""R*_D: after this many repetitions, one more is worth 1/e of a fresh pass. From the README of the authors' repository,
huggingface/datablations, section "Parametric Fit"."""


class RepeatBand(StrEnum):
    """How much repetition costs; the text is for people.

    Up to 4 epochs the paper finds hardly any change in loss. At 16, which is about R*_D repetitions, a token is worth
    two thirds of a fresh one on average; at 40 the law is within 8 % of its ceiling.
    """

    NONE = "none"
    MILD = "mild"
    NOTICEABLE = "noticeable"
    STRONG = "strong"
    NEAR_ZERO = "near zero"


MILD_EPOCHS = 4
"""Up to here the paper finds hardly any change in loss."""

UPPER_ENDS = {1: RepeatBand.NONE, MILD_EPOCHS: RepeatBand.MILD, 16: RepeatBand.NOTICEABLE, 40: RepeatBand.STRONG}
"""Epochs up to and including which a band reaches; `NEAR_ZERO` lies beyond the last."""


def unique_equivalents(epochs: Fraction | float) -> float:
    """D′ ÷ U: how many corpora of fresh data `epochs` epochs of one corpus are worth; at most 1 + R*_D = 16.39.

    Up to one epoch nothing is repeated, and the answer is `epochs`.

    Raises:
        InputError: If `epochs` is below 0.

    Examples:
        >>> round(unique_equivalents(4), 4), round(unique_equivalents(40), 4)
        (3.7257, 15.1675)
    """
    _check(epochs)
    if epochs <= 1:
        return float(epochs)
    repetitions = float(epochs - 1)
    return 1 - REPETITION_DECAY * expm1(-repetitions / REPETITION_DECAY)


def worth_per_token(epochs: Fraction | float) -> float:
    """What a trained token is worth on average, as a share of a fresh one: D′ ÷ D, 1 where nothing is repeated.

    Raises:
        InputError: If `epochs` is below 0.

    Examples:
        >>> round(worth_per_token(16), 4)
        0.6614
    """
    _check(epochs)
    return 1.0 if epochs <= 1 else unique_equivalents(epochs) / float(epochs)


def repeat_band(epochs: Fraction | float) -> RepeatBand:
    """The band of a number of epochs: none (to 1), mild (to 4), noticeable (to 16), strong (to 40), near zero.

    Raises:
        InputError: If `epochs` is below 0.

    Examples:
        >>> str(repeat_band(4)), str(repeat_band(41))
        ('mild', 'near zero')
    """
    _check(epochs)
    return next((band for end, band in UPPER_ENDS.items() if epochs <= end), RepeatBand.NEAR_ZERO)


def _check(epochs: Fraction | float) -> None:
    if not epochs >= 0:  # NaN too
        raise InputError(f"epochs must be at least 0, not {epochs}")
