"""The ranks of a user's own loop, and which of them see which data."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from dist_epochs.errors import InputError
from dist_epochs.runtime.peers import Alone, Peers

__all__ = ["Topology", "peers_of", "topology_of"]

SUM_TIMEOUT = 2 * 3600.0
"""Seconds that a sum may take. Training does not wait for it, and a rank may be late by a whole evaluation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Topology:
    """Which ranks see which data.

    Attributes:
        groups: Groups of ranks that see different data.
        group: The group of this rank.
        counts: Whether this rank counts for its group; its other ranks see the same data.
    """

    groups: int
    group: int
    counts: bool = True


def peers_of(ranks: Any) -> Peers:
    """The ranks of an accelerator, or of `torch.distributed`; one process where neither is there."""
    if hasattr(ranks, "sum"):
        peers: Peers = ranks
        return peers
    if "torch" not in sys.modules:
        return Alone()
    from dist_epochs.runtime.gloo import connect

    return connect(SUM_TIMEOUT)


def topology_of(peers: Peers, parallelism: Any) -> Topology:
    """Which ranks see the same data: those of one tensor-parallel or context-parallel group.

    Args:
        peers: All ranks.
        parallelism: Accelerate's `ParallelismConfig`, or None.

    Raises:
        InputError: With sequence parallelism, whose ranks draw different samples and train on them together.
    """
    if parallelism is None:
        return Topology(groups=peers.size, group=peers.rank)
    if getattr(parallelism, "sp_size", 1) > 1:
        raise InputError(
            f"sequence parallelism of {parallelism.sp_size} cannot be counted here",
            rule="its ranks draw different samples and share them",
            fixes=("context parallelism", "to count by the plan"),
        )
    same = parallelism.tp_size * parallelism.cp_size
    return Topology(groups=peers.size // same, group=peers.rank // same, counts=peers.rank % same == 0)
