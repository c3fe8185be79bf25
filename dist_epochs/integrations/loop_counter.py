"""Counts the steps of a user's own loop as they are taken, batch by batch."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from dist_epochs.arithmetic.counts import Counts
from dist_epochs.errors import InputError
from dist_epochs.integrations.by_source import BySource, added
from dist_epochs.integrations.monitor import Monitor, NewAttempt
from dist_epochs.integrations.observation import advanced
from dist_epochs.ledger.writer import now
from dist_epochs.runtime.peers import Peers, Sums

if TYPE_CHECKING:
    from dist_epochs.integrations.batches import BatchCounter, BatchCounts

__all__ = ["LoopCounter", "Topology"]

NO_COUNTS: tuple[int, ...] = (0,) * 7
"""Batches that could not be counted, positions, samples, tokens, loss tokens, first tokens of samples among these, and
the digest."""

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
class _PassEnd:
    """A pass over the loader of this rank has ended.

    Attributes:
        left: Whether the loop left it before its last batch.
        whole: Whether it drew everything that the loader has.
    """

    left: bool
    whole: bool


class LoopCounter:
    """Adds up the batches of a loop, on this rank and over all.

    Counts are made on the device of the batch and copied to the host. When they have arrived there, they are added
    over the ranks, and then recorded. All of this follows the order of the loop, a step or two late. Nothing here waits
    for other ranks: while these wait for this one in a collective of the model, that would be a deadlock.

    A loop that fetches ahead has drawn a batch more than it has trained whenever it steps. This shows at the second
    step (where it draws by `for`, at the third): the first window seems to be one longer than those after it. From then
    on the last batch drawn before a step belongs to the next one.

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
        self.monitor, self.counter = monitor, counter
        self.is_drawn_by_next = False
        self._peers, self._topology, self._from_step = peers, topology, from_step
        self._arriving: deque[BatchCounts | _Step | _PassEnd] = deque()
        self._sent: deque[tuple[_Step | _PassEnd, BySource, Sums]] = deque()
        self._recording: Generator[Sums, list[int], None] | None = None
        self._awaited: Sums | None = None
        self._drawn: list[BatchCounts] = []
        self._begin_attempt()
        self._pass_samples, self._pass_sources = 0, BySource()
        self._over_ranks, self._sources_over_ranks = NO_COUNTS, BySource()
        self._passed, self._passed_sources = 0, BySource()
        self._pass_ends, self._left, self._parts = 0, 0, 0
        self._sources: list[str] = []

    def _begin_attempt(self) -> None:
        """Forget the windows of an attempt whose steps are thrown away."""
        self._steps_begun, self._is_begun = self._from_step, False
        self._steps, self._longest = 0, 0
        self._sizes: list[int] = []
        self._held: list[_Step] = []
        self._is_decided = False
        self._ahead, self._kept, self._ended = 0, 0, False

    def add(self, batch: object) -> None:
        """Count a batch that is about to be trained on. One that cannot be counted gives a warning, no error."""
        if self.monitor.observed.lost is not None:
            return
        try:
            self._begin_step()
        except OSError as error:  # the disk of the ledger is full
            self.monitor.stop(str(error))
            return
        try:
            counts = self.counter.count(batch)
        except Exception as error:  # a batch may be an object of any kind, and training must go on
            why = error.asked if isinstance(error, InputError) else str(error) or type(error).__name__
            self.monitor.observed.why_uncounted = why
            counts = self.counter.uncounted
        self._drawn.append(counts)
        self._arriving.append(counts)
        self._ended = False

    def _begin_step(self) -> None:
        """Record that the first batch of a step is drawn."""
        if not self._is_begun:
            self._steps_begun, self._is_begun = self._steps_begun + 1, True
            self.monitor.begin_step(self._steps_begun)

    def discard(self) -> None:
        """Leave out the batches since the last step: no step trains them."""
        self._drawn, self._kept = [], 0
        if self._is_begun:
            self._steps_begun, self._is_begun = self._steps_begun - 1, False

    def step(
        self,
        *,
        applied: bool,
        scheduler: object = None,
        new_attempt: NewAttempt | None = None,
        data_wait: float | None = None,
    ) -> None:
        """End a window with its step. A step without a batch gives a warning, and is not recorded.

        Args:
            applied: Whether the optimizer updated.
            scheduler: The scheduler of the learning rate, if there is one.
            new_attempt: If training began again from where this segment began: the steps since then were for nothing.
            data_wait: Seconds that the loop waited for its batches since the last step; None where that is not seen.
        """
        drawn = len(self._drawn) - self._kept
        if not self._drawn or (not drawn and not self._ended):
            loop = self.monitor.observed
            if loop.lost is None:
                loop.empty_steps += 1
                loop.last_empty = self._from_step + self._steps
                self.monitor.check()
            return
        if new_attempt is not None:
            self._release_held()
            self._begin_attempt()
            self._steps_begun += 1
        self._steps += 1
        if not self._is_decided:
            self._notice_fetching_ahead(drawn)
        keep = 0 if self._ended else self._ahead
        trained, self._drawn = self._drawn[: len(self._drawn) - keep], self._drawn[len(self._drawn) - keep :]
        self._kept, self._is_begun, self._longest = keep, False, max(self._longest, len(trained))
        step = _Step(tuple(trained), applied, scheduler, advanced(scheduler), now(), data_wait, new_attempt)
        if not self._is_decided:  # a later step shows whether the last of them belongs to it
            self._held.append(step)
            return
        self._release_held()
        self._arriving.append(step)
        self.settle(0)

    def _notice_fetching_ahead(self, drawn: int) -> None:
        """Compare the first windows; in a loop that fetches ahead the last batch of each is the next one's.

        Args:
            drawn: Batches drawn since the step before.
        """
        self._sizes.append(drawn)
        fetches_ahead = self._fetches_ahead()
        self._is_decided = fetches_ahead is not None
        if not fetches_ahead:
            return
        self._ahead = 1
        carried: list[BatchCounts] = []
        for at, step in enumerate(self._held):
            self._held[at] = replace(step, batches=(*carried, *step.batches[:-1]))
            carried = [step.batches[-1]]
        self._drawn[:0] = carried

    def _fetches_ahead(self) -> bool | None:
        """Whether the loop fetches ahead, by its windows so far; None where only the next one will show it.

        The first window is then one longer than those after it. So it is where windows have any size, or the last one
        of a pass is shorter, or the first step was not reported. Batches drawn by `next` are evidence; without it the
        third window must be like the second, and not a single batch.
        """
        loop, (first, *others) = self.monitor.observed, self._sizes
        if not others:
            is_stated = loop.knows_windows and loop.accumulation == first
            return None if first > 1 and not is_stated and not loop.is_hf_trainer else False
        if others[0] != first - 1 or self._ended:
            return False
        if self.is_drawn_by_next:
            return True
        if others[0] == 1:
            return False
        return others[0] == others[1] if len(others) > 1 else None

    def _release_held(self) -> None:
        self._arriving.extend(self._held)
        self._held = []

    def end_pass(self, *, left: bool, whole: bool) -> bool:
        """Note that a pass over the loader ended, or that the loop left it.

        Where every step so far has trained one batch, a batch that was drawn last and not stepped was not trained by
        the loop that left: it is in no later step.

        Args:
            left: Whether the loop left it by `break`, `return` or an error.
            whole: Whether it drew everything that the loader has; it may have done so when it is left.

        Returns:
            Whether it left batches that no step trains.
        """
        self._release_held()
        self._ended = not left
        loop = self.monitor.observed
        untrained = left and bool(self._drawn) and self._longest <= 1 and loop.accumulation in (None, 1)
        if untrained:
            loop.left_over += len(self._drawn)
            self.discard()
        self._arriving.append(_PassEnd(left and not whole, whole))
        return untrained

    @property
    def has_stepped(self) -> bool:
        """Whether a step was taken since training began."""
        return self._steps > 0

    @property
    def open(self) -> int:
        """Micro-batches that were drawn after the last step."""
        return len(self._drawn)

    def settle(self, patience: float) -> bool:
        """Record what has arrived, in order, and wait at most so many seconds for the rest.

        Returns:
            Whether everything is recorded. It is not where another rank has taken fewer steps.
        """
        if patience:
            self._release_held()
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
        self.monitor.finish(self.open)
        return settled or self.monitor.observed.lost is not None

    def _process(self) -> None:
        """Process what has arrived, in order."""
        while self._arriving:
            item = self._arriving[0]
            if isinstance(item, (_Step, _PassEnd)):
                if self.counter.source:
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

    def _send(self, mark: _Step | _PassEnd) -> None:
        """Start adding over the ranks what a step or a pass has drawn. All messages have the same shape.

        Counts by source are sent for the sources that all ranks know; the number of the others goes with them.
        """
        here, fingerprints = self._topology, [0] * self._topology.groups
        counts, passed, sources = NO_COUNTS, 0, BySource()
        if isinstance(mark, _Step):
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
        named = sources.message(self._sources, of_step=isinstance(mark, _Step))
        message = (*kind, passed, unknown, *counts, *fingerprints, *named)
        self._sent.append((mark, sources, self._peers.sum(message)))

    def _receive(self, mark: _Step | _PassEnd, sources: BySource, sums: Sums) -> Generator[Sums, list[int], None]:
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
            self._receive_sources(new, (yield self._peers.sum(sources.message(new, of_step=isinstance(mark, _Step)))))
            self._sources += new
        micro_steps = len(mark.batches) if isinstance(mark, _Step) else 0
        if steps not in (0, size) or all_micro_steps != micro_steps * size:
            self.monitor.observed.is_uneven = True
        if isinstance(mark, _Step):
            counted, self._over_ranks = self._over_ranks, NO_COUNTS
            by_source, self._sources_over_ranks = self._sources_over_ranks, BySource()
            shifts = bool(self.counter.shifts)
            if mark.new_attempt is not None:
                self.monitor.begin_again(mark.new_attempt)
            self.monitor.book(
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
            self.monitor.end_pass(self._passed, by_name, left=self._left > 0, whole=not self._parts)
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
