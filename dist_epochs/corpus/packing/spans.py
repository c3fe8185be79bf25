"""Spans: neighbouring documents of a source that are packed together, whatever shards and blocks they stand in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Span", "by_documents", "by_tokens"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """Neighbouring documents of a source.

    Attributes:
        first_token: The first token, counted from the first of the source.
        first_document: The document that it is in.
        before: Tokens of this document that belong to an earlier span.
        lengths: Tokens of each document, as far as they are in this span.
        goes_on: Whether the last document goes on in the next span.
    """

    first_token: int
    first_document: int
    before: int
    lengths: Integers
    goes_on: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of all documents."""
        return int(self.lengths.sum())


def by_documents(parts: Iterable[Integers], documents: int) -> Iterator[Span]:
    """Spans of so many documents each, and fewer in the last.

    Args:
        parts: Tokens of each document, some documents at a time.
        documents: Documents of a span.
    """
    token = number = 0
    left: Integers = np.zeros(0, np.int64)
    for part in parts:
        left = np.concatenate([left, part])
        while len(left) >= documents:
            yield Span(token, number, 0, left[:documents])
            token, number, left = token + int(left[:documents].sum()), number + documents, left[documents:]
    if len(left):
        yield Span(token, number, 0, left)


def by_tokens(parts: Iterable[Integers], tokens: int) -> Iterator[Span]:
    """Spans of so many tokens each, and fewer in the last; documents go on from one to the next.

    Args:
        parts: Tokens of each document, some documents at a time.
        tokens: Tokens of a span.

    Examples:
        >>> [(s.first_document, s.before, s.lengths.tolist(), s.goes_on) for s in by_tokens([np.array([3, 9])], 5)]
        [(0, 0, [3, 2], True), (1, 2, [5], True), (1, 7, [2], False)]
    """
    token = number = before = 0
    left: Integers = np.zeros(0, np.int64)
    for part in parts:
        left = np.concatenate([left, part])
        ends = np.cumsum(left)
        at = done = 0  # documents, and tokens, of what was left
        while len(ends) and ends[-1] - done >= tokens:
            last = int(np.searchsorted(ends, done + tokens))
            lengths = left[at : last + 1].copy()
            over = int(ends[last]) - done - tokens
            lengths[-1] -= over
            yield Span(token, number, before, lengths, over > 0)
            before = (before if last == at else 0) + int(lengths[-1]) if over else 0
            if over:
                left[last] = over
            token, done, number = token + tokens, done + tokens, number + last - at + (not over)
            at = last + (not over)
        left = left[at:]
    if len(left):
        yield Span(token, number, before, left)
