"""A word with its page."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import cleandoc

from dist_epochs.names import folded

__all__ = ["Entry", "spelled"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A word, what it means, and more about it.

    Attributes:
        name: The word, as topics are written.
        meaning: In one sentence.
        more: How it is counted, with numbers; empty where the sentence says it all.
        also: Other words for it, in other languages too.
    """

    name: str
    meaning: str
    more: str = ""
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Its name and the other words for it."""
        return (self.name, *self.also)

    @property
    def text(self) -> str:
        """The page."""
        page = f"{self.name}: {self.meaning}."
        return f"{page}\n\n{cleandoc(self.more)}" if self.more else page


def spelled(name: str) -> str:
    """A word as two spellings of it are compared: `mini-batch`, `Mini Batch` and `minibatches` are one.

    Examples:
        >>> spelled("Mini Batches"), spelled("minibatch"), spelled("loss"), spelled("배치 크기")
        ('minibatch', 'minibatch', 'loss', '배치크기')
    """
    joined = folded(name).replace("-", "")
    for plural, singular in (("batches", "batch"), ("passes", "pass"), ("ss", "ss"), ("s", "")):
        if joined.endswith(plural):
            return joined.removesuffix(plural) + singular
    return joined
