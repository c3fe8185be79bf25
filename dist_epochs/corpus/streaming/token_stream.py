"""The samples of a store as a torch `IterableDataset` whose place is one integer."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from dist_epochs.arithmetic.batch import GlobalBatch, split_evenly
from dist_epochs.corpus.remote.ahead import APART, fetching_ahead
from dist_epochs.corpus.streaming.dataset import TokenDataset
from dist_epochs.corpus.streaming.objective import IGNORED
from dist_epochs.errors import InputError, Origin

__all__ = ["TokenStream"]

SPLITTERS = ("IterableDatasetShard.__iter__", "DataLoaderDispatcher.__iter__")
"""Parts of Accelerate that give each rank a share of what one rank draws."""


class Round(NamedTuple):
    """What all ranks draw in one micro-step: neighbouring draws of one step."""

    start: int
    stop: int


class TokenStream(IterableDataset[dict[str, Tensor]]):  # type: ignore[misc]
    """The micro-batches of this rank, from a `TokenDataset` in its order, from any draw on.

    Micro-step by micro-step the ranks share the next `ranks` × `per_device` samples of a step, as neighbouring slices;
    what is left at the end of a step is shared evenly. So the samples of each step are those of the plan, on any number
    of ranks, and every rank has the same number of micro-steps. The workers of a rank's loader take turns, which
    keeps that order:

        loader = DataLoader(TokenStream(dataset, per_device=8), batch_size=None, num_workers=4)

    **Its place is one integer**, the draws before the next micro-step of all ranks. After some steps of a plan it is
    `state_after(steps)`, whatever loader there is. torchdata's `StatefulDataLoader` keeps it too, for the batches that
    it gave out and not for those that its workers made ahead; `load_state_dict` takes the state of such a loader as it
    is, for any other number of workers, ranks and samples per device. A state of any rank is that of all.

    Do not give its loader to `accelerator.prepare` or the HF Trainer, which split a stream once more. That is refused
    where it is seen. The HF Trainer takes the `TokenDataset` itself.

    Args:
        dataset: The samples.
        per_device: The most samples of a micro-batch on one device.
        rank: Index of this rank among those that see different data. By default that of `torch.distributed`, or of the
            launcher's `RANK`, when the first batch is drawn; with tensor or context parallelism it must be stated.
        ranks: How many ranks see different data.

    Raises:
        BatchError: When the first batch is drawn, if the ranks do not divide a batch of the plan, without
            `batch.uneven: allow`. (In the order of a store, shares differ by at most one sample.)

    Examples:
        stream = TokenStream(TokenDataset.from_recipe("recipe.yaml"), per_device=8)
        stream.load_state_dict(stream.state_after(steps=1200))
    """

    def __init__(
        self, dataset: TokenDataset, per_device: int, *, rank: int | None = None, ranks: int | None = None
    ) -> None:
        if per_device < 1:
            raise InputError(f"per_device must be at least 1, not {per_device}", origin=Origin("per_device"))
        if (rank is None) != (ranks is None) or (rank is not None and ranks is not None and not 0 <= rank < ranks):
            raise InputError(
                f"rank {rank} of {ranks} ranks",
                rule="both are stated, and ranks count from 0, or neither",
                origin=Origin("rank"),
            )
        self.dataset, self.per_device = dataset, per_device
        self._place_among = None if rank is None or ranks is None else (rank, ranks)
        self._from = self._next = 0
        self._is_own = False  # whether `_from` is where this worker, and not the whole loader, goes on
        self._used_by_worker = torch.zeros(1, dtype=torch.uint8).share_memory_()

    @property
    def is_plan(self) -> bool:
        """Whether the samples are those of a plan."""
        return self.dataset.is_plan

    @property
    def samples_per_pass(self) -> int:
        """Samples of one pass over the store."""
        return self.dataset.samples_per_pass

    def __getstate__(self) -> dict[str, Any]:
        rank, ranks = self._among()
        _check_use(ranks)
        return self.__dict__ | {"_place_among": (rank, ranks)}  # a spawned worker knows of no other rank

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """The micro-batches from the loaded place on; each time from there."""
        rank, ranks = self._among()
        _check_use(ranks)
        for phase, uneven in zip(self.dataset.phases, self.dataset.allows_uneven, strict=True):
            GlobalBatch(samples=phase.global_batch, data_parallel_size=ranks, per_device=self.per_device, uneven=uneven)
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        if worker is not None:
            self._used_by_worker.fill_(1)
        first = 0 if self._is_own else number

        def own(step: int) -> Iterator[Round]:
            return islice(self._rounds(self._from, ranks), first, None, workers * step)

        # now, and not with the first batch: a loader asks for the state before
        self._next = next(own(1), self._end).start
        return self._batches(own, rank, ranks)

    def _batches(self, own: Callable[[int], Iterator[Round]], rank: int, ranks: int) -> Iterator[dict[str, Tensor]]:
        def share(of: Round) -> range:
            return split_evenly(range(*of), ranks)[rank]

        looked_at = ((each.start, self.dataset.shards(share(each))) for each in own(APART))
        with fetching_ahead(self.dataset.remote, looked_at) as reach:
            for now, after in pairwise(chain(own(1), [self._end])):
                reach(now.start)
                mine = share(now)
                batch = self.dataset.batch(mine or range(now.start, now.start + 1))
                if not mine and "labels" in batch:
                    batch["labels"].fill_(IGNORED)  # a real sample that the loss does not count: ranks stay in step
                self._next = after.start
                yield batch

    @property
    def _end(self) -> Round:
        return Round(len(self.dataset), len(self.dataset))

    def _rounds(self, start: int, ranks: int) -> Iterator[Round]:
        """The micro-steps of all ranks, from a draw on."""
        end_of_phase = 0
        for phase in self.dataset.phases:
            begin, end_of_phase = end_of_phase, end_of_phase + phase.samples
            start = max(start, begin)
            while start < end_of_phase:
                step_ends = start + phase.global_batch - (start - begin) % phase.global_batch
                stop = min(start + ranks * self.per_device, step_ends)
                yield Round(start, stop)
                start = stop

    def state_after(self, steps: int) -> dict[str, Any]:
        """The place after some steps of the plan, for `load_state_dict`.

        Raises:
            InputError: If the plan has fewer steps, or the dataset has no plan.
        """
        planned = sum(phase.steps for phase in self.dataset.phases)
        if not 0 <= steps <= planned:
            raise InputError(
                f"the place after {steps:,} steps",
                rule=f"the plan has {planned:,}; the order of a store has 1, which draws everything",
                origin=Origin("steps"),
            )
        draws = 0
        for phase in self.dataset.phases:
            draws += min(steps, phase.steps) * phase.global_batch
            steps -= min(steps, phase.steps)
        return self._state(draws, 0)

    def state_dict(self) -> dict[str, Any]:
        """The place after the batches that were given out, in the process that makes them.

        Raises:
            InputError: In the loop's own process, if its loader's workers made the batches.
        """
        if get_worker_info() is None and self._used_by_worker.item():
            raise InputError(
                "how many batches of the workers were given out is not known here",
                rule="workers make batches ahead, and the loader alone knows which of them it gave out",
                fixes=("state_after(steps), with the steps of the loop", "the state_dict of a StatefulDataLoader"),
            )
        return self._state(self._next, self._among()[1] * self.per_device)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a place: of this class, or a `StatefulDataLoader`'s state, before a loader's first batch.

        Args:
            state: A state of any rank, with any number of ranks, workers and samples per device.

        Raises:
            InputError: If it is of another plan or store, or is no such state; or, where a `StatefulDataLoader` loads
                it in its workers, if ranks or samples per device have changed since.
        """
        places = list(_places(state))
        if not places:
            raise InputError("a state without a place of a TokenStream", rule="`draws` and `order` are its keys")
        for place in places:
            if place["order"] != self.dataset.order:
                raise InputError(
                    "this state is of another plan or store",
                    rule="corpus, tokenizer, packing, masks, seed, phases and global batch decide which sample is "
                    f"which draw: its order is {place['order'][:12]}…, and this one {self.dataset.order[:12]}…",
                    fixes="the recipe, and the store, that the state was saved with",
                )
        self._is_own = get_worker_info() is not None
        together = self._among()[1] * self.per_device
        if self._is_own and places[0]["together"] not in (0, together):
            raise InputError(
                f"a loader's state of {places[0]['together']} samples a micro-step, and now there are {together}",
                rule="each worker goes on where it stood, which fits the same ranks and samples per device only",
                fixes="stream.load_state_dict(state), and a new loader without a state",
            )
        draws: int = min(place["draws"] for place in places)
        for _ in range(_batches_since(state)):
            draws = self._end_of_round(draws, places[0]["together"])
        self._from = self._next = draws

    def _end_of_round(self, start: int, together: int) -> int:
        begin = 0
        for phase in self.dataset.phases:
            if start < begin + phase.samples:
                return min(start + together, start + phase.global_batch - (start - begin) % phase.global_batch)
            begin += phase.samples
        return begin

    def _state(self, draws: int, together: int) -> dict[str, Any]:
        return {"draws": draws, "together": together, "order": self.dataset.order}

    def _among(self) -> tuple[int, int]:
        """This rank, and how many there are."""
        if self._place_among is None:
            distributed = torch.distributed
            if distributed.is_available() and distributed.is_initialized():
                self._place_among = distributed.get_rank(), distributed.get_world_size()
            else:
                self._place_among = int(os.environ.get("RANK") or 0), int(os.environ.get("WORLD_SIZE") or 1)
        return self._place_among


def _places(state: Any) -> Iterator[Mapping[str, Any]]:
    """The places in a state, or in that of a loader: one for each of its workers."""
    if isinstance(state, Mapping):
        if {"draws", "together", "order"} <= state.keys():
            yield state
        else:
            for part in state.values():
                yield from _places(part)


def _batches_since(state: Mapping[str, Any]) -> int:
    """Batches that a `StatefulDataLoader` gave out since it last asked its workers for their places."""
    since = state.get("_steps_since_snapshot", 0)
    return since if isinstance(since, int) else 0


def _check_use(ranks: int) -> None:
    """Refuse a loader that splits the stream once more, or puts its batches together to larger ones.

    Who asks is seen in the stack: of this process, of the one that it was forked from, or that pickles it.

    Raises:
        InputError: If there is one.
    """
    frame = inspect.currentframe()
    while frame is not None:
        name, package = frame.f_code.co_qualname, frame.f_globals.get("__name__", "")
        if ranks > 1 and name in SPLITTERS and package.startswith(("accelerate.", "transformers.")):
            raise InputError(
                f"{name.partition('.')[0]} of Accelerate would split the share of this rank over {ranks} ranks",
                rule="a TokenStream gives each rank its own share already",
                consequence="most samples would never be drawn",
                fixes=(
                    "to leave its loader out of accelerator.prepare",
                    "TokenDataset and train_sampling_strategy='sequential', in the HF Trainer",
                    "TokenStream(…, rank=0, ranks=1), where Accelerate is to split it",
                ),
            )
        if name == "_IterableDatasetFetcher.__init__" and frame.f_locals.get("auto_collation"):
            raise InputError(
                "a loader that puts the batches of a TokenStream together to larger ones",
                rule="a TokenStream gives micro-batches of per_device samples, not samples",
                fixes="DataLoader(stream, batch_size=None)",
            )
        frame = frame.f_back
