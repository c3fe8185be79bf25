"""Steps that are counted as they are taken: other people's loops, batch by batch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dist_epochs.arithmetic.counts import Counts
from dist_epochs.errors import InputError
from dist_epochs.integrations.monitor import Observer
from dist_epochs.integrations.observation import advanced
from dist_epochs.runtime.peers import Peers, Sums

if TYPE_CHECKING:
    from dist_epochs.integrations.batches import BatchCounter, BatchCounts

__all__ = ["LoopCounter", "Topology"]

NO_COUNTS: tuple[int, ...] = (0,) * 6
"""Samples, positions, tokens, loss tokens, first tokens of samples among these, and the digest."""

LOOK_EVERY = 0.0005
"""Seconds between looks at what is on its way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Topology:
    """Which ranks see which data.

    Attributes:
        groups: Groups of ranks that see different data.
        group: That of this rank.
        counts: Whether this rank counts for its group, whose other ranks see the same data.
    """

    groups: int
    group: int
    counts: bool = True


@dataclass(frozen=True, slots=True)
class _Step:
    """The end of a window."""

    applied: bool
    scheduler: object
    advanced: int | None


@dataclass(frozen=True, slots=True)
class _Discarded:
    """What was drawn since the last step is trained by none."""


@dataclass(frozen=True, slots=True)
class _PassEnd:
    """The end of a round of this rank's loader."""


class LoopCounter:
    """Adds up the batches of a loop, on this rank and over all.

    Counts are made where the batch is. They come to the host when the device has made them, are then added over the
    ranks, and then booked: all in the order of the loop, a step or two late, and without waiting for anything.

    Args:
        observer: Takes the sums.
        counter: Counts a batch.
        peers: All ranks.
        topology: Which of them see different data.
        from_step: Steps behind this segment.
    """

    def __init__(
        self, observer: Observer, counter: BatchCounter, peers: Peers, topology: Topology, from_step: int
    ) -> None:
        self.observer = observer
        self._counter, self._peers, self._topology, self._begun = counter, peers, topology, from_step
        self._arriving: deque[BatchCounts | _Step | _PassEnd | _Discarded] = deque()
        self._sent: deque[tuple[_Step | _PassEnd, int, Sums]] = deque()
        self._open, self._micro_steps, self._pass_samples = 0, 0, 0
        self._window, self._over_ranks = NO_COUNTS, NO_COUNTS
        self._passed, self._pass_ends = 0, 0

    def add(self, batch: object) -> None:
        """Count a batch that is about to be trained on. What cannot be counted is told, and stops nobody."""
        if self.observer.seen.lost is not None:
            return
        try:
            if not self._open:
                self._begun += 1
                self.observer.begin_step(self._begun)
            counts = self._counter.count(batch)
        except OSError as error:  # the disk of the ledger is full
            self.observer.stop(str(error))
            return
        except (InputError, RuntimeError, TypeError, ValueError, IndexError) as error:
            self.observer.seen.uncounted = str(error)
            counts = self._counter.nothing
        self._open += 1
        self._arriving.append(counts)

    def discard(self) -> None:
        """Forget the batches since the last step: they are trained by none."""
        if self._open:
            self._arriving.append(_Discarded())
            self._open, self._begun = 0, self._begun - 1

    def step(self, *, applied: bool, scheduler: object = None) -> None:
        """End a window with its step; one without a batch is told, and counts for nothing."""
        if not self._open:
            if self.observer.seen.lost is None:
                self.observer.seen.empty_steps += 1
                self.observer.judge()
            return
        self._open = 0
        self._arriving.append(_Step(applied, scheduler, advanced(scheduler)))
        self.settle(0)

    def end_pass(self) -> None:
        """The loader came to its end."""
        self._arriving.append(_PassEnd())

    def settle(self, patience: float) -> bool:
        """Book what has arrived, in order, and wait for the rest for so many seconds.

        Returns:
            Whether everything is booked. It is not where another rank has taken fewer steps.
        """
        give_up = time.monotonic() + patience
        while self.observer.seen.lost is None:
            try:
                self._take_on()
            except (RuntimeError, OSError) as error:  # a rank is gone, or the disk full: the loop may still go on
                self.observer.stop(str(error))
                return False
            if not (self._arriving or self._sent):
                return True
            if time.monotonic() >= give_up:
                return False
            time.sleep(LOOK_EVERY)
        return False

    def finish(self, patience: float) -> bool:
        """Book what can be booked at the end of the run; as `settle`."""
        settled = self.settle(patience)
        self.observer.finish(self._open)
        return settled or self.observer.seen.lost is not None

    def _take_on(self) -> None:
        """Take on what has arrived, in order."""
        while self._arriving:
            item = self._arriving[0]
            if isinstance(item, _Step | _PassEnd):
                self._send(item)
            elif isinstance(item, _Discarded):
                self._micro_steps, self._window = 0, NO_COUNTS
            elif item.rest.arrived:
                samples, *rest = map(int, item.rest.read())
                self._micro_steps += 1
                self._pass_samples += samples
                self._window = _added(self._window, (samples, item.positions, *rest))
            else:
                break
            self._arriving.popleft()
        while self._sent and self._sent[0][2].done():
            self._receive(*self._sent.popleft())

    def _send(self, mark: _Step | _PassEnd) -> None:
        """Begin to add over the ranks what a step or a pass has drawn. All messages have the same shape."""
        here, shown = self._topology, [0] * self._topology.groups
        is_step = isinstance(mark, _Step)
        micro_steps, counts, passed = (
            (self._micro_steps, self._window, 0) if is_step else (0, NO_COUNTS, self._pass_samples)
        )
        if is_step:
            self._micro_steps, self._window = 0, NO_COUNTS
            shown[here.group] = counts[-1]
        else:
            self._pass_samples = 0
        counted = (passed, *counts, *shown) if here.counts else (0,) * (1 + len(counts) + len(shown))
        self._sent.append((mark, micro_steps, self._peers.sum((int(is_step), micro_steps, *counted))))

    def _receive(self, mark: _Step | _PassEnd, micro_steps: int, sums: Sums) -> None:
        """Hand on what all ranks have drawn.

        Where ranks end their passes apart, a step of one meets the end of a pass of another. Each rank's counts
        wait for the next step, and a pass is over when it is over everywhere.
        """
        steps, all_micro_steps, passed, *numbers = sums()
        size, shown = self._peers.size, numbers[len(NO_COUNTS) :]
        self._over_ranks = _added(self._over_ranks, numbers)
        if steps not in (0, size) or all_micro_steps != micro_steps * size:
            self.observer.seen.is_uneven = True
        if isinstance(mark, _Step):
            samples, positions, tokens, loss_tokens, first_tokens, digest = self._over_ranks
            self._over_ranks = NO_COUNTS
            self.observer.book(
                micro_steps,
                Counts(samples, tokens, loss_tokens - first_tokens * bool(self._counter.shifts), digest % 2**64),
                positions,
                applied=mark.applied,
                scheduler=mark.scheduler,
                advanced=mark.advanced,
                duplicate_ranks=_duplicate_ranks(shown) if steps == size else None,
            )
        self._pass_ends, self._passed = self._pass_ends + size - steps, self._passed + passed
        if self._pass_ends >= size:
            self.observer.end_pass(self._passed)
            self._pass_ends, self._passed = self._pass_ends - size, 0


def _added(totals: Sequence[int], more: Sequence[int]) -> tuple[int, ...]:
    """Sums of the numbers of a message, as signed 64-bit integers."""
    return tuple((a + b + 2**63) % 2**64 - 2**63 for a, b in zip(totals, more, strict=False))


def _duplicate_ranks(shown: Sequence[int]) -> tuple[int, int] | None:
    """Two ranks with the same fingerprint."""
    first: dict[int, int] = {}
    for rank, fingerprint in enumerate(shown):
        if fingerprint and first.setdefault(fingerprint, rank) != rank:
            return first[fingerprint], rank
    return None
