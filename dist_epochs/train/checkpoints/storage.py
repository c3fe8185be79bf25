"""How torch.distributed.checkpoint writes and reads our files: it decides which rank writes which part of which tensor.

Its own format keeps pickled metadata, which executes on loading. Ours are safetensors, with the place of each part in
its tensor where torch's `HuggingFaceStorageReader` looks for it, so that this one reads them too.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from dist_epochs.runtime.files import named_errors
from dist_epochs.runtime.peers import Peers, RanksDiffer
from dist_epochs.train.checkpoints.finite import first_not_finite
from dist_epochs.train.checkpoints.tensor_file import Piece, TensorFile, write_tensors

__all__ = ["Part", "Stored", "write_part"]


class Part(dcp.StorageWriter):  # type: ignore[misc]
    """Writes one rank's part into one file.

    Args:
        path: The file.

    Attributes:
        digest: Digest of the file.
        not_finite: The first tensor of the part that holds NaN or infinite values; empty if there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.digest, self.not_finite = "", ""

    # torch.distributed.checkpoint calls what follows.

    def write_data(self, plan: dcp.SavePlan, planner: dcp.SavePlanner) -> Future[list[WriteResult]]:
        """Write the parts that fell to this rank; tensors that are on the host already are not copied."""
        pieces = [
            Piece(
                item.index.fqn,
                tuple(item.tensor_data.chunk.offsets),
                planner.resolve_data(item).detach().to("cpu").contiguous(),
            )
            for item in plan.items
        ]
        self.not_finite = first_not_finite(pieces)
        if not self.not_finite:
            with named_errors(self._path):
                self.digest = write_tensors(self._path, pieces)
        return _done([WriteResult(item.index, item.tensor_storage_size() or 0, None) for item in plan.items])

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Nothing."""

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    def prepare_local_plan(self, plan: dcp.SavePlan) -> dcp.SavePlan:
        """The plan as it is."""
        return plan

    def prepare_global_plan(self, plans: list[dcp.SavePlan]) -> list[dcp.SavePlan]:
        """The plans as they are."""
        return plans

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Nothing: every file says what it holds."""

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """There is none."""
        return False


class Stored(dcp.StorageReader):  # type: ignore[misc]
    """The tensors of a checkpoint, in whatever parts they were written.

    Args:
        files: All its files; open as long as this is used.

    Attributes:
        tensors: Type (`properties.dtype`), shape (`size`) and parts of each tensor, by name.
    """

    def __init__(self, files: Sequence[TensorFile]) -> None:
        self.tensors: dict[str, TensorStorageMetadata] = {}
        self._pieces: dict[MetadataIndex, Tensor] = {}
        for piece in (piece for file in files for piece in file.pieces()):
            name, part = piece.name, piece.tensor
            self._pieces[MetadataIndex(name, piece.offsets)] = part
            ends = [first + size for first, size in zip(piece.offsets, part.shape, strict=True)]
            properties = TensorProperties(dtype=part.dtype)
            known = self.tensors.setdefault(name, TensorStorageMetadata(properties, torch.Size(ends), []))
            known.size = torch.Size(max(pair) for pair in zip(known.size, ends, strict=True))
            known.chunks.append(ChunkStorageMetadata(torch.Size(piece.offsets), part.shape))

    def fill(self, places: Mapping[str, Tensor]) -> None:
        """Copy tensors into others of their shapes; into sharded ones the shards of this rank."""
        planner = dcp.DefaultLoadPlanner(flatten_state_dict=False)
        with _no_warning():
            dcp.load(dict(places), storage_reader=self, planner=planner, no_dist=True)

    # torch.distributed.checkpoint calls what follows.

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Which tensors there are, and in which parts."""
        return Metadata(self.tensors)

    def read_data(self, plan: dcp.LoadPlan, planner: dcp.LoadPlanner) -> Future[None]:
        """Copy what the plan asks for."""
        for item in plan.items:
            part = self._pieces[item.storage_index]
            for dimension, (first, size) in enumerate(zip(item.storage_offsets, item.lengths, strict=True)):
                part = part.narrow(dimension, first, size)
            place = planner.resolve_tensor(item).detach()
            place.copy_(part)
            planner.commit_tensor(item, place)
        return _done(None)

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Nothing."""

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    def prepare_local_plan(self, plan: dcp.LoadPlan) -> dcp.LoadPlan:
        """The plan as it is."""
        return plan

    def prepare_global_plan(self, plans: list[dcp.LoadPlan]) -> list[dcp.LoadPlan]:
        """The plans as they are."""
        return plans

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """There is none."""
        return False


def write_part(path: Path, tensors: Mapping[str, Tensor], ranks: Peers) -> Part:
    """Write the tensors of all ranks, each part once: sharded ones by those who hold them, others spread by size.

    Args:
        path: This rank's file.
        tensors: All tensors by name, on every rank the same names.
        ranks: All ranks, which all call this.

    Returns:
        What this rank wrote; nothing if numbers of its part are not finite.

    Raises:
        RanksDiffer: If it failed on any rank.
    """
    part = Part(path)
    planner, alone = dcp.DefaultSavePlanner(flatten_state_dict=False), ranks.size == 1
    try:
        with _no_warning():
            dcp.save(dict(tensors), storage_writer=part, planner=planner, process_group=ranks.group, no_dist=alone)
    except CheckpointException as error:
        failures = ((rank, failure) for rank, (failure, _) in error.failures.items())
        named = (str(failure) if alone else f"rank {rank}: {failure}" for rank, failure in failures)
        raise RanksDiffer("; ".join(named)) from None
    return part


@contextmanager
def _no_warning() -> Iterator[None]:
    """Without the warning that one process saves or loads by itself, which is what it is to do."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future
