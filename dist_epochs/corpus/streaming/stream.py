"""The batches of a run: which samples each step draws, and this rank's slice of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.arithmetic.curriculum import Curriculum
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.packings import BEST_FIT
from dist_epochs.arithmetic.schedule import Phase, Schedule, Span
from dist_epochs.corpus.remote.ahead import APART, Shard, fetching_ahead
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.streaming.counter import PassCounter, StoreCounter
from dist_epochs.corpus.streaming.hashing import hash_each, key
from dist_epochs.corpus.streaming.objective import IGNORED, Objective, StoredIds

__all__ = ["Corpus", "MicroBatch", "Window", "largest_micro_batches"]

DRAWS_AT_ONCE = 1024
"""Draws of a rank whose samples are found together, in one step or several."""
POSITIONS_AT_ONCE = 2**15
"""Positions of a rank that are read and masked together, in one step or several."""

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

    def part(self, chosen: slice) -> MicroBatch:
        """Some neighbouring samples; where there are none, a real one without labels."""
        if chosen.stop > chosen.start:
            return MicroBatch(self.input_ids[chosen], self.labels[chosen], self.segments[chosen])
        return MicroBatch(self.input_ids[:1], np.full_like(self.labels[:1], IGNORED), self.segments[:1])

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
        packing: How documents became samples, one of `PACKINGS`.

    Attributes:
        schedule: See the arguments.
        objective: See the arguments.
        remote: Where the shards are, if not on this machine.
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
        packing: str = BEST_FIT,
    ) -> None:
        self._again = partial(
            Corpus,
            store,
            schedule=schedule,
            lanes=lanes,
            mixture=mixture,
            objective=objective,
            seed=seed,
            packing=packing,
        )
        self.schedule = schedule
        self.objective = objective
        self._curriculum = Curriculum.of(schedule, mixture)
        self._seed = seed
        lengths = {phase.sequence_length for phase in schedule.phases}
        names = self._curriculum.names
        self._sources = [source for name in names for source in store.sources() if source.name == name]
        self._packings = {(s.name, length): s.packing(length, packing) for s in self._sources for length in lengths}
        self._orders = {
            (name, length): packing.order(seed, (lanes or {}).get(length) or schedule.largest_batch(length))
            for (name, length), packing in self._packings.items()
        }
        self.remote = store.remote
        self._pad = store.tokenizer().pad_id
        self._patterns = {mixture: _Pattern.of(mixture) for mixture in set(self._curriculum.mixtures)}

    def __reduce__(self) -> tuple[Callable[[], Corpus], tuple[()]]:
        return self._again, ()

    def counter(self) -> StoreCounter:
        """Exact counts for the plan."""
        return StoreCounter(
            {place: PassCounter(self._packings[place], order, self.objective) for place, order in self._orders.items()}
        )

    def windows(self, batches: Sequence[GlobalBatch], rank: int, first_step: int = 0) -> Iterator[Window]:
        """This rank's part of every step, from `first_step` on.

        Args:
            batches: How the batch of each phase is shared among the ranks.
            rank: Index of this rank among those that see different data.
            first_step: The first step; nothing before it is read.
        """
        at_once = 1  # what comes first waits for nothing after it, such as the order of another pass
        looked_at = range(first_step, self.schedule.steps, APART)
        needs = ((step, self._step_shards(step, batches, rank)) for step in looked_at)
        with fetching_ahead(self.remote, needs) as reach:
            while first_step < self.schedule.steps:
                phase = self.schedule.phase_of(first_step)
                last_step = min(first_step + at_once, self.schedule.steps) - 1
                steps = [step for step in range(first_step, last_step + 1) if self.schedule.phase_of(step) == phase]
                for window in self._windows(steps, batches[phase], rank):
                    reach(window.step)
                    yield window
                at_once = 1 + DRAWS_AT_ONCE // -(-batches[phase].samples // batches[phase].data_parallel_size)
                first_step += len(steps)

    def window(self, step: int, batch: GlobalBatch, rank: int) -> Window:
        """This rank's part of one step."""
        (window,) = self._windows([step], batch, rank)
        return window

    def samples(self, phase: int, offsets: Integers) -> MicroBatch:
        """Samples of one phase, by the number of their draw among all draws of the phase's length."""
        length = self.schedule.phases[phase].sequence_length
        return self._read(phase, self._locate(phase, offsets, length), length)

    def _windows(self, steps: Sequence[int], batch: GlobalBatch, rank: int) -> Iterator[Window]:
        """Some steps of a phase: found and read together, small ones take hardly longer than one."""
        slices = batch.micro_batches(rank)
        first, stop = slices[0].start, slices[-1].stop
        mine = _drawn_in(slices)
        spans = [self.schedule.span(step) for step in steps]
        length = spans[0].sequence_length
        phase = spans[0].phase
        places = self._locate(phase, (np.array([span.start for span in spans])[:, None] + mine).ravel(), length)
        sizes = {name: self._orders[name, length].size for name in self._curriculum.mixtures[phase].names}
        together = max(1, POSITIONS_AT_ONCE // (len(mine) * length))
        for number, (step, span) in enumerate(zip(steps, spans, strict=True)):
            here = places.part(number * len(mine), len(mine))
            if not (before := number % together):
                read = self._read(phase, places.part(number * len(mine), together * len(mine)), length)
            whole = read.part(slice(before * len(mine), (before + 1) * len(mine)))
            counts = {draw.key: Counts() for draw in self._curriculum.draws(span, sizes)}
            if stop > first:
                counts |= self._counts(here, whole, span)
            parts = (whole.part(slice(each.start - first, each.stop - first)) for each in slices)
            yield Window(step, tuple(parts), counts)

    def shards(self, phase: int, offsets: Integers) -> Iterator[Shard]:
        """The shards that `samples` reads, source by source, in the order in which these come."""
        length = self.schedule.phases[phase].sequence_length
        places = self._locate(phase, offsets, length)
        for source in dict.fromkeys(places.sources.tolist()):
            at = np.flatnonzero(places.sources == source)
            name = self._curriculum.mixtures[phase].names[source]
            shards = self._packings[name, length].shards_of(places.blocks[at], places.rows[at])
            yield from ((name, number) for number in shards.tolist())

    def _step_shards(self, step: int, batches: Sequence[GlobalBatch], rank: int) -> Iterator[Shard]:
        """The shards that this rank reads in a step."""
        span = self.schedule.span(step)
        return self.shards(span.phase, span.start + _drawn_in(batches[span.phase].micro_batches(rank)))

    def _locate(self, phase: int, offsets: Integers, length: int) -> _Places:
        """Where the samples of these draws of a phase are."""
        mixture, shifts = self._curriculum.mixtures[phase], self._curriculum.shifts[phase]
        pattern = self._patterns[mixture]
        periods, rest = np.divmod(offsets, mixture.period)
        sources = pattern.sources[rest]
        passes, blocks, rows = np.zeros((3, len(offsets)), np.int64)
        places = _Places(sources, passes, blocks, rows, np.zeros(len(offsets), np.uint64))
        for source, name in enumerate(mixture.names):
            here = np.flatnonzero(sources == source)
            if not len(here):
                continue
            order = self._orders[name, length]
            drawn = periods[here] * mixture.weights[source] + pattern.before[source][rest[here]] + shifts[name]
            places.keys[here] = hash_each(key(self._seed, "masks", name, length), drawn)
            places.passes[here], inside = np.divmod(drawn, order.size)
            for number in np.unique(places.passes[here]):
                of_pass = places.passes[here] == number
                at = here[of_pass]
                places.blocks[at], places.rows[at] = order.locate(int(number), inside[of_pass])
        return places

    def _read(self, phase: int, places: _Places, length: int) -> MicroBatch:
        """The samples at these places, in that order."""
        names = self._curriculum.mixtures[phase].names
        parts = []
        for source in dict.fromkeys(places.sources.tolist()):
            at = np.flatnonzero(places.sources == source)
            packing = self._packings[names[source], length]
            parts.append((at, packing.read(places.blocks[at], places.rows[at], self._pad)))
        ids, segments = parts[0][1] if len(parts) == 1 else _in_order(parts)
        inputs, labels = self.objective.inputs_and_labels(ids, segments, places.keys)
        return MicroBatch(inputs, labels, segments)

    def _counts(self, places: _Places, drawn: MicroBatch, span: Span) -> dict[PassKey, Counts]:
        """Counts of samples, taken from the arrays that the model gets."""
        counts = {}
        for source, number in dict.fromkeys(zip(places.sources.tolist(), places.passes.tolist(), strict=True)):
            of_pass = (places.sources == source) & (places.passes == number)
            at = slice(None) if of_pass.all() else np.flatnonzero(of_pass)
            name = self._curriculum.mixtures[span.phase].names[source]
            high, low = self._packings[name, span.sequence_length].digests(places.blocks[at], places.rows[at])
            counts[PassKey(span.phase, name, span.sequence_length, number)] = Counts(
                samples=len(high),
                tokens=int(np.count_nonzero(drawn.segments[at])),
                loss_tokens=int(np.count_nonzero(drawn.labels[at] != IGNORED)),
                digest=int(high.sum()) << 64 | int(low.sum()),
            )
        return counts


def _drawn_in(slices: Sequence[range]) -> Integers:
    """The draws of a rank in a step, by their number in the batch; where it has none, one for a real row."""
    first, stop = slices[0].start, slices[-1].stop
    return np.arange(first, stop) if stop > first else np.zeros(1, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Pattern:
    """One period of a mixture: the number of the source of each draw, and how often each source came before it."""

    sources: Integers
    before: Integers

    @classmethod
    def of(cls, mixture: Mixture) -> _Pattern:
        sources = np.asarray(mixture.pattern)
        chosen = sources == np.arange(len(mixture.names))[:, None]
        return cls(sources, np.cumsum(chosen, axis=1) - chosen)


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Where several samples are: number of the source, pass, block and row in it, and the key of the masks."""

    sources: Integers
    passes: Integers
    blocks: Integers
    rows: Integers
    keys: NDArray[np.uint64]

    def part(self, first: int, count: int) -> _Places:
        """Some neighbouring ones."""
        some = slice(first, first + count)
        return _Places(self.sources[some], self.passes[some], self.blocks[some], self.rows[some], self.keys[some])


def _in_order(parts: Sequence[tuple[Integers, tuple[StoredIds, Integers]]]) -> tuple[StoredIds, Integers]:
    """Ids and segments of several sources as one, from the places of the rows of each."""
    back = np.argsort(np.concatenate([at for at, _ in parts]))
    ids, segments = (np.concatenate(arrays)[back] for arrays in zip(*(read for _, read in parts), strict=True))
    return ids, segments
