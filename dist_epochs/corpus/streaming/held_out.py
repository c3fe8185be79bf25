"""The batches of an evaluation: the held-out samples in corpus order, read anew each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.corpus.packing.packed import Packing
from dist_epochs.corpus.streaming.hashing import hash_each, key
from dist_epochs.corpus.streaming.objective import IGNORED, Objective
from dist_epochs.corpus.streaming.stream import MicroBatch

__all__ = ["HeldOutBatches"]


class HeldOutBatches:
    """This rank's share of the held-out samples, the same each time; every rank has as many micro-batches.

    Args:
        packings: The held-out samples of each source, at one length.
        objective: Which tokens the loss counts; masks are the same at every evaluation.
        devices: Data-parallel size.
        rank: Index of this rank.
        per_device: The most samples of one micro-batch.
        pad: Id that fills a sample.
    """

    def __init__(
        self, packings: Sequence[Packing], objective: Objective, *, devices: int, rank: int, per_device: int, pad: int
    ) -> None:
        self._packings = packings
        self._objective = objective
        self._pad = pad
        sizes = np.concatenate([packing.block_samples for packing in packings])
        self._begins = np.append(0, np.cumsum(sizes, dtype=np.int64))
        samples = int(self._begins[-1])
        batch = GlobalBatch(samples=samples, data_parallel_size=devices, per_device=per_device, uneven=True)
        self._slices = batch.micro_batches(rank)

    def __iter__(self) -> Iterator[MicroBatch]:
        """The micro-batches; where this rank has no sample for one, a real one without labels."""
        for slice_ in self._slices:
            numbers = np.array(slice_ if len(slice_) else [0])
            blocks = np.searchsorted(self._begins, numbers, side="right") - 1
            rows = numbers - self._begins[blocks]
            parts, first = [], 0
            for packing in self._packings:
                here = (blocks >= first) & (blocks < first + len(packing.block_samples))
                if here.any():
                    parts.append(packing.read(blocks[here] - first, rows[here], self._pad))
                first += len(packing.block_samples)
            ids, segments = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            inputs, labels = self._objective.inputs_and_labels(ids, segments, hash_each(key("evaluation"), numbers))
            yield MicroBatch(inputs, labels if len(slice_) else np.full_like(labels, IGNORED), segments)
