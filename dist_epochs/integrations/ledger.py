"""The ledger of a user's own loop: `watch` the batches, and `step` with the optimizer."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from dist_epochs.integrations.loader_facts import LoaderFacts, loader_facts
from dist_epochs.integrations.loop_counter import WAIT_BRIEFLY, WAIT_FOR_RANKS, LoopCounter
from dist_epochs.integrations.monitor import NewAttempt
from dist_epochs.integrations.open_ledgers import OpenLedgers
from dist_epochs.integrations.optimizer_steps import OptimizerSteps
from dist_epochs.integrations.ranks import peers_of
from dist_epochs.integrations.run_directory import open_run
from dist_epochs.integrations.start import begin_loop, say
from dist_epochs.integrations.wandb_mirror import LoopMirror
from dist_epochs.integrations.watched import Watched
from dist_epochs.ledger.totals import Totals
from dist_epochs.ledger.writer import LedgerWriter

__all__ = ["Ledger"]

Batch = TypeVar("Batch")


def _emptied(batches: list[Batch]) -> Iterator[Batch]:
    """The batches of a list, which drops each as it is given: it may take up memory of a device."""
    while batches:
        yield batches.pop(0)


@dataclass(slots=True, eq=False)
class _Pass:
    """A pass over a loader, from its first batch until it ends or is left.

    Attributes:
        drawn: Batches drawn in it on this rank.
        is_open: Whether it has neither ended nor been left.
    """

    drawn: int = 0
    is_open: bool = True

    def is_whole(self, loader: object) -> bool:
        """Whether it has drawn every batch of the loader, as far as the loader knows its length."""
        try:
            return self.drawn == len(loader)  # type: ignore[arg-type]
        except TypeError:
            return False


_open = OpenLedgers()


class Ledger:
    """Counts what every step of your own loop draws over all ranks, and records it on rank 0.

    `watch` passes batches through; `step`, after `optimizer.step()`, records the batches since the last one. Every rank
    calls both. Counts are 64-bit integers, added over the ranks on the host, and nothing waits for a device.

    Batches are whatever the loader gives. With `accelerator.accumulate`, `step` may be called for every micro-batch: it
    knows which of them ended a window. Samples of one pass are those stated, or those of the loader's dataset, or what
    the first pass drew. Each warning is printed once, on one line (`dist-epochs explain` has their pages).

    Training that is tried again in the same process, as by `find_executable_batch_size`, makes a second ledger for the
    same run: it takes over, and the steps of the first are recorded as replayed, not trained. So they are where one
    ledger outside sees a pass left with an untrained batch, and then another batch size with another optimizer.

    Args:
        run: Run directory, made if it does not exist; `dist-epochs ledger RUN` reads it.
        ranks: An `accelerate.Accelerator`; or the ranks as `Peers`; or nothing, for one process or any ranks that
            `torch.distributed` has joined before.
        samples: Samples of one pass over the data; with `source`, also a mapping with those of each source.
        store: A token store or its manifest: its documents are the samples, and its tokens are known.
        source: Key of a batch that names the source of each sample (a list of names, or integers), or of all of them.
            Samples, tokens and epochs are then counted for each source.
        from_step: Where a run resumes: the steps of the checkpoint that was loaded. Later steps in the ledger then
            count as replayed.

    Raises:
        InputError: If there is a ledger in the directory and `from_step` is not given; if the launcher started several
            processes that are not connected; if a size is below 1.

    Examples:
        >>> from tempfile import mkdtemp
        >>> import torch
        >>> ledger = Ledger(mkdtemp(), samples=16)
        >>> for batch in ledger.watch([{"input_ids": torch.ones(8, 128, dtype=torch.long)}] * 2):
        ...     ledger.step()
        >>> ledger.settle()
        >>> ledger.counters()["ledger/positions"], ledger.counters()["ledger/epoch"]
        (2048, 1.0)
        >>> ledger.close()
    """

    def __init__(
        self,
        run: str | Path,
        ranks: Any = None,
        *,
        samples: int | Mapping[str, int] | None = None,
        store: str | Path | None = None,
        source: str | None = None,
        from_step: int | None = None,
    ) -> None:
        self._peers = peers_of(ranks)
        self._accelerator = ranks if hasattr(ranks, "gradient_state") else None
        self._run, self._source = Path(run).absolute(), source
        from_step = _open.take_over(self._run, from_step)
        self._opened = open_run(Path(run), self._peers, samples=samples, store=store, from_step=from_step)
        self._writer = LedgerWriter(Path(run), self._opened.totals, writes=self._peers.rank == 0)
        self._loop: LoopCounter | None = None
        self._pass, self._loader = _Pass(is_open=False), LoaderFacts()
        self._failed_with: int | None = None
        self._waited = 0.0
        self._optimizer: object = None
        self._optimizer_steps = OptimizerSteps()
        self._closed = False
        self._mirror = LoopMirror(
            self._run, self.counters, say, accelerator=self._accelerator, totals=lambda: self.totals
        )
        self._error_before = getattr(sys, "last_value", None)
        _open.add(self._run, self, self._opened.from_step)
        if hasattr(ranks, "register_save_state_pre_hook"):
            ranks.register_save_state_pre_hook(lambda models, weights, folder: self.settle())

    @property
    def totals(self) -> Totals:
        """Everything recorded so far: on rank 0 only, and one or two steps late."""
        return self._writer.totals

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Pass batches through, and count them.

        Args:
            batches: A loader. Each `for` over the result is a pass over it, so it can be wrapped once, or anew in
                every epoch. A pass that is left by `break` ends there.
        """
        return Watched(lambda by_next: self._watch(batches, iter(batches), by_next), batches)

    def _watch(
        self, batches: Iterable[Batch], iterator: Iterator[Batch], by_next: bool
    ) -> Generator[Batch, None, None]:
        """One pass over a loader; the counter begins with the first batch of the first one.

        Args:
            batches: The loader.
            iterator: Its iterator. It is made before this generator runs: `iter` of a loader draws random numbers, and
                whatever the loop draws between `iter` and the first `next` follows them, as without the ledger.
            by_next: Whether the first batch is drawn by `next`.
        """
        if self._closed:
            raise RuntimeError("this ledger is closed, so nothing would be counted: make another, with from_step=…")
        start = list(islice(iterator, 1))
        if self._loop is None:
            first = start[0] if start else None
            self._loop = begin_loop(
                self._opened,
                self._writer,
                self._peers,
                batches,
                first,
                self._accelerator,
                source=self._source,
                sees=("data",),
            )
            facts = self._loop.monitor.observed.loader
            atexit.register(self._at_exit)  # after wandb's own, so that it runs before wandb ends its run
        else:
            facts = loader_facts(batches, self._loop.monitor.observed.ranks)
            self._loop.monitor.compare(facts)
        loop, here = self._loop, _Pass()
        loop.is_drawn_by_next |= by_next
        try:
            for batch in self._timed(chain(_emptied(start), iterator)):
                self._draw_from(here, facts)
                loop.add(batch)
                yield batch
        except GeneratorExit:  # the loop was left: record what it did while the other ranks are still there
            if here.is_open:
                is_paused = iterator is batches  # another `for` goes on with the same iterator
                self._end_pass(here, left=True, whole=here.is_whole(batches) and not facts.skips, is_paused=is_paused)
            raise
        if here.is_open:
            self._end_pass(here, left=False, whole=not facts.skips)

    def _timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Pass batches through, and add up how long each was waited for."""
        while True:
            began = perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            finally:
                self._waited += perf_counter() - began
            yield batch

    def _draw_from(self, here: _Pass, facts: LoaderFacts) -> None:
        """Note that a batch of a pass is drawn, and end the pass that was open before."""
        loop = self._loop
        if here is not self._pass and loop is not None:
            if here.drawn:
                loop.monitor.interleave()
            elif self._pass.is_open:
                self._pass.is_open = False
                loop.end_pass(left=True, whole=False)
            self._pass, self._loader = here, facts
        here.drawn += 1

    def _end_pass(self, here: _Pass, *, left: bool, whole: bool, is_paused: bool = False) -> None:
        """End a pass, and record what can be recorded while the other ranks are still there."""
        loop = self._loop
        if loop is not None:
            here.is_open = is_paused
            if not is_paused and loop.end_pass(left=left, whole=whole):
                self._failed_with = self._loader.per_device
            loop.settle(WAIT_BRIEFLY)

    def discard(self) -> None:
        """Leave out the batches since the last step: no step trains them."""
        if self._loop is not None:
            self._loop.discard()

    def step(self, optimizer: object = None, scheduler: object = None, *, applied: bool | None = None) -> None:
        """Record the step of the batches since the last one.

        Args:
            optimizer: The optimizer: one prepared by Accelerate knows whether it skipped the update, and of torch's own
                it is seen whether it has stepped since the last call.
            scheduler: The scheduler of the learning rate, where the accelerator does not have it; its pace is checked.
            applied: Whether the update was applied. By default what optimizer or accelerator know, else yes.
        """
        if self._closed:
            raise RuntimeError("this ledger is closed, so the step would not be counted")
        if self._loop is None:
            raise RuntimeError("there is no step to record: nothing was drawn from `ledger.watch(…)` yet")
        accelerator = self._accelerator
        if accelerator is not None:
            if not accelerator.sync_gradients:
                return
            scheduler = scheduler or next(iter(getattr(accelerator, "_schedulers", ())), None)
        if applied is None:
            applied = not self._was_skipped(optimizer)
        waited, self._waited = self._waited, 0.0
        self._loop.step(
            applied=applied, scheduler=scheduler, new_attempt=self._new_attempt(optimizer), data_wait=waited
        )
        if self._peers.rank == 0:
            self._mirror.join()

    def _was_skipped(self, optimizer: object) -> bool:
        """Whether the update of this step was skipped, as far as optimizer or accelerator know."""
        for knows, name in ((optimizer, "step_was_skipped"), (self._accelerator, "optimizer_step_was_skipped")):
            if hasattr(knows, name):
                return bool(getattr(knows, name))
        return self._optimizer_steps.was_skipped(optimizer)

    def _new_attempt(self, optimizer: object) -> NewAttempt | None:
        """Whether this step is the first of training that began again from where this segment began.

        It did if a pass was left with a batch that no step trains (it did not fit), and then the batch size and the
        optimizer are others.
        """
        loop, inner = self._loop, getattr(optimizer, "optimizer", optimizer)
        before, self._optimizer = self._optimizer, inner
        failed, self._failed_with = self._failed_with, None
        size = self._loader.per_device
        if failed is None or size in (None, failed) or (before is inner and loop is not None and loop.has_stepped):
            return None
        return NewAttempt(f"training began again with {size} samples at a time, not {failed}", self._loader)

    def counters(self) -> dict[str, float | int]:
        """The counters so far, under `ledger/`: for a log of your own, on rank 0."""
        return {} if self._loop is None or self._peers.rank else self._loop.monitor.counters()

    def settle(self) -> None:
        """Wait until every step is recorded. Every rank calls this before it saves a checkpoint.

        `accelerator.save_state` does so by itself.
        """
        if self._loop is not None:
            self._loop.settle(WAIT_FOR_RANKS)
            self._writer.make_durable()

    def close(self, status: str = "finished", reason: str | None = None) -> None:
        """Record how the segment ended: `finished`, `stopped` or `failed`. Called by itself when the program ends."""
        self._closed = True
        self._optimizer_steps.close()
        _open.remove(self._run, self)
        if self._loop is not None:
            settled = self._loop.finish(WAIT_BRIEFLY if status == "failed" else WAIT_FOR_RANKS)
            if not settled and status == "finished":
                status, reason = "stopped", reason or "the last steps are not recorded: other ranks took fewer"
            with suppress(OSError):
                self._writer.close(status, reason)
            if self._peers.rank == 0:
                self._mirror.leave()
            self._loop = None
        self._opened.release()
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        """Close the ledger at the program's end, if the loop did not."""
        error = getattr(sys, "last_value", None)
        if error is None or error is self._error_before:
            self.close()
        else:
            self.close("stopped" if isinstance(error, KeyboardInterrupt) else "failed", repr(error)[:500])
