"""The samples of a store as a torch `Dataset`, for loops and trainers of other people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dist_epochs.arithmetic.packings import BEST_FIT
from dist_epochs.arithmetic.schedule import Phase
from dist_epochs.corpus.remote.ahead import Shard
from dist_epochs.corpus.stores.opening import open_store, store_of
from dist_epochs.corpus.streaming.drawn import Drawn, PlanOrder, StoreOrder
from dist_epochs.corpus.streaming.objective import IGNORED
from dist_epochs.corpus.streaming.planning import exact_plan, objective_of
from dist_epochs.corpus.streaming.stream import MicroBatch
from dist_epochs.errors import InputError, Origin, nearest
from dist_epochs.plan.plan import Plan
from dist_epochs.recipe import Recipe, read_recipe

if TYPE_CHECKING:
    from dist_epochs.corpus.remote.store import RemoteShards

__all__ = ["COLUMNS", "TokenDataset"]

COLUMNS = ("input_ids", "attention_mask", "labels", "position_ids", "segment_ids")
"""What a sample can hold, each of the shape (length,), 64-bit integers."""

DEFAULT_COLUMNS = COLUMNS[:3]
"""What every model of transformers takes."""


class TokenDataset(Dataset[dict[str, Tensor]]):  # type: ignore[misc]
    """The samples of a token store, map style: in the order of the store, or in that of a plan.

    A sample is a dictionary of tensors of 64-bit integers, each of the shape (length,):

    - `input_ids`: the tokens, padded at the end; in a plan with a masked objective, with its masks.
    - `attention_mask`: 1, and 0 where padded.
    - `labels`: the token that is predicted *at* a position, −100 where the loss counts nothing. As models of
      transformers expect it, those of a causal model are not shifted: label *i* is token *i*, without the first of each
      document.
    - `position_ids`: from 0 in each document of the sample. With these, and without `attention_mask`, models that
      know packed samples keep documents apart.
    - `segment_ids`: the number of the document within the sample, from 1; 0 where padded.

    It can be used in worker processes, forked or spawned: it is pickled as the path of its store.

    Args:
        store: Folder of the store, or its address. Its samples come once, in its order, and the loss counts every next
            token.
        sequence_length: A length that the store is packed at.
        packing: The strategy by which it is, as `corpus.packing` of a recipe names it.
        columns: What a sample holds.

    Raises:
        InputError: If the store is damaged or not packed so, or a column is not known.

    Attributes:
        columns: What a sample holds.
        plan: The plan whose order it is; None in that of the store.
        allows_uneven: Of each phase, whether the shares of ranks may differ by one sample in a step.
        samples_per_pass: Samples of one pass over the store, which is less than the length of a plan of more epochs.

    Examples:
        dataset = TokenDataset("corpus.store", 512)
        dataset = TokenDataset.from_recipe("recipe.yaml")  # dataset.plan.steps
    """

    def __init__(
        self,
        store: str | Path,
        sequence_length: int,
        *,
        packing: str = BEST_FIT,
        columns: Sequence[str] = DEFAULT_COLUMNS,
    ) -> None:
        opened = open_store(store, (sequence_length,), packing)
        self._set_up(StoreOrder(opened, sequence_length, packing), columns, None, (True,))
        self.samples_per_pass = len(self)

    @classmethod
    def from_recipe(cls, recipe: str | Path | Recipe, *, columns: Sequence[str] = DEFAULT_COLUMNS) -> TokenDataset:
        """The samples that a recipe's plan draws: number *d* is draw *d*, from the first step to the last.

        Args:
            recipe: The recipe, or its file. It has a store, and a global batch that does not depend on the launch.
            columns: What a sample holds.

        Raises:
            InputError: If the recipe cannot be planned exactly: without a store, a model's objective or a batch of
                its own, or as another trainer's loop.
        """
        origin = Origin("recipe" if isinstance(recipe, Recipe) else str(recipe))
        recipe = recipe if isinstance(recipe, Recipe) else read_recipe(Path(recipe))
        if recipe.model is None or recipe.model.objective is None:
            raise InputError(
                "model.objective is not set",
                rule="labels, and masks, follow from it",
                fixes=("model.objective: causal", "model.objective: masked"),
                origin=origin,
            )
        if recipe.batch.is_foreign or recipe.batch.replacement:
            raise InputError(
                "batch.last_window, replacement and uneven: pad, drop, keep describe another trainer's loop",
                rule="a plan's own order draws every sample of a pass once, and its batches continue across passes",
                fixes="to leave them out",
                origin=origin,
            )
        store = store_of(recipe, origin)
        corpus, plan = exact_plan(recipe, store, objective_of(recipe.model, store), None)
        made = cls.__new__(cls)
        made._set_up(PlanOrder(corpus, plan.fingerprint), columns, plan, tuple(batch.uneven for batch in plan.batches))
        one_pass = plan.pass_at(plan.phases[-1].sequence_length)
        assert one_pass is not None  # the store was counted
        made.samples_per_pass = int(one_pass)
        return made

    def _set_up(self, drawn: Drawn, columns: Sequence[str], plan: Plan | None, uneven: tuple[bool, ...]) -> None:
        for name in columns:
            if name not in COLUMNS:
                raise InputError(f"no column {name!r}{nearest(name, COLUMNS)}", origin=Origin("columns"))
        self._drawn = drawn
        self.columns = tuple(columns)
        self.plan = plan
        self.allows_uneven = uneven

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"plan": None}  # a worker needs the order alone

    @property
    def order(self) -> str:
        """Digest of all that decides which sample has which number: the plan's fingerprint, where there is one."""
        return self._drawn.order

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of the plan; in the order of the store, one step that draws everything."""
        return self._drawn.phases

    @property
    def is_plan(self) -> bool:
        """Whether the samples are the draws of a plan, in its order; the ledger of a loop asks."""
        return isinstance(self._drawn, PlanOrder)

    @property
    def remote(self) -> RemoteShards | None:
        """Where the shards are, if not on this machine."""
        return self._drawn.remote

    def shards(self, numbers: Sequence[int]) -> Iterator[Shard]:
        """The shards that samples are in, each by the name of its source and its number there."""
        return self._drawn.shards(np.asarray(numbers, np.int64))

    def __len__(self) -> int:
        """Samples drawn in all: of every epoch of the plan, over all devices."""
        return sum(phase.samples for phase in self.phases)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """One sample, by the number of its draw."""
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[dict[str, Tensor]]:
        """Several samples, which are read together: torch's loaders ask for a batch in this way."""
        found: list[dict[str, Tensor]] = [{}] * len(numbers)
        for at, columns in self._read(numbers):
            rows = zip(*(columns[name] for name in self.columns), strict=True)
            for place, row in zip(at.tolist(), rows, strict=True):
                found[place] = dict(zip(self.columns, row, strict=True))
        return found

    def batch(self, numbers: Sequence[int]) -> dict[str, Tensor]:
        """Several samples of one length as one batch, each column of the shape (samples, length).

        Raises:
            InputError: If they are of several lengths.
        """
        read = list(self._read(numbers))
        lengths = sorted({columns[name].shape[1] for _, columns in read for name in self.columns[:1]})
        if len(lengths) > 1:
            raise InputError(
                f"a batch of samples of lengths {' and '.join(map(str, lengths))}",
                rule="a batch has one sequence length",
                fixes="batches that end where a phase ends",
            )
        if len(read) == 1:
            return read[0][1]
        back = torch.from_numpy(np.argsort(np.concatenate([at for at, _ in read])))
        return {name: torch.cat([columns[name] for _, columns in read])[back] for name in self.columns}

    def _read(self, numbers: Sequence[int]) -> list[tuple[NDArray[np.int64], dict[str, Tensor]]]:
        """Columns of samples, with their places among the numbers."""
        size = len(self)
        draws = np.asarray(numbers, np.int64)
        draws = np.where(draws < 0, draws + size, draws)
        if ((draws < 0) | (draws >= size)).any():
            raise IndexError(f"sample {numbers[int(np.argmax((draws < 0) | (draws >= size)))]} of {size}")
        return [
            (at, {name: torch.from_numpy(self._column(name, samples)) for name in self.columns})
            for at, samples in self._drawn.read(draws)
        ]

    def _column(self, name: str, samples: MicroBatch) -> NDArray[np.int64]:
        """One column, of the shape (samples, length)."""
        segments = samples.segments
        if name == "input_ids":
            return samples.input_ids
        if name == "attention_mask":
            return (segments > 0).astype(np.int64)
        if name == "segment_ids":
            return segments.astype(np.int64)
        if name == "position_ids":
            return _places_in_documents(segments)
        if not self._drawn.objective.is_causal:
            return samples.labels
        labels = np.full_like(samples.labels, IGNORED)  # the model shifts them itself
        labels[:, 1:] = samples.labels[:, :-1]
        return labels


def _places_in_documents(segments: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each position in its document, from 0."""
    places = np.broadcast_to(np.arange(segments.shape[1]), segments.shape)
    begins = np.zeros(segments.shape, np.int64)
    begins[:, 1:] = np.where(segments[:, 1:] != segments[:, :-1], places[:, 1:], 0)
    return places - np.maximum.accumulate(begins, axis=1)
