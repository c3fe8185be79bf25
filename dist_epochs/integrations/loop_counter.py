"""Counts the steps of a user's own loop as they are taken, batch by batch."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from dist_epochs.errors import InputError
from dist_epochs.integrations.monitor import Monitor, NewAttempt
from dist_epochs.integrations.ranks import Topology
from dist_epochs.integrations.schedule import advanced
from dist_epochs.integrations.sums_over_ranks import PassEnd, Step, SumsOverRanks
from dist_epochs.ledger.writer import now
from dist_epochs.runtime.peers import Peers

if TYPE_CHECKING:
    from dist_epochs.integrations.batches import BatchCounter, BatchCounts

__all__ = ["WAIT_BRIEFLY", "WAIT_FOR_RANKS", "LoopCounter"]

WAIT_BRIEFLY, WAIT_FOR_RANKS = 2.0, 30.0
"""Seconds to wait for the counts of other ranks: briefly where they can be recorded later or the run has failed;
longer before a log, a checkpoint and the end."""

CHECK_EVERY = 0.0005
"""Seconds between checks of whether counts have arrived."""


class LoopCounter:
    """Adds up the batches of a loop, on this rank and over all.

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
        self._from_step = from_step
        self._sums = SumsOverRanks(monitor, counter, peers, topology)
        self._drawn: list[BatchCounts] = []
        self._begin_attempt()

    def _begin_attempt(self) -> None:
        """Forget the windows of an attempt whose steps are thrown away."""
        self._steps_begun, self._is_begun = self._from_step, False
        self._steps, self._longest = 0, 0
        self._sizes: list[int] = []
        self._held: list[Step] = []
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
        self._sums.add(counts)
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
        step = Step(tuple(trained), applied, scheduler, advanced(scheduler), now(), data_wait, new_attempt)
        if not self._is_decided:  # a later step shows whether the last of them belongs to it
            self._held.append(step)
            return
        self._release_held()
        self._sums.add(step)
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
        for step in self._held:
            self._sums.add(step)
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
        self._sums.add(PassEnd(left and not whole, whole))
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
                self._sums.record()
            except (RuntimeError, OSError) as error:  # a rank is gone or the disk is full; training may continue
                self.monitor.stop(str(error))
                return False
            if self._sums.are_recorded:
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
