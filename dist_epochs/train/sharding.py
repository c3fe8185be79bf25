"""FSDP2: ranks share weights, gradients and optimizer states, and gather each layer when it is computed."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

__all__ = ["drop_gathered", "layers_of", "shard", "whole"]


def shard(
    model: nn.Module, device: torch.device, *, ranks: int, shard_size: int | None, half: torch.dtype | None
) -> None:
    """Shard a model over the ranks: each of its layers by itself, then what is left, tied weights included.

    Layers are computed with gathered weights, whose copies are dropped after the layer and gathered again for its
    backward pass. Gradients are added in float32 and sharded after every micro-step, so that no rank ever holds all of
    them. Every rank calls this; the process group is there.

    Args:
        model: On the host or on the device; its weights come to the device shard by shard.
        device: Where this rank computes.
        ranks: Ranks in all.
        shard_size: Ranks that hold one copy of the model between them (hybrid sharding), a divisor of
            `ranks`; None for all.
        half: What layers are computed in where that is not float32; weights stay in float32.
    """
    size = shard_size or ranks
    mesh = (
        init_device_mesh(device.type, (ranks,), mesh_dim_names=("shard",))
        if size == ranks
        else init_device_mesh(device.type, (ranks // size, size), mesh_dim_names=("replicate", "shard"))
    )
    policy = MixedPrecisionPolicy(param_dtype=half, reduce_dtype=torch.float32 if half else None)
    for layer in layers_of(model):
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)


def drop_gathered(model: nn.Module) -> None:
    """Go back to this rank's shards after a forward pass that no backward pass follows, if the model is sharded."""
    if isinstance(model, FSDPModule):
        model.reshard()


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor gathered from all ranks, which all call this; any other as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def layers_of(model: nn.Module) -> Iterator[nn.Module]:
    """The layers that a model repeats: the entries of its outermost lists of modules."""
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from layers_of(child)
