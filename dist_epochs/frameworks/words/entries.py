"""All words with a page of their own, found in any spelling."""

from __future__ import annotations

from functools import cache

from dist_epochs.frameworks.words.batches import BATCHES
from dist_epochs.frameworks.words.compute import COMPUTE
from dist_epochs.frameworks.words.entry import Entry, spelled
from dist_epochs.frameworks.words.glossary import GLOSSARY
from dist_epochs.frameworks.words.training import TRAINING

__all__ = ["ENTRIES", "find_entry"]

ENTRIES: tuple[Entry, ...] = (*GLOSSARY, *BATCHES, *TRAINING, *COMPUTE)
"""Words of this project, then of the field."""


def find_entry(topic: str) -> Entry | None:
    """The entry of a word in any case, number and spelling; None if there is none.

    Examples:
        >>> find_entry("Mini Batches").name, find_entry("梯度累积").name, find_entry("walrus")
        ('mini-batch', 'gradient-accumulation', None)
    """
    return _by_spelling().get(spelled(topic))


@cache
def _by_spelling() -> dict[str, Entry]:
    return {spelled(name): entry for entry in ENTRIES for name in entry.names}
