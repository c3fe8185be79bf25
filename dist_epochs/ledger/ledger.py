"""The one counter: watch the batches, step with the optimizer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.file import LedgerFile, drawn_to_json
from dist_epochs.ledger.totals import Totals
from dist_epochs.runtime.peers import Alone, Peers

__all__ = ["Drawn", "Ledger"]

TOTALS_EVERY = 1000
"""Steps between totals lines (more where a run makes very many passes)."""


class Counted(Protocol):
    """A rank's part of one step, with its counts: any object of this shape can be watched."""

    @property
    def step(self) -> int:
        """The step, from 0."""

    @property
    def micro_batches(self) -> Sized:
        """What this rank takes, one item per micro-step; as many on every rank."""

    @property
    def counts(self) -> Mapping[PassKey, Counts]:
        """What this rank draws of each pass the step touches; the same keys on every rank."""


Window = TypeVar("Window", bound=Counted)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What one step draws, over all ranks.

    Attributes:
        step: The step, from 1.
        micro_steps: Forward and backward passes on each rank.
        passes: Counts by pass.
        stop_votes: Ranks that ask to stop before this step.
        checkpoint_votes: Ranks that ask for a checkpoint after this step.
    """

    step: int
    micro_steps: int
    passes: Mapping[PassKey, Counts]
    stop_votes: int
    checkpoint_votes: int

    @property
    def counts(self) -> Counts:
        """Over all passes."""
        return sum(self.passes.values(), Counts())


class Ledger:
    """Counts what every step draws over all ranks, and writes it down on rank 0.

    The counts of a step are added over the ranks while the step before it still runs, on integers
    that the host already has; nothing waits for a device.

    Args:
        path: The ledger file. Only rank 0 opens it.
        peers: The other ranks.
        totals: What is behind a run that goes on, from `read_totals(path, up_to=…)`.
        segment: Topology and versions, for the segment line.

    Examples:
        >>> from tempfile import mkdtemp
        >>> from types import SimpleNamespace
        >>> ledger = Ledger(Path(mkdtemp()) / "ledger.jsonl")
        >>> one = SimpleNamespace(step=0, micro_batches=[..., ...], counts={PassKey(0, "web", 128, 0): Counts(8, 1000)})
        >>> for window in ledger.watch([one]):
        ...     ledger.step()
        >>> ledger.close("finished")
        >>> ledger.totals.applied.counts.tokens
        1000
    """

    def __init__(
        self,
        path: Path,
        peers: Peers | None = None,
        *,
        totals: Totals | None = None,
        segment: Mapping[str, Any] | None = None,
    ) -> None:
        self.totals = totals or Totals()
        self._peers: Peers = peers or Alone()
        self._file = LedgerFile(path) if self._peers.rank == 0 else None
        self._current: Drawn | None = None
        self._since_totals = 0
        self._write("segment", from_step=self.totals.last_step, time=_now(), **(segment or {}))

    @property
    def drawn(self) -> Drawn:
        """What the step under way draws, over all ranks."""
        if self._current is None:
            raise RuntimeError("no step is under way; `drawn` is known inside `for … in ledger.watch(…)`")
        return self._current

    def watch(
        self,
        windows: Iterable[Window],
        *,
        stop: Callable[[], bool] = lambda: False,
        checkpoint: Callable[[int], bool] = lambda step: False,
    ) -> Iterator[Window]:
        """Pass the windows of a run through, counting them.

        Args:
            windows: This rank's part of each step, in order.
            stop: Asked once per step; when any rank says yes, all ranks stop before the same step.
            checkpoint: Asked whether to save the run after a step (from 1); any rank's yes is heard by all, in
                `drawn.checkpoint_votes`.
        """
        waiting: tuple[Window, Callable[[], Drawn]] | None = None
        for window in windows:
            following = (window, self._begin_sum(window, stop(), checkpoint(window.step + 1)))
            if waiting is not None and not (yield from self._take(*waiting)):
                following[1]()  # all ranks have begun this sum; none may leave it open
                return
            waiting = following
        if waiting is not None:
            yield from self._take(*waiting)

    def step(self, *, applied: bool = True) -> None:
        """Book the step under way.

        Args:
            applied: False when the optimizer skipped its update.
        """
        drawn = self.drawn
        kind = "applied" if applied else "skipped"
        tally = self.totals.applied if applied else self.totals.skipped
        tally.add(drawn.micro_steps, dict(drawn.passes))
        passes = drawn_to_json(dict(drawn.passes))
        self._write(kind, step=drawn.step, micro_steps=drawn.micro_steps, drawn=passes, time=_now())
        self._current = None
        self._since_totals += 1
        if self._since_totals >= max(TOTALS_EVERY, len(self.totals.applied.passes)):
            self._since_totals = 0
            self._write("totals", step=drawn.step, **self.totals.to_json())
            self.make_durable()

    def metrics(self, step: int, values: Mapping[str, float | int]) -> None:
        """Keep the values logged at a step, so that a mirror can be filled again from the ledger.

        What is not finite stands as text, `nan` or `inf`: JSON has no such numbers.
        """
        texts = {name: value if math.isfinite(value) else str(value) for name, value in values.items()}
        self._write("metrics", step=step, values=texts)

    def checkpoint(self, step: int, name: str) -> None:
        """Note that the run's state after a step is safe under that name."""
        self._write("checkpoint", step=step, name=name, time=_now())

    def go_back(self, totals: Totals, reason: str, segment: Mapping[str, Any] | None = None) -> None:
        """Stand again where the run stood before; what came after is replaced by whatever follows.

        Args:
            totals: What is behind it, from `read_totals(path, up_to=…)`.
            reason: Why the segment under way failed.
            segment: As for a new ledger.
        """
        self._write("end", status="failed", time=_now(), reason=reason)
        self.totals, self._current = totals, None
        self._write("segment", from_step=totals.last_step, time=_now(), **(segment or {}))

    def make_durable(self) -> None:
        """Wait until everything written so far is on the disk."""
        if self._file:
            self._file.make_durable()

    def close(self, status: str, reason: str | None = None) -> None:
        """Write how the segment ended: `finished`, `stopped` or `failed`."""
        file, self._file = self._file, None
        if file:
            file.append("end", status=status, time=_now(), **({"reason": reason} if reason else {}))
            file.close()

    def _take(self, window: Window, finish: Callable[[], Drawn]) -> Generator[Window, None, bool]:
        """Hand out one window as the step under way, unless a rank asked to stop."""
        drawn = finish()
        if drawn.stop_votes:
            return False
        self._current = drawn
        self._write("begin", step=drawn.step)
        yield window
        if self._current is not None:
            raise RuntimeError(
                f"step {drawn.step} was neither applied nor skipped: call `ledger.step()` "
                "once per window, after `optimizer.step()`"
            )
        return True

    def _begin_sum(self, window: Counted, stop: bool, checkpoint: bool) -> Callable[[], Drawn]:
        keys = list(window.counts)
        values = [int(stop), int(checkpoint), len(window.micro_batches)]
        for counts in window.counts.values():
            halves = (counts.digest >> 64, counts.digest & (2**64 - 1))
            values += [counts.samples, counts.tokens, counts.loss_tokens, *map(_signed, halves)]
        sums = self._peers.sum(values)
        number = window.step + 1

        def finish() -> Drawn:
            stop_votes, checkpoint_votes, micro_steps, *rest = sums()
            assert micro_steps == len(window.micro_batches) * self._peers.size, "ranks differ in micro-steps"
            passes = {key: _counts(rest[5 * at : 5 * at + 5]) for at, key in enumerate(keys)}
            return Drawn(number, len(window.micro_batches), passes, stop_votes, checkpoint_votes)

        return finish

    def _write(self, event: str, **fields: Any) -> None:
        if self._file:
            self._file.append(event, **fields)


def _counts(values: Sequence[int]) -> Counts:
    samples, tokens, loss_tokens, high, low = values
    return Counts(samples, tokens, loss_tokens, (high & (2**64 - 1)) << 64 | (low & (2**64 - 1)))


def _signed(half: int) -> int:
    return half - 2**64 if half >= 2**63 else half


def _now() -> float:
    return round(time.time(), 3)
