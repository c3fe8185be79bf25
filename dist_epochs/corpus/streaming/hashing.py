"""Random numbers as a function of what they are for: no state, the same on every rank and machine.

The mixing function is the finalizer of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable
pseudorandom number generators").
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Hashes", "hash_each", "key", "permutation", "place_in_permutation"]

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_STEPS = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_ROUNDS = 4
"""Rounds of the network; four make it as good as its round function (Luby, Rackoff 1988)."""
_SMALL = 1024
"""Sizes up to which a second permutation follows: with few bits a round does little."""


@lru_cache(maxsize=1024, typed=True)
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
    value: Hashes = np.asarray(index).astype(np.uint64) + np.uint64(1)
    value *= _GOLDEN
    value = value + np.asarray(keys, dtype=np.uint64)
    for shift, factor in _STEPS:  # in place, since large arrays take longer to get from the system than to compute
        value ^= value >> shift
        value *= factor
    value ^= value >> np.uint64(31)
    return value


def permutation(purpose: int, size: int) -> NDArray[np.int64]:
    """The numbers 0 to `size` − 1 in an order that depends on the key alone: sorted by their hashes."""
    return np.argsort(hash_each(purpose, np.arange(size)), kind="stable").astype(np.int64)


def place_in_permutation(keys: int | Hashes, sizes: NDArray[np.integer] | int, index: NDArray[np.integer]) -> Indices:
    """Where a permutation puts each index, without the others: each may have a permutation of its own.

    A Feistel network over as many bits as the size needs; what falls outside goes through it again, and so stays a
    permutation of the numbers below the size (Black, Rogaway 2002, "Ciphers with arbitrary finite domains").

    Args:
        keys: The key of the permutation, or one for each index.
        sizes: Its size, or one for each index.
        index: Numbers below the size.

    Examples:
        >>> place_in_permutation(7, 6, np.arange(6)).tolist()
        [1, 5, 4, 3, 2, 0]
    """
    keys, sizes = (np.asarray(each, np.uint64) for each in (keys, sizes))
    keys, sizes = (np.broadcast_to(each, index.shape).ravel() if each.ndim else each for each in (keys, sizes))
    value = _walk(keys, sizes, index.astype(np.uint64).ravel())
    small = np.flatnonzero(np.broadcast_to(sizes <= _SMALL, value.shape))
    if len(small):
        value[small] = _walk(_part(keys, small) + np.uint64(_ROUNDS), _part(sizes, small), value[small])
    return value.astype(np.int64).reshape(index.shape)


def _walk(keys: Hashes, sizes: Hashes, value: Hashes) -> Hashes:
    """A permutation of the numbers below each size."""
    bits = np.maximum(np.ceil(np.log2(np.maximum(sizes, np.uint64(2)))), 2).astype(np.uint64)
    value = _network(keys, bits, value)
    outside = np.flatnonzero(value >= sizes)
    while len(outside):
        again = _network(_part(keys, outside), _part(bits, outside), value[outside])
        value[outside] = again
        outside = outside[again >= _part(sizes, outside)]
    return value


def _part(values: Hashes, chosen: Indices) -> Hashes:
    """The values of some indices; one value is that of all."""
    return values[chosen] if values.ndim else values


def _network(keys: Hashes, bits: Hashes, value: Hashes) -> Hashes:
    """A permutation of the numbers of that many bits."""
    right_bits = bits // np.uint64(2)
    left_bits = bits - right_bits
    left_mask, right_mask = ((np.uint64(1) << each) - np.uint64(1) for each in (left_bits, right_bits))
    left: Hashes = value >> right_bits
    right: Hashes = value & right_mask
    for number in range(0, _ROUNDS, 2):
        left ^= hash_each(keys + np.uint64(number), right) & left_mask
        right ^= hash_each(keys + np.uint64(number + 1), left) & right_mask
    left <<= right_bits
    left |= right
    return left
