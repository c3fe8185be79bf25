"""The tensors of a run by name: weights, and what the optimizer keeps for each.

Names and whole tensors know nothing of ranks, so any world can go on with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from dist_epochs.errors import InputError, Origin

__all__ = ["own_part", "restore"]

MODEL, OPTIMIZER = "model", "optimizer"
STEP = "step"
"""What AdamW calls its counter, which it wants on the host."""


def own_part(model: nn.Module, optimizer: torch.optim.Optimizer, rank: int, world: int) -> dict[str, Tensor]:
    """This rank's share of all tensors, whole and on the host: neighbours in the order of their names, by bytes.

    Every rank holds (DDP) or takes part in gathering (FSDP2) each tensor in turn, so all must call this.

    Args:
        model: Without DDP's wrapper.
        optimizer: Of its parameters.
        rank: Index of this rank.
        world: Ranks in all.
    """
    tensors = dict(_named(model, optimizer))
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    mine, before = {}, 0
    for name, tensor in tensors.items():
        whole = _whole(tensor)
        if before * world // max(1, total) == rank:
            mine[name] = whole.detach().to("cpu", copy=True).contiguous()
        before += tensor.numel() * tensor.element_size()
    return mine


def restore(model: nn.Module, optimizer: torch.optim.Optimizer, files: list[Path]) -> None:
    """Put the tensors of a checkpoint where they came from.

    Args:
        model: Without DDP's wrapper.
        optimizer: Of its parameters; its state is replaced.
        files: All parts of the checkpoint.

    Raises:
        InputError: If they are of another model.
    """
    weights = dict(_weights(model))
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    missing = set(weights)
    optimizer.state.clear()
    for path in files:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                kind, _, inner = name.partition("/")
                loaded = file.get_tensor(name)
                if kind == MODEL and inner in weights:
                    _fill(weights[inner], loaded, name)
                    missing.discard(inner)
                elif kind == OPTIMIZER and inner.partition("/")[2] in parameters:
                    key, _, of = inner.partition("/")
                    optimizer.state[parameters[of]][key] = loaded if key == STEP else _like(loaded, parameters[of])
                else:
                    raise InputError(
                        f"{name} is no tensor of this model: the checkpoint is of another one", origin=Origin(str(path))
                    )
    if missing:
        raise InputError(
            f"without {min(missing)}: the checkpoint is of another model", origin=Origin(str(files[0].parent))
        )


def _named(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in _weights(model):
        yield f"{MODEL}/{name}", tensor
    for name, parameter in model.named_parameters():
        kept: Mapping[str, Any] = optimizer.state.get(parameter, {})
        for key, value in kept.items():
            yield f"{OPTIMIZER}/{key}/{name}", value


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, tied ones once, and the buffers that belong to the model's state."""
    yield from model.named_parameters()
    kept = model.state_dict().keys()
    yield from ((name, buffer) for name, buffer in model.named_buffers() if name in kept)


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def _fill(place: Tensor, loaded: Tensor, name: str) -> None:
    if place.shape != loaded.shape:
        shapes = f"{tuple(loaded.shape)} in the checkpoint and {tuple(place.shape)} in the model of this recipe"
        raise InputError(f"{name} has the shape {shapes}")
    with torch.no_grad():
        place.copy_(_like(loaded, place))


def _like(loaded: Tensor, place: Tensor) -> Tensor:
    """A tensor where its parameter is: on its device, and sharded as it is."""
    if hasattr(place, "full_tensor"):
        from torch.distributed.tensor import distribute_tensor

        return distribute_tensor(loaded.to(place.device), place.device_mesh, place.placements)
    return loaded.to(place.device)
