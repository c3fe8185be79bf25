"""Random numbers as a function of what they are for: no state, the same on every rank and machine.

The mixing function is the finalizer of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable
pseudorandom number generators").
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["Hashes", "hash_each", "key", "permutation"]

Hashes = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def key(*parts: str | int) -> int:
    """A 64-bit key for a purpose, such as `key(seed, "blocks", source, length, pass)`.

    Examples:
        >>> key(1, "ab") == key(1, "ab"), key(1, "ab") == key("1a", "b")
        (True, False)
    """
    named = "\0".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(named.encode()).digest()[:8], "little")


def hash_each(keys: int | Hashes, index: NDArray[np.integer]) -> Hashes:
    """One 64-bit hash per index, under one key or a key for each."""
    start = np.asarray(keys, dtype=np.uint64)
    value = start + (np.asarray(index).astype(np.uint64) + np.uint64(1)) * _GOLDEN
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(value ^ (value >> np.uint64(31)))


def permutation(purpose: int, size: int) -> NDArray[np.int64]:
    """The numbers 0 to `size` − 1 in an order that depends on the key alone: sorted by their hashes."""
    return np.argsort(hash_each(purpose, np.arange(size)), kind="stable").astype(np.int64)
