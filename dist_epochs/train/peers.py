"""Ranks that meet on the host, beside whatever the devices are doing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar

import torch
import torch.distributed as dist

from dist_epochs.errors import InputError
from dist_epochs.ledger import Alone, Peers

__all__ = ["GlooPeers", "OneRank", "Ranks", "RanksDiffer", "connect", "on_first", "together"]

Result = TypeVar("Result")


class RanksDiffer(RuntimeError):
    """Something failed on one rank, so no rank goes on."""


class Ranks(Peers, Protocol):
    """Ranks that also exchange text."""

    def share(self, text: str) -> list[str]:
        """Wait for all ranks; every rank's text, in the order of the ranks."""


class OneRank(Alone):
    """One process."""

    def share(self, text: str) -> list[str]:
        """The text itself."""
        return [text]


class GlooPeers:
    """All ranks of the process group, over a gloo group of their own.

    A group of its own keeps these sums in order whatever collectives the model runs meanwhile.

    Args:
        timeout: Seconds after which waiting for another rank is an error.
    """

    def __init__(self, timeout: float) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        self._group = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout))

    def sum(self, values: Sequence[int]) -> Callable[[], list[int]]:
        """Begin a sum of int64 over all ranks; the result waits for it."""
        tensor = torch.tensor(values, dtype=torch.int64)
        work = dist.all_reduce(tensor, group=self._group, async_op=True)

        def wait() -> list[int]:
            work.wait()
            sums: list[int] = tensor.tolist()
            return sums

        return wait

    def share(self, text: str) -> list[str]:
        """Wait for all ranks; every rank's text, in the order of the ranks. Sent as bytes, never as objects."""
        mine = torch.frombuffer(bytearray(text.encode() or b"\0"), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(sizes, torch.tensor([len(mine)]), group=self._group)
        longest = max(int(size) for size in sizes)
        rows = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.size)]
        dist.all_gather(rows, _padded(mine, longest), group=self._group)
        return [bytes(row[: int(size)].tolist()).decode().rstrip("\0") for row, size in zip(rows, sizes, strict=True)]


def _padded(row: torch.Tensor, size: int) -> torch.Tensor:
    """A row of bytes with zeros after it."""
    return torch.nn.functional.pad(row, (0, size - len(row)))


def connect(timeout: float) -> Ranks:
    """The other ranks, or none."""
    return GlooPeers(timeout) if dist.is_initialized() and dist.get_world_size() > 1 else OneRank()


def together(ranks: Ranks, action: Callable[[], str]) -> list[str]:
    """Do something on every rank and wait for all: every rank's result, or the same error on every rank.

    Args:
        ranks: All of them call this.
        action: Its result is text.

    Raises:
        InputError: If it was one, with its message.
        RanksDiffer: With what failed otherwise, and on which rank.
    """
    try:
        outcome = "+" + action()
    except InputError as error:
        outcome = f"!{error}"
    except Exception as error:  # a full disk comes as OSError, as SafetensorError, or as bare Exception
        outcome = f"-{error}" if ranks.size == 1 else f"-rank {ranks.rank}: {error}"
    outcomes = ranks.share(outcome)
    for text in outcomes:
        if text.startswith("!"):
            raise InputError(text[1:])
    failed = [text[1:] for text in outcomes if text.startswith("-")]
    if failed:
        raise RanksDiffer("; ".join(failed))
    return [text[1:] for text in outcomes]


def on_first(ranks: Ranks, action: Callable[[], object]) -> str:
    """Do something on rank 0; all ranks wait for it, and hear its result (if it is text) or its error.

    Raises:
        InputError: If it was one.
        RanksDiffer: With what failed otherwise.
    """

    def act() -> str:
        result = action() if ranks.rank == 0 else None
        return result if isinstance(result, str) else ""

    return together(ranks, act)[0]
