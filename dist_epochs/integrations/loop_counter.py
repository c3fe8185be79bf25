"""Counts the steps of a user's own loop as they are taken, batch by batch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dist_epochs.arithmetic.counts import Counts
from dist_epochs.errors import InputError
from dist_epochs.integrations.monitor import Monitor
from dist_epochs.integrations.observation import advanced
from dist_epochs.runtime.peers import Peers, Sums

if TYPE_CHECKING:
    from dist_epochs.integrations.batches import BatchCounter, BatchCounts

__all__ = ["LoopCounter", "Topology"]

NO_COUNTS: tuple[int, ...] = (0,) * 6
"""Samples, positions, tokens, loss tokens, first tokens of samples among these, and the digest."""

CHECK_EVERY = 0.0005
"""Seconds between checks of whether counts have arrived."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Topology:
    """Which ranks see which data.

    Attributes:
        groups: Groups of ranks that see different data.
        group: The group of this rank.
        counts: Whether this rank counts for its group; its other ranks see the same data.
    """

    groups: int
    group: int
    counts: bool = True


@dataclass(frozen=True, slots=True)
class _Step:
    """The loop took a step, which ends a window."""

    applied: bool
    scheduler: object
    advanced: int | None


@dataclass(frozen=True, slots=True)
class _Discarded:
    """No step trains what was drawn since the last step."""


@dataclass(frozen=True, slots=True)
class _PassEnd:
    """The loader of this rank came to its end."""


class LoopCounter:
    """Adds up the batches of a loop, on this rank and over all.

    Counts are made on the device of the batch and copied to the host. When they have arrived there, they are added
    over the ranks, and then recorded. All of this follows the order of the loop, a step or two late, and waits for
    nothing.

    Args:
        monitor: Records the sums.
        counter: Counts a batch.
        peers: All ranks.
        topology: Which of them see different data.
        from_step: Steps taken before this segment.
    """

    def __init__(
        self, monitor: Monitor, counter: BatchCounter, peers: Peers, topology: Topology, from_step: int
    ) -> None:
        self.monitor = monitor
        self._counter, self._peers, self._topology, self._steps_begun = counter, peers, topology, from_step
        self._arriving: deque[BatchCounts | _Step | _PassEnd | _Discarded] = deque()
        self._sent: deque[tuple[_Step | _PassEnd, int, Sums]] = deque()
        self._open, self._micro_steps, self._pass_samples = 0, 0, 0
        self._window, self._over_ranks = NO_COUNTS, NO_COUNTS
        self._passed, self._pass_ends = 0, 0

    def add(self, batch: object) -> None:
        """Count a batch that is about to be trained on. One that cannot be counted gives a warning, no error."""
        if self.monitor.observed.lost is not None:
            return
        try:
            if not self._open:
                self._steps_begun += 1
                self.monitor.begin_step(self._steps_begun)
            counts = self._counter.count(batch)
        except OSError as error:  # the disk of the ledger is full
            self.monitor.stop(str(error))
            return
        except (InputError, RuntimeError, TypeError, ValueError, IndexError) as error:
            self.monitor.observed.uncounted = str(error)
            counts = self._counter.nothing
        self._open += 1
        self._arriving.append(counts)

    def discard(self) -> None:
        """Leave out the batches since the last step: no step trains them."""
        if self._open:
            self._arriving.append(_Discarded())
            self._open, self._steps_begun = 0, self._steps_begun - 1

    def step(self, *, applied: bool, scheduler: object = None) -> None:
        """End a window with its step. A step without a batch gives a warning, and is not recorded."""
        if not self._open:
            if self.monitor.observed.lost is None:
                self.monitor.observed.empty_steps += 1
                self.monitor.check()
            return
        self._open = 0
        self._arriving.append(_Step(applied, scheduler, advanced(scheduler)))
        self.settle(0)

    def end_pass(self) -> None:
        """Note that the loader came to its end."""
        self._arriving.append(_PassEnd())

    def settle(self, patience: float) -> bool:
        """Record what has arrived, in order, and wait at most so many seconds for the rest.

        Returns:
            Whether everything is recorded. It is not where another rank has taken fewer steps.
        """
        give_up = time.monotonic() + patience
        while self.monitor.observed.lost is None:
            try:
                self._process()
            except (RuntimeError, OSError) as error:  # a rank is gone or the disk is full; training may continue
                self.monitor.stop(str(error))
                return False
            if not (self._arriving or self._sent):
                return True
            if time.monotonic() >= give_up:
                return False
            time.sleep(CHECK_EVERY)
        return False

    def finish(self, patience: float) -> bool:
        """Record what can be recorded at the end of the run; as `settle`."""
        settled = self.settle(patience)
        self.monitor.finish(self._open)
        return settled or self.monitor.observed.lost is not None

    def _process(self) -> None:
        """Process what has arrived, in order."""
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
        """Start adding over the ranks what a step or a pass has drawn. All messages have the same shape."""
        here, fingerprints = self._topology, [0] * self._topology.groups
        is_step = isinstance(mark, _Step)
        micro_steps, counts, passed = (
            (self._micro_steps, self._window, 0) if is_step else (0, NO_COUNTS, self._pass_samples)
        )
        if is_step:
            self._micro_steps, self._window = 0, NO_COUNTS
            fingerprints[here.group] = counts[-1]
        else:
            self._pass_samples = 0
        counted = (passed, *counts, *fingerprints) if here.counts else (0,) * (1 + len(counts) + len(fingerprints))
        self._sent.append((mark, micro_steps, self._peers.sum((int(is_step), micro_steps, *counted))))

    def _receive(self, mark: _Step | _PassEnd, micro_steps: int, sums: Sums) -> None:
        """Record what all ranks have drawn.

        Where ranks end their passes at different times, the step of one rank is added to the end of a pass of another.
        The counts then wait for the next step on this rank, and a pass has ended when it has ended on every rank.
        """
        steps, all_micro_steps, passed, *numbers = sums()
        size, fingerprints = self._peers.size, numbers[len(NO_COUNTS) :]
        self._over_ranks = _added(self._over_ranks, numbers)
        if steps not in (0, size) or all_micro_steps != micro_steps * size:
            self.monitor.observed.is_uneven = True
        if isinstance(mark, _Step):
            samples, positions, tokens, loss_tokens, first_tokens, digest = self._over_ranks
            self._over_ranks = NO_COUNTS
            self.monitor.book(
                micro_steps,
                Counts(samples, tokens, loss_tokens - first_tokens * bool(self._counter.shifts), digest % 2**64),
                positions,
                applied=mark.applied,
                scheduler=mark.scheduler,
                advanced=mark.advanced,
                duplicate_ranks=_duplicate_ranks(fingerprints) if steps == size else None,
            )
        self._pass_ends, self._passed = self._pass_ends + size - steps, self._passed + passed
        if self._pass_ends >= size:
            self.monitor.end_pass(self._passed)
            self._pass_ends, self._passed = self._pass_ends - size, 0


def _added(totals: Sequence[int], more: Sequence[int]) -> tuple[int, ...]:
    """Sums of the numbers of two messages, as signed 64-bit integers that wrap."""
    return tuple((a + b + 2**63) % 2**64 - 2**63 for a, b in zip(totals, more, strict=False))


def _duplicate_ranks(fingerprints: Sequence[int]) -> tuple[int, int] | None:
    """Two ranks with the same fingerprint."""
    first: dict[int, int] = {}
    for rank, fingerprint in enumerate(fingerprints):
        if fingerprint and first.setdefault(fingerprint, rank) != rank:
            return first[fingerprint], rank
    return None
