"""What a sample adds to the digest that proves that each was drawn once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dist_epochs.arithmetic.packings import BEST_FIT
from dist_epochs.corpus.streaming.hashing import Hashes, hash_each, key

__all__ = ["digests"]


def digests(
    source: str, sequence_length: int, packing: str, blocks: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[Hashes, Hashes]:
    """The two 64-bit hashes that each sample adds to the digest, of the default packing as they always were."""
    of = (source, sequence_length) if packing == BEST_FIT else (source, sequence_length, packing)
    high, low = (hash_each(hash_each(key("digest", half, *of), blocks), rows) for half in ("high", "low"))
    return high, low
