"""What a sample adds to the digest that proves that each was drawn once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dist_epochs.corpus.hashing import Hashes, hash_each, key

__all__ = ["digests"]


def digests(
    source: str, sequence_length: int, blocks: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[Hashes, Hashes]:
    """The two 64-bit hashes that each sample adds to the digest."""
    high, low = (
        hash_each(hash_each(key("digest", half, source, sequence_length), blocks), rows) for half in ("high", "low")
    )
    return high, low
