"""The samples of a store by the number of their draw: in the order of the store, or in that of a plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from dist_epochs.arithmetic.packings import BEST_FIT
from dist_epochs.arithmetic.schedule import Phase
from dist_epochs.corpus.packing.packed import Packing
from dist_epochs.corpus.remote.ahead import Shard
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.streaming.objective import Causal, Objective
from dist_epochs.corpus.streaming.stream import Corpus, MicroBatch

if TYPE_CHECKING:
    from dist_epochs.corpus.remote.store import RemoteShards

__all__ = ["Drawn", "PlanOrder", "StoreOrder"]

Integers = NDArray[np.int64]
Read = list[tuple[Integers, MicroBatch]]
"""Samples of one length, with the places in what was asked for that they belong to; of each length."""


class Drawn(Protocol):
    """Samples by the number of their draw, from 0 to the last of all phases. Can be pickled, without the samples.

    Attributes:
        phases: The phases; in the order of a store, one of one step.
        objective: Which tokens the loss counts.
        order: Digest of all that decides which sample has which number.
        remote: Where the shards are, if not on this machine.
    """

    phases: tuple[Phase, ...]
    objective: Objective
    order: str
    remote: RemoteShards | None

    def read(self, draws: Integers) -> Read:
        """Samples by the numbers of their draws."""

    def shards(self, draws: Integers) -> Iterator[Shard]:
        """The shards that samples are in, by the numbers of their draws."""


class StoreOrder:
    """Every sample once, as the store has them: source by source, block by block; the loss counts every next token.

    Args:
        store: The store.
        sequence_length: A length that it is packed at.
        packing: The strategy by which it is.

    Raises:
        InputError: If it is not packed so.
    """

    def __init__(self, store: Store, sequence_length: int, packing: str = BEST_FIT) -> None:
        self._made_from = store, sequence_length, packing
        self._packings = [source.packing(sequence_length, packing) for source in store.sources()]
        self._ends = np.cumsum([packing.samples for packing in self._packings])
        self._block_ends = [np.cumsum(packing.block_samples, dtype=np.int64) for packing in self._packings]
        self._pad = store.tokenizer().pad_id
        self.remote = store.remote
        samples = int(self._ends[-1])
        self.phases: tuple[Phase, ...] = (Phase(steps=1, sequence_length=sequence_length, global_batch=samples),)
        self.objective: Objective = Causal()
        decisive = ["store", store.manifest["fingerprint"], sequence_length, packing, samples]
        self.order = hashlib.sha256(json.dumps(decisive).encode()).hexdigest()

    def __reduce__(self) -> tuple[type[StoreOrder], tuple[Store, int, str]]:
        return StoreOrder, self._made_from

    def read(self, draws: Integers) -> Read:
        """Samples by the numbers of their draws, of each source together."""
        found = []
        for at, packing, blocks, rows in self._places(draws):
            ids, segments = packing.read(blocks, rows, self._pad)
            inputs, labels = self.objective.inputs_and_labels(ids, segments, np.zeros(len(at), np.uint64))
            found.append((at, MicroBatch(inputs, labels, segments)))
        return found

    def shards(self, draws: Integers) -> Iterator[Shard]:
        """The shards that samples are in, by the numbers of their draws."""
        for _, packing, blocks, rows in self._places(draws):
            yield from ((packing.source.name, number) for number in packing.shards_of(blocks, rows).tolist())

    def _places(self, draws: Integers) -> Iterator[tuple[Integers, Packing, Integers, Integers]]:
        """Which draws are of each source, with their blocks and rows in its packing."""
        sources = np.searchsorted(self._ends, draws, side="right")
        for source in np.unique(sources).tolist():
            at = np.flatnonzero(sources == source)
            packing, ends = self._packings[source], self._block_ends[source]
            inside = draws[at] - (int(self._ends[source]) - packing.samples)
            blocks = np.searchsorted(ends, inside, side="right")
            yield at, packing, blocks, inside - (ends[blocks] - packing.block_samples[blocks].astype(np.int64))


class PlanOrder:
    """Every draw of a plan, with its masks.

    Args:
        corpus: The corpus in the order of the plan.
        fingerprint: The plan's.
    """

    def __init__(self, corpus: Corpus, fingerprint: str) -> None:
        self._corpus = corpus
        self.phases = tuple(corpus.schedule.phases)
        self.objective = corpus.objective
        self.order = fingerprint
        self.remote = corpus.remote
        self._ends = np.array(list(accumulate(phase.samples for phase in self.phases)))

    def read(self, draws: Integers) -> Read:
        """Samples by the numbers of their draws, of each phase together."""
        return [(at, self._corpus.samples(phase, offsets)) for at, phase, offsets in self._places(draws)]

    def shards(self, draws: Integers) -> Iterator[Shard]:
        """The shards that samples are in, by the numbers of their draws."""
        for _, phase, offsets in self._places(draws):
            yield from self._corpus.shards(phase, offsets)

    def _places(self, draws: Integers) -> Iterator[tuple[Integers, int, Integers]]:
        """Which draws are of each phase, with their numbers among all draws of its length."""
        phases = np.searchsorted(self._ends, draws, side="right")
        spans = self._corpus.schedule.spans()
        for phase in np.unique(phases).tolist():
            at = np.flatnonzero(phases == phase)
            before = int(self._ends[phase]) - self.phases[phase].samples
            yield at, phase, draws[at] - before + spans[phase].start
