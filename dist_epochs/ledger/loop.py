"""Steps that are counted as they are taken: other people's loops, batch by batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from dist_epochs.arithmetic.counts import PassKey
from dist_epochs.ledger.books import Books
from dist_epochs.ledger.counters import counters
from dist_epochs.ledger.mirror import Mirror
from dist_epochs.ledger.observed import Observed, Schedule, schedule_of
from dist_epochs.ledger.rules import RULES, rule_name
from dist_epochs.ledger.windows import counts_of
from dist_epochs.runtime.peers import Peers

if TYPE_CHECKING:
    from dist_epochs.runtime.batches import BatchCounts

__all__ = ["LoopCounter", "Topology"]

DATA = PassKey(0, "data", 0, 0)
"""Where samples of other people's data are booked: one source, lengths that vary."""

MIRROR_EVERY = 10
"""Steps between rows of counters."""

LATE = 1
"""Sums over the ranks that may be on their way when a step ends."""


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
    schedule: tuple[int, int | None] | None


@dataclass(frozen=True, slots=True)
class _PassEnd:
    """The end of a round of this rank's loader."""


@dataclass(slots=True)
class _Sums:
    """What came since the last step, on this rank."""

    micro_steps: int = 0
    samples: int = 0
    positions: int = 0
    tokens: int = 0
    loss_tokens: int = 0
    first_tokens: int = 0
    high: int = 0
    low: int = 0


class LoopCounter:
    """Counts the batches of a loop and books its steps.

    Counts are made where the batch is. They come to the host when the device has made them, are then added over the
    ranks, and then booked: all in the order of the loop, one or two steps late, and without waiting for a device.

    Args:
        books: Of this run; only rank 0 writes.
        peers: All ranks.
        topology: Which of them see different data.
        seen: What is known of the loop before it runs.
        say: Prints a line, on rank 0.
    """

    def __init__(
        self, books: Books, peers: Peers, topology: Topology, seen: Observed, say: Callable[[str], None]
    ) -> None:
        from dist_epochs.runtime.batches import BatchCounter

        self.seen = seen
        self._books, self._peers, self._topology, self._say = books, peers, topology, say
        self._counter, self._mirror = BatchCounter(), Mirror()
        self._arriving: deque[BatchCounts | _Step | _PassEnd] = deque()
        self._sent: deque[tuple[_Step | _PassEnd, int, Callable[[], list[int]]]] = deque()
        self._window, self._pass_samples, self._open = _Sums(), 0, 0
        self._begun = seen.step = seen.from_step
        self._tokens: int | None = None
        self._schedule_began: tuple[int, int] | None = None
        self._said: set[str] = set()

    @property
    def open_batches(self) -> int:
        """Batches since the last step."""
        return self._open

    @property
    def epoch(self) -> Fraction | None:
        """True epochs: samples applied ÷ samples of the data. On rank 0."""
        applied = self._books.totals.applied
        return Fraction(applied.counts.samples, self.seen.samples) if self.seen.samples else None

    def know(self, samples: int | None, tokens: int | None, how: str) -> None:
        """Note how large one pass over the data is.

        Args:
            samples: Of it, None if not known.
            tokens: Of it, None if not known.
            how: `stated`, `dataset`, `store` or `learned`.
        """
        self.seen.samples, self.seen.is_learned, self._tokens = samples, how == "learned", tokens
        self._books.write("corpus", samples=samples, tokens=tokens, known=how)

    def begin(self, batch: object, facts: Mapping[str, Any]) -> None:
        """Look at the first batch, and begin the segment."""
        self._counter.look(batch)
        self.seen.assumes_tokens = self._counter.assumes_tokens
        self.seen.counts_restarts = self._counter.counts_restarts
        self._books.segment({**facts, "counted": list(self._counter.units)})

    def add(self, batch: object) -> None:
        """Count a batch that is about to be trained on."""
        if not self._open:
            self._begun += 1
            self._books.begin(self._begun)
        self._open += 1
        self._arriving.append(self._counter.count(batch))

    def step(self, *, applied: bool, scheduler: object = None) -> None:
        """End a window with its step."""
        if not self._open:
            raise RuntimeError("a step without a batch: draw batches with `for batch in ledger.watch(loader)`")
        self._open = 0
        self._arriving.append(_Step(applied, schedule_of(scheduler) if scheduler is not None else None))
        self._advance(wait=False)

    def end_pass(self) -> None:
        """The loader came to its end; waits for everything counted so far."""
        self._arriving.append(_PassEnd())
        self.settle()

    def settle(self) -> None:
        """Wait until everything counted so far is booked. Every rank calls this."""
        self._advance(wait=True)

    def report(self, epoch: float, by: str) -> None:
        """What the loop itself says, beside what is true."""
        self.seen.reported, self.seen.reporter, self.seen.epoch = epoch, by, self.epoch
        self._books.write("reported", epoch=epoch, step=self.seen.step, by=by)

    def counters(self) -> dict[str, float | int]:
        """The true counters so far, on rank 0; under `ledger/`."""
        reported = {} if self.seen.reported is None else {"ledger/epoch_reported": self.seen.reported}
        return counters(self._books.totals, self.epoch) | reported

    def finish(self) -> None:
        """Say what is to be said at the end; everything is settled before."""
        self.seen.unstepped = self._open
        self.judge()
        self._mirror.show(self.counters())

    def judge(self) -> None:
        """Ask every rule that was silent so far."""
        if self._peers.rank:
            return
        for rule in RULES:
            name = rule_name(rule)
            if name not in self._said and (message := rule(self.seen)):
                self._said.add(name)
                self._books.write("warning", rule=name, message=message, step=self.seen.step)
                self._say(f"dist_epochs: {name}: {message}")

    def show(self) -> None:
        """Put the counters into the row of wandb that is under way."""
        if self._peers.rank == 0:
            self._mirror.show(self.counters())

    def _advance(self, *, wait: bool) -> None:
        """Take on what has arrived, in order; `wait` for the rest."""
        from dist_epochs.runtime.batches import BatchCounts

        while self._arriving:
            item = self._arriving[0]
            if not isinstance(item, BatchCounts):
                self._send(item)
            elif wait or item.rest.arrived:
                self._take(item)
            else:
                break
            self._arriving.popleft()
        while self._sent and (wait or len(self._sent) > LATE):
            self._receive(*self._sent.popleft())

    def _take(self, batch: BatchCounts) -> None:
        """Add a batch whose counts have come to the host."""
        samples, tokens, loss_tokens, first, high, low = map(int, batch.rest.read())
        window = self._window
        window.micro_steps += 1
        self._pass_samples += samples
        for name, value in zip(
            ("samples", "positions", "tokens", "loss_tokens", "first_tokens"),
            (samples, batch.positions, tokens, loss_tokens, first),
            strict=True,
        ):
            setattr(window, name, getattr(window, name) + value)
        window.high, window.low = _wrapped(window.high + high), _wrapped(window.low + low)

    def _send(self, mark: _Step | _PassEnd) -> None:
        """Begin to add over the ranks what a step or a pass has drawn. All messages have the same shape."""
        is_step, here, window = isinstance(mark, _Step), self._topology, self._window
        counts = [0] * 7
        if is_step:
            counts = [
                window.samples, window.positions, window.tokens, window.loss_tokens, window.first_tokens,
                window.high, window.low,
            ]  # fmt: skip
        shown = [0] * here.groups
        if here.counts and is_step:
            shown[here.group] = window.high
        passed = 0 if is_step else self._pass_samples
        values = [int(is_step), window.micro_steps if is_step else 0, *(c * here.counts for c in (passed, *counts))]
        self._sent.append((mark, window.micro_steps, self._peers.sum([*values, *shown])))
        if is_step:
            self._window = _Sums()
        else:
            self._pass_samples = 0

    def _receive(self, mark: _Step | _PassEnd, micro_steps: int, sums: Callable[[], list[int]]) -> None:
        """Book what all ranks have drawn."""
        steps, all_micro_steps, passed, *counts = sums()
        shown = counts[7:]
        seen, size = self.seen, self._peers.size
        seen.is_uneven = (
            seen.is_uneven or steps not in (0, size) or (steps == size and all_micro_steps != micro_steps * size)
        )
        if isinstance(mark, _PassEnd):
            self._end_pass(passed)
        else:
            self._book(mark, micro_steps, counts[:7], shown)
        seen.epoch = self.epoch
        self.judge()
        if seen.step % MIRROR_EVERY == 0 and isinstance(mark, _Step):
            self.show()

    def _book(self, mark: _Step, micro_steps: int, counts: Sequence[int], shown: Sequence[int]) -> None:
        samples, positions, tokens, loss_tokens, first, high, low = counts
        seen = self.seen
        if self._counter.shifts:
            loss_tokens -= first
        seen.step, seen.micro_steps = seen.step + 1, micro_steps
        seen.twins = seen.twins or _twins(shown)
        if mark.schedule is not None:
            self._follow(*mark.schedule)
        if not mark.applied and seen.skipped is None:
            seen.skipped = seen.step
        drawn = counts_of((samples, tokens, loss_tokens, high, low))
        self._books.book(seen.step, micro_steps, {DATA: drawn}, applied=mark.applied, positions=positions)

    def _follow(self, advanced: int, ends_at: int | None) -> None:
        """Lay the learning-rate schedule beside the steps."""
        step = self.seen.step
        if self._schedule_began is None:
            self._schedule_began = step, advanced
        elif step > self._schedule_began[0]:
            first, before = self._schedule_began
            self.seen.schedule = Schedule(advanced - before, step - first, ends_at)

    def _end_pass(self, samples: int) -> None:
        """A round of the loaders is over on all ranks."""
        seen = self.seen
        seen.passes, seen.pass_samples = seen.passes + 1, samples
        self._books.write("pass", number=seen.passes, samples=samples, step=seen.step)
        if seen.samples is None and not (seen.passes == 1 and seen.from_step):  # that pass began in its middle
            self.know(samples, self._tokens, "learned")


def _twins(shown: Sequence[int]) -> tuple[int, int] | None:
    """Two ranks with the same fingerprint."""
    first: dict[int, int] = {}
    for rank, fingerprint in enumerate(shown):
        if first.setdefault(fingerprint, rank) != rank:
            return first[fingerprint], rank
    return None


def _wrapped(value: int) -> int:
    """A sum as a signed 64-bit integer."""
    return (value + 2**63) % 2**64 - 2**63
