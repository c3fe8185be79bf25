"""What was drawn: counts that add up, and where they belong."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Counts", "Draw", "PassKey", "add_digests"]

_HALF = 2**64 - 1


@dataclass(frozen=True, slots=True, order=True)
class PassKey:
    """One round of one source at one length, within one phase: the unit of the exactly-once proof."""

    phase: int
    source: str
    sequence_length: int
    number: int


@dataclass(frozen=True, slots=True)
class Draw:
    """Samples `start` to `stop` − 1 of the order of one pass."""

    key: PassKey
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals over all devices. Every field adds; the digest adds without order.

    Attributes:
        samples: Samples drawn.
        tokens: Their tokens, padding not included.
        loss_tokens: Their tokens that the loss counts.
        digest: Two 64-bit wrapping sums of hash(source, length, block, row), side by side.
    """

    samples: int = 0
    tokens: int = 0
    loss_tokens: int = 0
    digest: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.samples + other.samples,
            self.tokens + other.tokens,
            self.loss_tokens + other.loss_tokens,
            add_digests(self.digest, other.digest),
        )

    def __sub__(self, other: Counts) -> Counts:
        """What is left of a sum without one of its parts."""
        high, low = ((other.digest >> 64), other.digest & _HALF)
        return Counts(
            self.samples - other.samples,
            self.tokens - other.tokens,
            self.loss_tokens - other.loss_tokens,
            add_digests(self.digest, (-high & _HALF) << 64 | (-low & _HALF)),
        )


def add_digests(left: int, right: int) -> int:
    """Add two 128-bit digests, each 64-bit half wrapping on its own.

    Examples:
        >>> add_digests(2**64 - 1, 1)
        0
    """
    high = ((left >> 64) + (right >> 64)) & _HALF
    return high << 64 | ((left + right) & _HALF)
