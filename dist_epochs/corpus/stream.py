"""The batches of a run: which samples each step draws, and this rank's slice of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.arithmetic.curriculum import Curriculum
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.schedule import Phase, Schedule
from dist_epochs.corpus.counter import PassCounter, StoreCounter
from dist_epochs.corpus.digests import digests
from dist_epochs.corpus.hashing import hash_each, key
from dist_epochs.corpus.objective import IGNORED, Objective
from dist_epochs.corpus.packed import Packing
from dist_epochs.corpus.store import Store

__all__ = ["Corpus", "MicroBatch", "Window", "held_out_batches", "largest_micro_batches"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class MicroBatch:
    """What one device takes in one micro-step. All arrays have the shape (samples, length).

    Attributes:
        input_ids: The ids that the model reads.
        labels: The id that a position's output must predict, or −100.
        segments: Number of the piece that a position belongs to, 0 for padding; pieces do not attend to each other.
    """

    input_ids: Integers
    labels: Integers
    segments: Integers

    def filled(self, samples: int) -> MicroBatch:
        """The micro-batch with as many samples: its first is repeated without labels, and counts nowhere."""
        more = samples - len(self.input_ids)
        if more <= 0:
            return self
        ids, segments = (np.concatenate([all_, all_[:1].repeat(more, 0)]) for all_ in (self.input_ids, self.segments))
        return MicroBatch(ids, np.pad(self.labels, ((0, more), (0, 0)), constant_values=IGNORED), segments)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One rank's part of one step.

    Attributes:
        step: The step, from 0.
        micro_batches: The micro-batches; every rank has the same number.
        counts: What this rank draws from each pass that any rank draws from in this step.
    """

    step: int
    micro_batches: tuple[MicroBatch, ...]
    counts: Mapping[PassKey, Counts]

    def filled(self, samples: Mapping[int, int]) -> Window:
        """The same step in micro-batches of one size for each sequence length, as a compiled model wants them.

        Args:
            samples: Samples of a micro-batch by sequence length: `largest_micro_batches`.
        """
        return replace(
            self, micro_batches=tuple(batch.filled(samples[batch.input_ids.shape[1]]) for batch in self.micro_batches)
        )


def largest_micro_batches(phases: Sequence[Phase], batches: Sequence[GlobalBatch]) -> dict[int, int]:
    """The most samples of a micro-batch at each sequence length, on any rank and in any phase."""
    found: dict[int, int] = {}
    for phase, batch in zip(phases, batches, strict=True):
        length = phase.sequence_length
        found[length] = max(found.get(length, 1), batch.largest_micro_batch)
    return found


class Corpus:
    """A store in the order of a run.

    Args:
        store: The token store.
        schedule: Phases of the run.
        lanes: The lanes of a pass by sequence length, where an earlier plan fixed them; else as many as the largest
            batch has samples.
        mixture: Which source each draw comes from; one for each phase, where they differ.
        objective: Which tokens the loss counts.
        seed: Seed of order and masks.
    """

    def __init__(
        self,
        store: Store,
        *,
        schedule: Schedule,
        lanes: Mapping[int, int] | None = None,
        mixture: Mixture | Sequence[Mixture],
        objective: Objective,
        seed: int,
    ) -> None:
        self._schedule = schedule
        self._curriculum = Curriculum.of(schedule, mixture)
        self._objective = objective
        self._seed = seed
        lengths = {phase.sequence_length for phase in schedule.phases}
        names = self._curriculum.names
        self._sources = [source for name in names for source in store.sources() if source.name == name]
        self._packings = {(s.name, length): s.packing(length) for s in self._sources for length in lengths}
        self._orders = {
            (name, length): packing.order(seed, (lanes or {}).get(length) or schedule.largest_batch(length))
            for (name, length), packing in self._packings.items()
        }
        self._pad = store.tokenizer().pad_id

    def counter(self) -> StoreCounter:
        """Exact counts for the plan."""
        return StoreCounter(
            {
                place: PassCounter(self._packings[place], order, self._objective)
                for place, order in self._orders.items()
            },
            {source.name: source.entry["documents"] for source in self._sources},
        )

    def windows(self, batches: Sequence[GlobalBatch], rank: int, first_step: int = 0) -> Iterator[Window]:
        """This rank's part of every step, from `first_step` on.

        Args:
            batches: How the batch of each phase is shared among the ranks.
            rank: Index of this rank among those that see different data.
            first_step: The first step; nothing before it is read.
        """
        for step in range(first_step, self._schedule.steps):
            yield self.window(step, batches[self._schedule.phase_of(step)], rank)

    def window(self, step: int, batch: GlobalBatch, rank: int) -> Window:
        """This rank's part of one step."""
        span = self._schedule.span(step)
        length = span.sequence_length
        slices = batch.micro_batches(rank)
        mine = np.arange(slices[0].start, slices[-1].stop)
        sizes = {name: self._orders[name, length].size for name in self._curriculum.names}
        counts = {draw.key: Counts() for draw in self._curriculum.draws(span, sizes)}
        filler = not len(mine)
        offsets = span.start + (mine if not filler else np.zeros(1, dtype=np.int64))
        rows = self._read(span.phase, offsets, length)
        if not filler:
            for name, number, chosen in rows.groups():
                pass_key = PassKey(span.phase, name, length, number)
                counts[pass_key] = rows.counts(chosen, name, length)
        micro_batches = tuple(rows.part(slice_, slices[0].start) for slice_ in slices)
        return Window(step, micro_batches, counts)

    def _read(self, phase: int, offsets: Integers, length: int) -> _Rows:
        """The samples of these draws of a phase, in that order."""
        mixture = self._curriculum.mixtures[phase]
        pattern = np.asarray(mixture.pattern)
        chosen_source = pattern[offsets % mixture.period]
        rows = _Rows.empty(len(offsets), length)
        for number, name in enumerate(mixture.names):
            here = np.flatnonzero(chosen_source == number)
            if not len(here):
                continue
            order, packing = self._orders[name, length], self._packings[name, length]
            drawn = np.array([self._curriculum.drawn(phase, number, int(offset)) for offset in offsets[here]])
            numbers, inside = np.divmod(drawn, order.size)
            for pass_number in np.unique(numbers):
                at = here[numbers == pass_number]
                blocks, sample_rows = order.locate(int(pass_number), inside[numbers == pass_number])
                ids, rows.segments[at] = packing.read(blocks, sample_rows, self._pad)
                rows.blocks[at], rows.rows[at], rows.passes[at] = blocks, sample_rows, pass_number
                keys = hash_each(key(self._seed, "masks", name, length), drawn[numbers == pass_number])
                rows.inputs[at], rows.labels[at] = self._objective.inputs_and_labels(ids, rows.segments[at], keys)
                rows.sources[at] = name
        return rows


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Several samples: where each comes from, and what the model gets."""

    inputs: Integers
    labels: Integers
    segments: Integers
    blocks: Integers
    rows: Integers
    passes: Integers
    sources: NDArray[np.object_]

    @classmethod
    def empty(cls, size: int, length: int) -> _Rows:
        inputs, labels, segments = np.zeros((3, size, length), dtype=np.int64)
        blocks, rows, passes = np.zeros((3, size), dtype=np.int64)
        return cls(inputs, labels, segments, blocks, rows, passes, np.empty(size, dtype=object))

    def groups(self) -> Iterator[tuple[str, int, Integers]]:
        """The rows of each source and pass."""
        for name in dict.fromkeys(self.sources):
            for number in np.unique(self.passes[self.sources == name]):
                yield name, int(number), np.flatnonzero((self.sources == name) & (self.passes == number))

    def counts(self, chosen: Integers, name: str, length: int) -> Counts:
        """Counts of some rows, taken from the arrays that the model gets."""
        high, low = digests(name, length, self.blocks[chosen], self.rows[chosen])
        return Counts(
            samples=len(chosen),
            tokens=int((self.segments[chosen] > 0).sum()),
            loss_tokens=int((self.labels[chosen] != IGNORED).sum()),
            digest=int(high.sum()) << 64 | int(low.sum()),
        )

    def part(self, slice_: range, first: int) -> MicroBatch:
        """The rows of one micro-step; where there are none, a real row without labels."""
        if len(slice_):
            chosen = slice(slice_.start - first, slice_.stop - first)
            return MicroBatch(self.inputs[chosen], self.labels[chosen], self.segments[chosen])
        return MicroBatch(self.inputs[:1], np.full_like(self.labels[:1], IGNORED), self.segments[:1])


def held_out_batches(
    packings: Sequence[Packing], objective: Objective, *, devices: int, rank: int, per_device: int, pad: int
) -> Iterator[MicroBatch]:
    """This rank's share of the held-out samples, the same each time; every rank has as many micro-batches.

    Args:
        packings: The held-out samples of each source, at one length.
        objective: Which tokens the loss counts; masks are the same at every evaluation.
        devices: Data-parallel size.
        rank: Index of this rank.
        per_device: The most samples of one micro-batch.
        pad: Id that fills a sample.
    """
    places = [
        (packing, block, row)
        for packing in packings
        for block, samples in enumerate(packing.block_samples.tolist())
        for row in range(samples)
    ]
    batch = GlobalBatch(samples=len(places), data_parallel_size=devices, per_device=per_device, uneven=True)
    for slice_ in batch.micro_batches(rank):
        chosen = [places[index] for index in slice_] or places[:1]
        read = [packing.read(np.array([block]), np.array([row]), pad) for packing, block, row in chosen]
        ids, segments = (np.concatenate(arrays) for arrays in zip(*read, strict=True))
        keys = hash_each(key("evaluation"), np.array(slice_ if len(slice_) else [0]))
        inputs, labels = objective.inputs_and_labels(ids, segments, keys)
        yield MicroBatch(inputs, labels if len(slice_) else np.full_like(labels, IGNORED), segments)
