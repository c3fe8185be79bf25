"""Exchange between ranks over gloo, on the host."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist

from dist_epochs.runtime.peers import Alone, Peers, Sums

__all__ = ["GlooPeers", "connect"]


class GlooPeers:
    """All ranks of the process group, over a gloo group of their own.

    A group of its own keeps these sums in order whatever collectives the model runs meanwhile.

    Args:
        timeout: Seconds after which waiting for another rank is an error.

    Attributes:
        group: The group.
    """

    def __init__(self, timeout: float) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        self.group = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout))

    def sum(self, values: Sequence[int]) -> Sums:
        """Begin a sum of int64 over all ranks."""
        numbers = np.array(values, dtype=np.int64)  # for so few numbers quicker than a tensor
        work = self.group.allreduce([torch.from_numpy(numbers)])

        def wait() -> list[int]:
            work.wait()
            sums: list[int] = numbers.tolist()
            return sums

        return Sums(wait, work.is_completed)

    def share(self, text: str) -> list[str]:
        """Wait for all ranks; every rank's text, in the order of the ranks. Nothing is unpickled."""
        mine = torch.frombuffer(bytearray(text.encode() or b"\0"), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(sizes, torch.tensor([len(mine)]), group=self.group)
        longest = max(int(size) for size in sizes)
        rows = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.size)]
        dist.all_gather(rows, torch.nn.functional.pad(mine, (0, longest - len(mine))), group=self.group)
        return [bytes(row[: int(size)].tolist()).decode().rstrip("\0") for row, size in zip(rows, sizes, strict=True)]


def connect(timeout: float) -> Peers:
    """The other ranks, or none. Every rank calls this.

    Args:
        timeout: Seconds after which waiting for another rank is an error.
    """
    return GlooPeers(timeout) if dist.is_initialized() and dist.get_world_size() > 1 else Alone()
