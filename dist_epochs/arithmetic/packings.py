"""The strategies that make samples of documents, by the names that a recipe and `dist-epochs tokenize` use."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["BEST_FIT", "PACKINGS", "PACKING_RULES", "packing_flag"]

BEST_FIT = "best-fit"
"""The default."""

PACKING_RULES: Mapping[str, str] = {
    BEST_FIT: "best-fit-decreasing in blocks, 2",
    "concatenate": "one after the other, cut at each length, 1",
    "truncate": "one document a sample, cut at the length, 1",
    "group_texts": "batches of 1,000 documents, one after the other, the rest of a batch dropped, 1",
    "bfd": "TRL's bfd in batches of 1,000 documents, cut at the length, 1",
    "bfd_split": "TRL's bfd_split in batches of 1,000 documents, 1",
    "wrapped": "TRL's wrapped in batches of 1,000 documents, 1",
}
"""What each does, as plans name it; another way of packing has another name."""

PACKINGS = tuple(PACKING_RULES)


def packing_flag(packing: str) -> str:
    """What `dist-epochs tokenize` is told of a strategy; nothing of the default."""
    return f" --packing {packing}" if packing != BEST_FIT else ""
