"""Epochs of what a ledger recorded: samples drawn ÷ samples of a pass, as far as a plan knows these."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.totals import Tally

__all__ = ["epochs_of", "epochs_of_passes", "samples_of_a_pass"]


def epochs_of(applied: Tally, plan: Mapping[str, Any] | None) -> dict[str, Fraction | None]:
    """Epochs of what was applied: samples ÷ samples of the corpus, added over lengths; and by tokens."""
    sizes: dict[int, int] = {}
    for by_length in samples_of_a_pass(plan).values():
        for length, count in by_length.items():
            sizes[length] = sizes.get(length, 0) + count
    lengths = {phase["sequence_length"] for phase in (plan or {}).get("phases") or ()}
    if len(lengths) == 1 and lengths <= sizes.keys():
        sizes[0] = sizes[lengths.pop()]  # a user's own loop records no length, and this is the only one
    tokens = ((plan or {}).get("corpus") or {}).get("tokens")
    return {
        "samples": epochs_of_passes(applied.passes, sizes) if sizes else None,
        "positions": Fraction(applied.positions) / Fraction(tokens) if tokens else None,
        "tokens": Fraction(applied.counts.tokens) / Fraction(tokens) if tokens else None,
    }


def samples_of_a_pass(plan: Mapping[str, Any] | None) -> dict[str, dict[int, int]]:
    """Samples per pass by source and length, as far as the plan knows them."""
    samples = ((plan or {}).get("corpus") or {}).get("samples") or {}
    return {name: {int(length): count for length, count in sizes.items()} for name, sizes in samples.items()}


def epochs_of_passes(passes: Mapping[PassKey, Counts], sizes: Mapping[int, int]) -> Fraction | None:
    """Samples ÷ samples per pass, added over lengths; None where a length's size is not known."""
    if any(key.sequence_length not in sizes for key in passes):
        return None
    return sum((Fraction(counts.samples, sizes[key.sequence_length]) for key, counts in passes.items()), Fraction(0))
