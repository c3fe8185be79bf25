"""What `Ledger.watch` gives in place of a loader."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from inspect import GEN_CLOSED, getgeneratorstate
from typing import Any, TypeVar

__all__ = ["Watched"]

Batch = TypeVar("Batch")


class Watched(Iterator[Batch]):
    """A loader whose batches are counted: each `iter` is a new pass over it, as over the loader itself.

    `next` begins a pass, which the next `iter` continues. Length and public attributes are those of the loader, so
    `watched.sampler.set_epoch(3)` does what it did without the ledger.

    Args:
        begin: Begins a pass; told whether its first batch is drawn by `next`.
        source: The loader.
    """

    def __init__(self, begin: Callable[[bool], Generator[Batch, None, None]], source: object) -> None:
        self._begin, self._source = begin, source
        self._under_way: Generator[Batch, None, None] | None = None

    def __iter__(self) -> Iterator[Batch]:
        under_way, self._under_way = self._under_way, None
        if under_way is None or getgeneratorstate(under_way) == GEN_CLOSED:
            return self._begin(False)
        return under_way

    def __next__(self) -> Batch:
        if self._under_way is None:
            self._under_way = self._begin(True)
        return next(self._under_way)

    def __len__(self) -> int:
        return len(self._source)  # type: ignore[arg-type]  # a TypeError where it has none, as len() does

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # attributes of this class that `copy.copy` asks for before they are set
            raise AttributeError(name)
        return getattr(self._source, name)
