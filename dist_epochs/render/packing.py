"""What packing does to documents, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dist_epochs.arithmetic.text import number

__all__ = ["packing_words"]


def packing_words(packed: Mapping[str, Any]) -> str:
    """Padding, documents cut and tokens lost.

    Args:
        packed: A row of `packings`, as `dist-epochs tokenize --json` prints them.
    """
    return ", ".join(_parts(packed))


def _parts(packed: Mapping[str, Any]) -> Iterator[str]:
    positions = packed["samples"] * packed["sequence_length"]
    yield f"{packed['padding'] / positions:.2%} padding"
    lost = [(packed[f"tokens_{cause}"], cause) for cause in ("truncated", "dropped")]
    if packed["documents_cut"]:
        yield f"{number(packed['documents_cut'])} documents cut"
    told = [f"{number(tokens)} tokens {cause}" for tokens, cause in lost if tokens]
    yield " and ".join(told) if told else "nothing dropped"
