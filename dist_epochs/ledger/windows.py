"""Steps that are counted before they are taken: the windows of this package's own trainer."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Protocol, TypeVar

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.books import Books
from dist_epochs.runtime.peers import Peers

__all__ = ["Counted", "Drawn", "WindowCounter"]


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


class WindowCounter:
    """Adds the counts of a step over the ranks while the step before it still runs.

    They are integers that the host already has, so nothing waits for a device.

    Args:
        books: Where steps are booked.
        peers: All ranks.

    Attributes:
        current: What the step under way draws, if one is.
    """

    def __init__(self, books: Books, peers: Peers) -> None:
        self._books = books
        self._peers = peers
        self.current: Drawn | None = None

    def watch(
        self, windows: Iterable[Window], stop: Callable[[], bool], checkpoint: Callable[[int], bool]
    ) -> Iterator[Window]:
        """Pass the windows of a run through, counting them; arguments as in `Ledger.watch`."""
        waiting: tuple[Window, Callable[[], Drawn]] | None = None
        for window in windows:
            following = (window, self._begin_sum(window, stop(), checkpoint(window.step + 1)))
            if waiting is not None and not (yield from self._take(*waiting)):
                following[1]()  # all ranks have begun this sum; none may leave it open
                return
            waiting = following
        if waiting is not None:
            yield from self._take(*waiting)

    def step(self, drawn: Drawn, *, applied: bool) -> None:
        """Book the step under way."""
        self._books.book(drawn.step, drawn.micro_steps, drawn.passes, applied=applied)
        self.current = None

    def _take(self, window: Window, finish: Callable[[], Drawn]) -> Generator[Window, None, bool]:
        """Hand out one window as the step under way, unless a rank asked to stop."""
        drawn = finish()
        if drawn.stop_votes:
            return False
        self.current = drawn
        self._books.begin(drawn.step)
        yield window
        if self.current is not None:
            raise RuntimeError(
                f"step {drawn.step} was neither applied nor skipped: call `ledger.step()` "
                "once per window, after `optimizer.step()`"
            )
        return True

    def _begin_sum(self, window: Counted, stop: bool, checkpoint: bool) -> Callable[[], Drawn]:
        keys = list(window.counts)
        values = [int(stop), int(checkpoint), len(window.micro_batches)]
        for counts in window.counts.values():
            values += [counts.samples, counts.tokens, counts.loss_tokens, *_halves(counts.digest)]
        sums = self._peers.sum(values)
        number = window.step + 1

        def finish() -> Drawn:
            stop_votes, checkpoint_votes, micro_steps, *rest = sums()
            assert micro_steps == len(window.micro_batches) * self._peers.size, "ranks differ in micro-steps"
            passes = {key: _counts(rest[5 * at : 5 * at + 5]) for at, key in enumerate(keys)}
            return Drawn(number, len(window.micro_batches), passes, stop_votes, checkpoint_votes)

        return finish


def _counts(values: Sequence[int]) -> Counts:
    """Counts from samples, tokens, loss tokens and the halves of the digest, as they are summed over ranks."""
    samples, tokens, loss_tokens, high, low = values
    return Counts(samples, tokens, loss_tokens, (high & (2**64 - 1)) << 64 | (low & (2**64 - 1)))


def _halves(digest: int) -> tuple[int, int]:
    """A digest as two signed 64-bit integers, which add up wrapping."""
    return _signed(digest >> 64), _signed(digest & (2**64 - 1))


def _signed(half: int) -> int:
    return half - 2**64 if half >= 2**63 else half
