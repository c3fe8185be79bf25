"""Ranks that add integers on the host, beside whatever the devices are doing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist

from dist_epochs.ledger import Alone, Peers

__all__ = ["GlooPeers", "connect"]


class GlooPeers:
    """All ranks of the process group, over a gloo group of their own.

    A group of its own keeps these sums in order whatever collectives the model runs meanwhile.
    """

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        self._group = dist.new_group(backend="gloo")

    def sum(self, values: Sequence[int]) -> Callable[[], list[int]]:
        """Begin a sum of int64 over all ranks; the result waits for it."""
        tensor = torch.tensor(values, dtype=torch.int64)
        work = dist.all_reduce(tensor, group=self._group, async_op=True)

        def wait() -> list[int]:
            work.wait()
            sums: list[int] = tensor.tolist()
            return sums

        return wait


def connect() -> Peers:
    """The other ranks, or none."""
    return GlooPeers() if dist.is_initialized() and dist.get_world_size() > 1 else Alone()
