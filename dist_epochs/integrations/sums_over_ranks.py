"""Adds over all ranks what each has drawn, and records the sums."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from dist_epochs.arithmetic.counts import Counts
from dist_epochs.integrations.by_source import BySource, added
from dist_epochs.integrations.monitor import Monitor, NewAttempt
from dist_epochs.integrations.ranks import Topology
from dist_epochs.runtime.peers import Peers, Sums

if TYPE_CHECKING:
    from dist_epochs.integrations.batches import BatchCounter, BatchCounts

__all__ = ["PassEnd", "Step", "SumsOverRanks"]

NO_COUNTS: tuple[int, ...] = (0,) * 7
"""Batches that could not be counted, positions, samples, tokens, loss tokens, first tokens of samples among these, and
the digest."""


@dataclass(frozen=True, slots=True)
class Step:
    """The loop took a step.

    Attributes:
        batches: What it trained on this rank, a micro-step each.
        applied: Whether the optimizer updated.
        scheduler: The scheduler of the learning rate, if there is one.
        advanced: How often it had been advanced.
        taken: When, in seconds since 1970.
        data_wait: Seconds that the loop waited for its batches; None where that is not seen.
        new_attempt: Why training began again with this step, if it did.
    """

    batches: tuple[BatchCounts, ...]
    applied: bool
    scheduler: object
    advanced: int | None
    taken: float
    data_wait: float | None = None
    new_attempt: NewAttempt | None = None


@dataclass(frozen=True, slots=True)
class PassEnd:
    """A pass over the loader of this rank has ended.

    Attributes:
        left: Whether the loop left it before its last batch.
        whole: Whether it drew everything that the loader has.
    """

    left: bool
    whole: bool


class SumsOverRanks:
    """Adds batches, steps and ends of passes over the ranks, and records them.

    Counts are made on the device of the batch and copied to the host. When they have arrived there, they are added
    over the ranks, and then recorded. All of this follows the order of the loop, a step or two late. Nothing here waits
    for other ranks: while these wait for this one in a collective of the model, that would be a deadlock.

    Args:
        monitor: Records the sums.
        counter: Counted the batches.
        peers: All ranks.
        topology: Which of them see different data.
    """

    def __init__(self, monitor: Monitor, counter: BatchCounter, peers: Peers, topology: Topology) -> None:
        self._monitor, self._counter, self._peers, self._topology = monitor, counter, peers, topology
        self._arriving: deque[BatchCounts | Step | PassEnd] = deque()
        self._sent: deque[tuple[Step | PassEnd, BySource, Sums]] = deque()
        self._recording: Generator[Sums, list[int], None] | None = None
        self._awaited: Sums | None = None
        self._pass_samples, self._pass_sources = 0, BySource()
        self._over_ranks, self._sources_over_ranks = NO_COUNTS, BySource()
        self._passed, self._passed_sources = 0, BySource()
        self._pass_ends, self._left, self._parts = 0, 0, 0
        self._sources: list[str] = []

    def add(self, item: BatchCounts | Step | PassEnd) -> None:
        """Take the counts of a batch, a step or the end of a pass, in the order of the loop."""
        self._arriving.append(item)

    @property
    def are_recorded(self) -> bool:
        """Whether everything is recorded that was added."""
        return not (self._arriving or self._sent)

    def record(self) -> None:
        """Record what has arrived by now, in order.

        Raises:
            RuntimeError: If another rank is gone.
            OSError: If the disk is full.
        """
        while self._arriving:
            item = self._arriving[0]
            if isinstance(item, (Step, PassEnd)):
                if self._counter.source:
                    self._record()
                    if self._sent:  # what it tells of new sources changes the shape of the next message
                        return
                self._send(item)
            elif item.arrived:
                self._pass_samples += item.numbers()[2]
                self._pass_sources.add(item.by_source())
            else:
                break
            self._arriving.popleft()
        self._record()

    def _record(self) -> None:
        """Record the sums that have come, in order."""
        while self._sent:
            if self._recording is None:
                self._recording = self._receive(*self._sent[0])
                self._awaited = next(self._recording)
            assert self._awaited is not None
            if not self._awaited.done():
                return
            try:
                self._awaited = self._recording.send(self._awaited())
            except StopIteration:
                self._recording = None
                self._sent.popleft()

    def _send(self, mark: Step | PassEnd) -> None:
        """Start adding over the ranks what a step or a pass has drawn. All messages have the same shape.

        Counts by source are sent for the sources that all ranks know; the number of the others goes with them.
        """
        here, fingerprints = self._topology, [0] * self._topology.groups
        counts, passed, sources = NO_COUNTS, 0, BySource()
        if isinstance(mark, Step):
            kind = (1, len(mark.batches), 0, 0)
            for batch in mark.batches:
                counts = added(counts, batch.numbers())
                sources.add(batch.by_source())
            fingerprints[here.group] = counts[-1]
        else:
            kind = (0, 0, int(mark.left), int(not mark.whole))
            passed, self._pass_samples = self._pass_samples, 0
            sources, self._pass_sources = self._pass_sources, BySource()
        if not here.counts:
            counts, passed, sources, fingerprints = NO_COUNTS, 0, BySource(), [0] * here.groups
        unknown = len(sources.keys() - set(self._sources))
        named = sources.message(self._sources, of_step=isinstance(mark, Step))
        message = (*kind, passed, unknown, *counts, *fingerprints, *named)
        self._sent.append((mark, sources, self._peers.sum(message)))

    def _receive(self, mark: Step | PassEnd, sources: BySource, sums: Sums) -> Generator[Sums, list[int], None]:
        """Record what all ranks have drawn; yields the sums that it needs, and is sent their numbers.

        Where ranks end their passes at different times, the step of one rank is added to the end of a pass of another.
        The counts then wait for the next step on this rank, and a pass has ended when it has ended on every rank.
        """
        steps, all_micro_steps, left, parts, passed, unknown, *numbers = yield sums
        size, groups = self._peers.size, self._topology.groups
        fingerprints = numbers[len(NO_COUNTS) : len(NO_COUNTS) + groups]
        self._over_ranks = added(self._over_ranks, numbers)
        self._receive_sources(self._sources, numbers[len(NO_COUNTS) + groups :])
        if unknown:
            new = yield from self._new_names([name for name in sources if name not in set(self._sources)])
            self._receive_sources(new, (yield self._peers.sum(sources.message(new, of_step=isinstance(mark, Step)))))
            self._sources += new
        micro_steps = len(mark.batches) if isinstance(mark, Step) else 0
        if steps not in (0, size) or all_micro_steps != micro_steps * size:
            self._monitor.observed.is_uneven = True
        if isinstance(mark, Step):
            counted, self._over_ranks = self._over_ranks, NO_COUNTS
            by_source, self._sources_over_ranks = self._sources_over_ranks, BySource()
            shifts = bool(self._counter.shifts)
            if mark.new_attempt is not None:
                self._monitor.begin_again(mark.new_attempt)
            self._monitor.book(
                micro_steps,
                _counts(counted[2:], shifts),
                positions=counted[1],
                by_source={name: _counts(values, shifts) for name, values in by_source.items()},
                uncounted=counted[0],
                applied=mark.applied,
                scheduler=mark.scheduler,
                advanced=mark.advanced,
                taken=mark.taken,
                data_wait=mark.data_wait,
                duplicate_ranks=_duplicate_ranks(fingerprints) if steps == size else None,
            )
        self._passed += passed
        self._pass_ends, self._left = self._pass_ends + size - steps, self._left + left
        self._parts += parts
        if self._pass_ends >= size:
            by_name = {name: samples for name, (samples, *_) in self._passed_sources.items()}
            self._monitor.end_pass(self._passed, by_name, left=self._left > 0, whole=not self._parts)
            self._pass_ends, self._left, self._parts = self._pass_ends - size, 0, 0
            self._passed, self._passed_sources = 0, BySource()

    def _new_names(self, names: Sequence[str]) -> Generator[Sums, list[int], list[str]]:
        """Names of all ranks, sorted, by two sums: of how long each rank's text is, and of its bytes at its place."""
        text, rank = json.dumps(names).encode(), self._peers.rank
        sizes = yield self._peers.sum([len(text) * (rank == other) for other in range(self._peers.size)])
        before = sum(sizes[:rank])
        told = bytes((yield self._peers.sum([*[0] * before, *text, *[0] * (sum(sizes) - before - len(text))])))
        ends = list(accumulate(sizes))
        return sorted(
            {name for end, size in zip(ends, sizes, strict=True) for name in json.loads(told[end - size : end])}
        )

    def _receive_sources(self, names: Sequence[str], numbers: Sequence[int]) -> None:
        """Add what all ranks have drawn from sources: of passes that ended, and of steps."""
        for at, name in enumerate(names):
            passed, *of_step = numbers[at * BySource.width : (at + 1) * BySource.width]
            self._passed_sources.add({name: (passed, 0, 0, 0, 0)})
            self._sources_over_ranks.add({name: of_step})


def _counts(numbers: Sequence[int], shifts: bool) -> Counts:
    """Counts from samples, tokens, loss tokens, first tokens among these, and the digest.

    Args:
        numbers: Summed over the ranks.
        shifts: Whether the loss does not count the first token of a sample.
    """
    samples, tokens, loss_tokens, first_tokens, digest = numbers
    return Counts(samples, tokens, loss_tokens - first_tokens * shifts, digest % 2**64)


def _duplicate_ranks(fingerprints: Sequence[int]) -> tuple[int, ...]:
    """Two ranks with the same fingerprint; none if all differ."""
    first: dict[int, int] = {}
    for rank, fingerprint in enumerate(fingerprints):
        if fingerprint and first.setdefault(fingerprint, rank) != rank:
            return first[fingerprint], rank
    return ()
