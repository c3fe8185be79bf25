"""What packing does to documents, in words. Its rows are those of `packings` in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dist_epochs.arithmetic.text import number

__all__ = ["packing_words", "tokens_left_out", "tokens_lost"]

CAUSES = ("truncated", "dropped")
"""Why tokens are in no sample."""


def packing_words(packed: Mapping[str, Any]) -> str:
    """Padding, documents cut and tokens lost."""
    positions = packed["samples"] * packed["sequence_length"]
    cut = f"{number(packed['documents_cut'])} documents cut" if packed["documents_cut"] else ""
    told = (f"{packed['padding'] / positions:.2%} padding", cut, tokens_lost(packed) or "nothing dropped")
    return ", ".join(filter(None, told))


def tokens_lost(packed: Mapping[str, Any]) -> str:
    """The tokens that are in no sample, by cause; nothing, if there are none."""
    lost = ((packed[f"tokens_{cause}"], cause) for cause in CAUSES)
    return " and ".join(f"{number(tokens)} tokens {cause}" for tokens, cause in lost if tokens)


def tokens_left_out(packed: Mapping[str, Any]) -> int:
    """How many tokens are in no sample."""
    return sum(packed[f"tokens_{cause}"] for cause in CAUSES)
