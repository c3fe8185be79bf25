"""The one counter: watch the batches, step with the optimizer."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from inspect import GEN_CLOSED, getgeneratorstate
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

from dist_epochs.integrations.loader_facts import loader_facts
from dist_epochs.integrations.loop_counter import LoopCounter
from dist_epochs.integrations.start import Opened, open_run, peers_of
from dist_epochs.integrations.wandb_mirror import Mirror
from dist_epochs.ledger.books import Books
from dist_epochs.ledger.totals import Totals
from dist_epochs.ledger.windows import Drawn, WindowCounter

__all__ = ["Ledger"]

Batch = TypeVar("Batch")

MIRROR_EVERY = 10
"""Steps of a plain loop between rows of counters in wandb."""

SHORT, PATIENCE = 2.0, 30.0
"""Seconds to wait for other ranks: at the end of a pass, where the rest is booked later; and where it counts."""


class _Watched(Iterator[Batch]):
    """A loader whose batches are counted on their way: each `iter` is a new pass over it, as over the loader itself.

    `next` draws from a pass of its own, which the next `iter` goes on with. Length and public attributes are those of
    the loader, so `watched.sampler.set_epoch(3)` does what it did without the ledger.

    Args:
        begin: Begins a pass.
        source: The loader.
    """

    def __init__(self, begin: Callable[[], Generator[Batch, None, None]], source: object) -> None:
        self._begin, self._source = begin, source
        self._under_way: Generator[Batch, None, None] | None = None

    def __iter__(self) -> Iterator[Batch]:
        under_way, self._under_way = self._under_way, None
        if under_way is None or getgeneratorstate(under_way) == GEN_CLOSED:
            return self._begin()
        return under_way

    def __next__(self) -> Batch:
        if self._under_way is None:
            self._under_way = self._begin()
        return next(self._under_way)

    def __len__(self) -> int:
        return len(self._source)  # type: ignore[arg-type]  # a TypeError where it has none, as len() does

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # those of this class, asked for before they are there (`copy.copy`)
            raise AttributeError(name)
        return getattr(self._source, name)


def _let_go(batches: list[Batch]) -> Iterator[Batch]:
    """Batches that nothing holds on to: they may be on a device."""
    while batches:
        yield batches.pop(0)


class Ledger:
    """Counts what every step draws over all ranks, and writes it down on rank 0.

    It serves any training loop. `watch` passes batches through; `step` books what came since the last one, after
    `optimizer.step()`. Every rank does both. Counts are 64-bit integers, added over the ranks on the host, and
    nothing waits for a device.

    In a plain loop, batches are whatever its loader gives. With `accelerator.accumulate`, `step` may be
    called for every micro-batch: it knows which of them ended a window. Samples of one pass are those stated, or
    those of the loader's dataset, or what the first pass drew. What is worth knowing is said in a line each, once
    (`dist-epochs explain`).

    Args:
        run: Run directory, made if it is not there; `dist-epochs ledger RUN` reads it.
        ranks: An `accelerate.Accelerator`; or the ranks as `Peers`; or nothing, for one process or any ranks that
            `torch.distributed` has joined before.
        samples: Samples of one pass over the data.
        store: A token store or its manifest: its documents are the samples, and its tokens are known.
        from_step: Steps behind a run that goes on: those of the checkpoint that was loaded. What the ledger has
            beyond is counted as replayed.
        totals: What is behind a run of this package's trainer, from `read_totals(path, up_to=…)`.
        segment: Topology and versions of such a run.

    Raises:
        InputError: If there is a ledger in the directory and `from_step` does not say where it goes on; if the launch
            is none that counting could trust; if a size is below 1.

    Examples:
        >>> from tempfile import mkdtemp
        >>> from types import SimpleNamespace
        >>> from dist_epochs.arithmetic.counts import Counts, PassKey
        >>> ledger = Ledger(mkdtemp())
        >>> one = SimpleNamespace(step=0, micro_batches=[..., ...], counts={PassKey(0, "web", 128, 0): Counts(8, 1000)})
        >>> for window in ledger.watch([one]):
        ...     ledger.step()
        >>> ledger.close("finished")
        >>> ledger.totals.applied.counts.tokens
        1000
    """

    def __init__(
        self,
        run: str | Path,
        ranks: Any = None,
        *,
        samples: int | None = None,
        store: str | Path | None = None,
        from_step: int | None = None,
        totals: Totals | None = None,
        segment: Mapping[str, Any] | None = None,
    ) -> None:
        self._peers = peers_of(ranks)
        self._accelerator = ranks if hasattr(ranks, "gradient_state") else None
        self._loop: LoopCounter | None = None
        self._opened: Opened | None = None
        self._closed, self._error_before = False, getattr(sys, "last_value", None)
        if segment is None and totals is None:
            self._opened = open_run(Path(run), self._peers, samples=samples, store=store, from_step=from_step)
            totals = self._opened.totals
            atexit.register(self._at_exit)
            if hasattr(ranks, "register_save_state_pre_hook"):
                ranks.register_save_state_pre_hook(lambda models, weights, folder: self.settle())
        self._books = Books(Path(run), totals or Totals(), writes=self._peers.rank == 0)
        self._windows, self._mirror = WindowCounter(self._books, self._peers), Mirror()
        self._begun = segment is not None
        if segment is not None:
            self._books.segment(segment)

    @property
    def totals(self) -> Totals:
        """Everything booked so far; of a plain loop on rank 0 only, and one or two steps late."""
        return self._books.totals

    @property
    def drawn(self) -> Drawn:
        """What the step under way draws, over all ranks, where windows are watched."""
        if self._windows.current is None:
            raise RuntimeError("no step is under way; `drawn` is known inside `for … in ledger.watch(…)`")
        return self._windows.current

    def watch(
        self,
        batches: Iterable[Batch],
        *,
        stop: Callable[[], bool] = lambda: False,
        checkpoint: Callable[[int], bool] = lambda step: False,
    ) -> Iterator[Batch]:
        """Pass batches through, counting them.

        Args:
            batches: A loader, of which each `for` over the result is a pass: wrap it anew in every epoch, or once
                before the first. Or this rank's windows of a whole run, which are `Counted` beforehand.
            stop: Of windows: asked once per step; when any rank says yes, all ranks stop before the same step.
            checkpoint: Of windows: asked whether to save the run after a step (from 1); any rank's yes is heard by
                all, in `drawn.checkpoint_votes`.
        """
        return _Watched(lambda: self._watch(batches, stop, checkpoint), batches)

    def _watch(
        self, batches: Iterable[Any], stop: Callable[[], bool], checkpoint: Callable[[int], bool]
    ) -> Generator[Any, None, None]:
        """By what comes first: batches of a loader, or windows."""
        if self._closed:
            raise RuntimeError("this ledger is closed, so nothing would be counted: make another, with from_step=…")
        iterator = iter(batches)
        start = list(islice(iterator, 1))
        if self._opened is not None and not any(hasattr(batch, "micro_batches") for batch in start):
            loop = self._begin_loop(self._opened, batches, start[0] if start else None)
            yield from self._watch_loader(loop, chain(_let_go(start), iterator))
            return
        if not self._begun:
            self._begin({})
        yield from self._windows.watch(chain(start, iterator), stop, checkpoint)

    def discard(self) -> None:
        """The batches since the last step of a plain loop are trained by none: leave them out."""
        if self._loop is not None:
            self._loop.discard()

    def step(self, optimizer: object = None, scheduler: object = None, *, applied: bool | None = None) -> None:
        """Book the step under way.

        Args:
            optimizer: Of a plain loop: asked whether it skipped the update, if it knows.
            scheduler: Of a plain loop: watched for its pace, where the accelerator does not have it.
            applied: Whether the update was applied; without it, what optimizer or accelerator say, else yes.
        """
        if self._loop is None:
            if self._closed:
                raise RuntimeError("this ledger is closed, so the step would not be counted")
            self._windows.step(self.drawn, applied=applied is not False)
            return
        accelerator = self._accelerator
        if accelerator is not None:
            if not accelerator.sync_gradients:
                return
            scheduler = scheduler or next(iter(getattr(accelerator, "_schedulers", ())), None)
        if applied is None:
            skipped = getattr(optimizer, "step_was_skipped", getattr(accelerator, "optimizer_step_was_skipped", False))
            applied = not skipped
        self._loop.step(applied=applied, scheduler=scheduler)
        if self._loop.observer.seen.step % MIRROR_EVERY == 0:
            self._mirror.show(self.counters())

    def counters(self) -> dict[str, float | int]:
        """The true counters of a plain loop so far, under `ledger/`: for a log of your own, on rank 0."""
        return {} if self._loop is None or self._peers.rank else self._loop.observer.counters()

    def settle(self) -> None:
        """Wait until every step of a plain loop is booked. Every rank calls this, before a checkpoint is saved.

        `accelerator.save_state` does it by itself.
        """
        if self._loop is not None:
            self._loop.settle(PATIENCE)
            self._books.make_durable()

    def metrics(self, step: int, values: Mapping[str, float | int]) -> None:
        """Keep the values logged at a step; see `Books.metrics`."""
        self._books.metrics(step, values)

    def checkpoint(self, step: int, name: str) -> None:
        """Note that the run's state after a step is safe under that name."""
        self._books.checkpoint(step, name)

    def go_back(self, totals: Totals, reason: str, segment: Mapping[str, Any]) -> None:
        """Stand again where the run stood before; see `Books.go_back`."""
        self._books.go_back(totals, reason, segment)
        self._windows.current = None

    def make_durable(self) -> None:
        """Wait until everything written so far is on the disk."""
        self._books.make_durable()

    def close(self, status: str = "finished", reason: str | None = None) -> None:
        """Write how the segment ended: `finished`, `stopped` or `failed`. A plain loop need not call this."""
        if self._loop is not None:
            settled = self._loop.finish(SHORT if status == "failed" else PATIENCE)
            if not settled and status == "finished":
                status, reason = "stopped", reason or "the last steps are not booked: other ranks took fewer"
            self._mirror.show(self.counters())
            self._loop = None
        self._closed = True
        if self._begun:
            with suppress(OSError):
                self._books.close(status, reason)
        if self._opened is not None:
            self._opened.release()
            atexit.unregister(self._at_exit)

    def _begin(self, facts: Mapping[str, Any]) -> None:
        self._begun = True
        self._books.segment(facts)

    def _begin_loop(self, opened: Opened, loader: object, first: object) -> LoopCounter:
        """The counter of a plain loop, begun with its first batch."""
        if self._loop is None:
            self._loop = opened.begin_loop(self._books, self._peers, loader, first, self._accelerator)
            self._begun = True
        else:
            self._loop.observer.compare(loader_facts(loader, self._loop.observer.seen.ranks))
        return self._loop

    def _watch_loader(self, loop: LoopCounter, batches: Iterator[Batch]) -> Iterator[Batch]:
        """One pass of a plain loop."""
        try:
            for batch in batches:
                loop.add(batch)
                yield batch
        except GeneratorExit:  # the loop was left; what it did is booked while the other ranks are still there
            loop.settle(SHORT)
            raise
        loop.end_pass()
        loop.settle(SHORT)

    def _at_exit(self) -> None:
        """The program ends without a word."""
        error = getattr(sys, "last_value", None)
        if error is None or error is self._error_before:
            self.close()
        else:
            self.close("stopped" if isinstance(error, KeyboardInterrupt) else "failed", repr(error)[:500])
