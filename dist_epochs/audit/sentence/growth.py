"""A batch that is doubled, or otherwise multiplied: the later batch against the first one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from dist_epochs.audit.sentence.reading import Found, Reading

__all__ = ["Growth", "growths"]

_TIMES = (
    (Fraction(2), r"\bdoubl\w+|\btwice\b|verdoppel|doublé|翻倍|倍に|두 ?배"),
    (Fraction(3), r"\btripl\w+|\bthree times\b"),
    (Fraction(4), r"\bquadrupl\w+|\bfour times\b"),
    (Fraction(1, 2), r"\bhalv\w+"),
)


@dataclass(frozen=True, slots=True)
class Growth:
    """A batch that is said to be a multiple of an earlier one.

    Attributes:
        first: The batch that grows, in tokens.
        times: How many times it is, all steps together.
        later: The batch that it becomes.
        length: Of a later batch that counts sequences, their length; None where it counts tokens.
    """

    first: Found
    times: Fraction
    later: Found
    length: Found | None


def growths(reading: Reading) -> Iterator[Growth]:
    """Batches that follow from an earlier one in tokens by words such as `doubled`."""
    batches = [fact for fact in reading.facts if fact.role in ("batch_tokens", "global_batch")]
    first, times = None, Fraction(1)
    for before, later in pairwise(batches):
        step = _step(reading.given[before.end : later.start])
        if step is None:
            first, times = None, Fraction(1)
            continue
        if first is None:
            first, times = before, Fraction(1)
        times *= step
        length = next(
            (fact for fact in reading.facts if fact.role == "sequence_length" and fact.clause == later.clause), None
        )
        if first.role == "batch_tokens" and (later.role == "batch_tokens" or length is not None):
            yield Growth(first, times, later, length if later.role == "global_batch" else None)


def _step(between: str) -> Fraction | None:
    """By how much a batch is multiplied in the words between two; None if they say nothing, or several things."""
    found = [times for times, pattern in _TIMES for _ in re.finditer(pattern, between, re.IGNORECASE)]
    return found[0] if len(found) == 1 else None
