"""The ledger of this package's own trainer: steps whose samples are counted before they are taken."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.totals import Totals
from dist_epochs.ledger.writer import LedgerWriter
from dist_epochs.runtime.peers import Alone, Peers

__all__ = ["Counted", "Drawn", "RunLedger"]


TIMED = ("data", "communication", "evaluation", "checkpoint")
"""Causes whose time is recorded apart from that of computing."""


ENERGY_EVERY = 10.0
"""Seconds between two readings of the devices' energy counters, which take some microseconds."""


class Counted(Protocol):
    """A rank's part of one step, with its counts: any object of this shape can be recorded."""

    @property
    def step(self) -> int:
        """The step, from 0."""

    @property
    def micro_batches(self) -> Sized:
        """What this rank trains on, one item per micro-step; the same number on every rank."""

    @property
    def counts(self) -> Mapping[PassKey, Counts]:
        """What this rank draws from each pass that the step draws from; the same keys on every rank."""


Window = TypeVar("Window", bound=Counted)


@dataclass(frozen=True, slots=True)
class Drawn(Generic[Window]):
    """One step: this rank's part of it, and what it draws over all ranks.

    Attributes:
        step: The step, from 1.
        window: This rank's part.
        passes: Counts by pass, over all ranks.
        stop_votes: Ranks that ask to stop before this step.
        checkpoint_votes: Ranks that ask for a checkpoint after this step.
    """

    step: int
    window: Window
    passes: Mapping[PassKey, Counts]
    stop_votes: int
    checkpoint_votes: int

    @property
    def micro_steps(self) -> int:
        """Forward and backward passes on each rank."""
        return len(self.window.micro_batches)

    @property
    def counts(self) -> Counts:
        """Over all passes."""
        return sum(self.passes.values(), Counts())


class RunLedger:
    """Records the steps of a run whose windows know their counts, in a file that rank 0 writes.

    The counts of a step are added over the ranks while the step before it still runs. They are integers that the host
    already has, so nothing waits for a device.

    Args:
        run: Run directory, which exists and is locked.
        ranks: All ranks.
        totals: What earlier segments recorded, from `read_totals(path, up_to=…)`.
        segment: Topology and versions of the segment that begins.
        energy: Reads what this rank's device has taken in the segment, in millijoules; None where devices do not
            measure it. Given on all ranks or on none.

    Attributes:
        waited: Seconds that this rank has waited so far for the counts of the others.

    Examples:
        >>> from tempfile import mkdtemp
        >>> from types import SimpleNamespace
        >>> ledger = RunLedger(Path(mkdtemp()))
        >>> one = SimpleNamespace(step=0, micro_batches=[..., ...], counts={PassKey(0, "web", 128, 0): Counts(8, 1000)})
        >>> for drawn in ledger.watch([one]):
        ...     ledger.book(drawn, applied=True)
        >>> ledger.close("finished")
        >>> ledger.totals.applied.counts.tokens
        1000
    """

    def __init__(
        self,
        run: Path,
        ranks: Peers | None = None,
        *,
        totals: Totals | None = None,
        segment: Mapping[str, Any] | None = None,
        energy: Callable[[], int | None] | None = None,
    ) -> None:
        self._ranks: Peers = ranks or Alone()
        self._writer = LedgerWriter(run, totals or Totals(), writes=self._ranks.rank == 0)
        self._writer.segment({"timed": TIMED, **(segment or {})})
        self._under_way: int | None = None
        self.waited = self._booked_wait = 0.0
        self._has_begun = False
        self._energy, self._energy_read, self._energy_booked = energy, -ENERGY_EVERY, 0
        self._energy_mj: int | None = None
        self._own_energy: int | None = None

    @property
    def totals(self) -> Totals:
        """Everything recorded so far, over all ranks."""
        return self._writer.totals

    def watch(
        self,
        windows: Iterable[Window],
        *,
        stop: Callable[[], bool] = lambda: False,
        checkpoint: Callable[[int], bool] = lambda step: False,
    ) -> Iterator[Drawn[Window]]:
        """Each step of a run with what it draws; `book` it before the next one. Every rank calls this.

        Args:
            windows: This rank's part of each step.
            stop: Called once per step; when it is true on any rank, all ranks stop before the same step.
            checkpoint: Called with each step (from 1): whether this rank wants the run to be saved after it. All
                ranks see the votes in `checkpoint_votes`.
        """
        summed: Callable[[], Drawn[Window]] | None = None
        for window in windows:
            following = self._begin_sum(window, stop(), checkpoint(window.step + 1))
            if summed is not None:
                drawn = summed()
                if drawn.stop_votes:
                    following()  # all ranks have begun this sum; none may leave it open
                    return
                yield from self._begun(drawn)
            summed = following
        if summed is not None and not (drawn := summed()).stop_votes:
            yield from self._begun(drawn)

    def book(self, drawn: Drawn[Any], *, applied: bool, data_wait: float | None = None) -> None:
        """Record that a step was taken.

        Args:
            drawn: The step under way.
            applied: Whether the optimizer updated.
            data_wait: Seconds that this rank waited for data since the step before; None if that is not known. The
                ledger keeps those of rank 0.
        """
        if drawn.step != self._under_way:
            raise RuntimeError(f"step {drawn.step} is not under way; book each step once, inside `watch`")
        waited, self._booked_wait = self.waited - self._booked_wait, self.waited
        self._writer.book(
            drawn.step,
            drawn.micro_steps,
            drawn.passes,
            applied=applied,
            data_wait=data_wait,
            communication=waited,
            energy_mj=self._new_energy(),
        )
        self._under_way = None

    @property
    def writes(self) -> bool:
        """Whether this rank writes the file."""
        return self._writer.writes

    def warn(self, rule: str, message: str) -> None:
        """Keep a warning."""
        self._writer.write("warning", rule=rule, message=message, step=self.totals.last_step)

    def metrics(self, step: int, values: Mapping[str, float | int]) -> None:
        """Keep the values logged at a step, so that a mirror can be filled again from the ledger.

        A value that is not finite is written as text, `nan` or `inf`: JSON has no such numbers.
        """
        texts = {name: value if math.isfinite(value) else str(value) for name, value in values.items()}
        self._writer.write("metrics", step=step, values=texts)

    def checkpoint(self, step: int, name: str, seconds: float) -> None:
        """Note that the run's state after a step is safe under that name, and how long saving it took."""
        self._writer.pause("checkpoint", step, seconds, name=name)

    def evaluation(self, step: int, seconds: float) -> None:
        """Note that the run was evaluated after a step, and how long that took."""
        self._writer.pause("evaluation", step, seconds)

    def go_back(self, totals: Totals, reason: str, segment: Mapping[str, Any]) -> None:
        """Roll the totals back to a checkpoint; the steps that follow replace those after it.

        Args:
            totals: What was recorded up to the checkpoint, from `read_totals(path, up_to=…)`.
            reason: Why the segment under way failed.
            segment: As for a new one.
        """
        self._writer.go_back(totals, reason, {"timed": TIMED, **segment})
        self._under_way = None

    def make_durable(self) -> None:
        """Wait until everything written so far is on the disk."""
        self._writer.make_durable()

    def close(self, status: str, reason: str | None = None) -> None:
        """Write how the segment ended, the first time: `finished`, `stopped` or `failed`."""
        self._writer.close(status, reason)

    def _measured(self) -> list[int]:
        """What this rank's device has measured, read from time to time, and whether it did."""
        if self._energy is None:
            return []
        if time.monotonic() - self._energy_read >= ENERGY_EVERY:
            self._energy_read, self._own_energy = time.monotonic(), self._energy()
        return [0, 0] if self._own_energy is None else [self._own_energy, 1]

    def _new_energy(self) -> int | None:
        """The sum over all ranks, where it has changed since the last step that has it."""
        if self._energy_mj is None or self._energy_mj == self._energy_booked:
            return None
        self._energy_booked = self._energy_mj
        return self._energy_mj

    def _begun(self, drawn: Drawn[Window]) -> Iterator[Drawn[Window]]:
        """Hand out one step, and check that it was recorded."""
        self._writer.begin(drawn.step)
        if not self._has_begun:
            self._has_begun, self._booked_wait = True, self.waited  # waits before the first step are of the start
        self._under_way = drawn.step
        yield drawn
        if self._under_way is not None:
            raise RuntimeError(f"step {drawn.step} was neither applied nor skipped: `book` it once, after its update")

    def _begin_sum(self, window: Window, stop: bool, checkpoint: bool) -> Callable[[], Drawn[Window]]:
        """Start adding the counts and votes of a step over the ranks; calling the result waits for the sums."""
        values = [int(stop), int(checkpoint), len(window.micro_batches), *self._measured()]
        for counts in window.counts.values():
            values += [counts.samples, counts.tokens, counts.loss_tokens, *_halves(counts.digest)]
        sums = self._ranks.sum(values)

        def finish() -> Drawn[Window]:
            began = time.perf_counter()
            stop_votes, checkpoint_votes, micro_steps, *rest = sums()
            self.waited += time.perf_counter() - began
            assert micro_steps == len(window.micro_batches) * self._ranks.size, "ranks differ in micro-steps"
            if self._energy is not None:
                millijoules, ranks, *rest = rest
                self._energy_mj = millijoules if ranks == self._ranks.size else None
            passes = {key: _counts(rest[5 * at : 5 * at + 5]) for at, key in enumerate(window.counts)}
            return Drawn(window.step + 1, window, passes, stop_votes, checkpoint_votes)

        return finish


def _counts(values: Sequence[int]) -> Counts:
    """Counts from samples, tokens, loss tokens and the halves of the digest, as they are summed over ranks."""
    samples, tokens, loss_tokens, high, low = values
    return Counts(samples, tokens, loss_tokens, (high & (2**64 - 1)) << 64 | (low & (2**64 - 1)))


def _halves(digest: int) -> tuple[int, int]:
    """A digest as two signed 64-bit integers, which add up wrapping."""
    high, low = ((half + 2**63) % 2**64 - 2**63 for half in (digest >> 64, digest & (2**64 - 1)))
    return high, low
