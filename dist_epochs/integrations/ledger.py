"""The ledger of a user's own loop: `watch` the batches, and `step` with the optimizer."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from inspect import GEN_CLOSED, getgeneratorstate
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

from dist_epochs.integrations.loader_facts import loader_facts
from dist_epochs.integrations.loop_counter import LoopCounter
from dist_epochs.integrations.start import WAIT_BRIEFLY, WAIT_FOR_RANKS, open_run, peers_of, say
from dist_epochs.integrations.wandb_mirror import LoopMirror
from dist_epochs.ledger.totals import Totals
from dist_epochs.ledger.writer import LedgerWriter

__all__ = ["Ledger"]

Batch = TypeVar("Batch")


class _Watched(Iterator[Batch]):
    """A loader whose batches are counted: each `iter` is a new pass over it, as over the loader itself.

    `next` begins a pass, which the next `iter` continues. Length and public attributes are those of the loader, so
    `watched.sampler.set_epoch(3)` does what it did without the ledger.

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
        if name.startswith("_"):  # attributes of this class that `copy.copy` asks for before they are set
            raise AttributeError(name)
        return getattr(self._source, name)


def _emptied(batches: list[Batch]) -> Iterator[Batch]:
    """The batches of a list, which drops each as it is given: it may take up memory of a device."""
    while batches:
        yield batches.pop(0)


class Ledger:
    """Counts what every step of your own loop draws over all ranks, and records it on rank 0.

    `watch` passes batches through; `step`, after `optimizer.step()`, records the batches since the last one. Every rank
    calls both. Counts are 64-bit integers, added over the ranks on the host, and nothing waits for a device.

    Batches are whatever the loader gives. With `accelerator.accumulate`, `step` may be called for every micro-batch: it
    knows which of them ended a window. Samples of one pass are those stated, or those of the loader's dataset, or what
    the first pass drew. Each warning is printed once, on one line (`dist-epochs explain` has their pages).

    Args:
        run: Run directory, made if it does not exist; `dist-epochs ledger RUN` reads it.
        ranks: An `accelerate.Accelerator`; or the ranks as `Peers`; or nothing, for one process or any ranks that
            `torch.distributed` has joined before.
        samples: Samples of one pass over the data.
        store: A token store or its manifest: its documents are the samples, and its tokens are known.
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
        samples: int | None = None,
        store: str | Path | None = None,
        from_step: int | None = None,
    ) -> None:
        self._peers = peers_of(ranks)
        self._accelerator = ranks if hasattr(ranks, "gradient_state") else None
        self._opened = open_run(Path(run), self._peers, samples=samples, store=store, from_step=from_step)
        self._writer = LedgerWriter(Path(run), self._opened.totals, writes=self._peers.rank == 0)
        self._loop: LoopCounter | None = None
        self._closed = False
        self._mirror = LoopMirror(Path(run), self.counters, say, accelerator=self._accelerator)
        self._error_before = getattr(sys, "last_value", None)
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
                every epoch.
        """
        return _Watched(lambda: self._watch(batches), batches)

    def _watch(self, batches: Iterable[Batch]) -> Generator[Batch, None, None]:
        """One pass over a loader; the counter begins with the first batch of the first one."""
        if self._closed:
            raise RuntimeError("this ledger is closed, so nothing would be counted: make another, with from_step=…")
        iterator = iter(batches)
        start = list(islice(iterator, 1))
        if self._loop is None:
            first = start[0] if start else None
            self._loop = self._opened.begin_loop(self._writer, self._peers, batches, first, self._accelerator)
            atexit.register(self._at_exit)  # after wandb's own, so that it runs before wandb ends its run
        else:
            self._loop.monitor.compare(loader_facts(batches, self._loop.monitor.observed.ranks))
        loop = self._loop
        try:
            for batch in chain(_emptied(start), iterator):
                loop.add(batch)
                yield batch
        except GeneratorExit:  # the loop was left: record what it did while the other ranks are still there
            loop.settle(WAIT_BRIEFLY)
            raise
        loop.end_pass()
        loop.settle(WAIT_BRIEFLY)

    def discard(self) -> None:
        """Leave out the batches since the last step: no step trains them."""
        if self._loop is not None:
            self._loop.discard()

    def step(self, optimizer: object = None, scheduler: object = None, *, applied: bool | None = None) -> None:
        """Record the step of the batches since the last one.

        Args:
            optimizer: The optimizer; one prepared by Accelerate knows whether it skipped the update.
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
            skipped = getattr(optimizer, "step_was_skipped", getattr(accelerator, "optimizer_step_was_skipped", False))
            applied = not skipped
        self._loop.step(applied=applied, scheduler=scheduler)
        if self._peers.rank == 0:
            self._mirror.join()

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
