"""Usual ratios between units of text, each with whose it is; what needs no more of them loads no solver."""

from __future__ import annotations

from fractions import Fraction

__all__ = ["USUAL_BYTES_PER_TOKEN", "USUAL_TOKENS_PER_WORD"]

USUAL_TOKENS_PER_WORD = (
    (Fraction(1), "as papers count"),
    (Fraction(124, 100), "BERT's pieces on WikiText-2"),
)

USUAL_BYTES_PER_TOKEN = (
    (Fraction(4), "a rule of thumb for English"),
    (Fraction(48, 10), "XLNet's pieces in its own corpora"),
)
