"""The tensors of a run by name: the weights, and the state of the optimizer for each.

Tensors are saved whole and by name, so a run can be resumed on any number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dist_epochs.errors import InputError, Origin
from dist_epochs.train.checkpoints.tensor_file import TensorFile

__all__ = ["not_finite", "own_part", "restore", "whole_tensor"]

MODEL, OPTIMIZER = "model", "optimizer"
STEP = "step"
"""AdamW's name for its counter of steps, which it keeps on the host unless its update is one kernel."""


def own_part(model: nn.Module, optimizer: torch.optim.Optimizer, rank: int, world: int) -> dict[str, Tensor]:
    """This rank's share of all tensors by bytes, whole and on the host. A share is a range of consecutive tensors.

    Tensors that are on the host already are not copied: save them before the next step. With FSDP2 every rank takes
    part in gathering each tensor, so all ranks must call this.

    Args:
        model: The model, without DDP's wrapper.
        optimizer: The optimizer of its parameters.
        rank: Index of this rank.
        world: Number of ranks.
    """
    tensors = {f"{MODEL}/{name}": tensor for name, tensor in _weights(model)}
    for name, parameter in model.named_parameters():
        state = optimizer.state.get(parameter, {})
        tensors |= {f"{OPTIMIZER}/{key}/{name}": value for key, value in state.items()}
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    mine, before = {}, 0
    for name, tensor in tensors.items():
        whole = whole_tensor(tensor)
        if before * world // max(1, total) == rank:
            mine[name] = whole.detach().to("cpu").contiguous()
        before += tensor.numel() * tensor.element_size()
    return mine


def not_finite(tensors: Mapping[str, Tensor]) -> str:
    """The name of the first tensor that holds NaN or infinite values; empty if there is none."""
    for name, tensor in tensors.items():
        # A sum is not finite if any of its terms is not; as it can overflow too, only then each term is looked at.
        # NumPy's takes one core, whose memory it saturates; torch's threads wait for each other on a busy host.
        whole = tensor.float() if tensor.dtype is torch.bfloat16 else tensor
        with np.errstate(all="ignore"):
            total = np.add.reduce(whole.reshape(-1).numpy())
        if not np.isfinite(total) and not torch.isfinite(tensor).all():
            return name
    return ""


def restore(model: nn.Module, optimizer: torch.optim.Optimizer, files: Sequence[TensorFile]) -> None:
    """Copy the tensors of a checkpoint into a model and its optimizer.

    Args:
        model: The model, without DDP's wrapper.
        optimizer: The optimizer of its parameters; its state is replaced.
        files: All files of the checkpoint.

    Raises:
        InputError: If the checkpoint is of another model.
    """
    weights = dict(_weights(model))
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    on_device = {p for group in optimizer.param_groups if group.get("fused") for p in group["params"]}
    missing = set(weights)
    optimizer.state.clear()
    for file in files:
        for name, loaded in file.tensors():
            kind, _, inner = name.partition("/")
            key, _, of = inner.partition("/")
            if kind == MODEL and inner in weights:
                _fill(weights[inner], loaded, name)
                missing.discard(inner)
            elif kind == OPTIMIZER and of in parameters:
                parameter = parameters[of]
                if key == STEP:
                    value = loaded.to(parameter.device if parameter in on_device else "cpu", copy=True)
                else:
                    value = _like(loaded, parameter)
                optimizer.state[parameter][key] = value
            else:
                raise InputError(
                    f"{name} is not a tensor of this model: the checkpoint is of another one",
                    origin=Origin(str(file.path)),
                )
    if missing:
        raise InputError(
            f"{min(missing)} is missing: the checkpoint is of another model", origin=Origin(str(files[0].path.parent))
        )


def whole_tensor(tensor: Tensor) -> Tensor:
    """A tensor that FSDP2 has sharded, gathered from all ranks; any other as it is."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, tied ones once, and the buffers that belong to the model's state."""
    yield from model.named_parameters()
    kept = model.state_dict().keys()
    yield from ((name, buffer) for name, buffer in model.named_buffers() if name in kept)


def _fill(place: Tensor, loaded: Tensor, name: str) -> None:
    if place.shape != loaded.shape:
        shapes = f"{tuple(loaded.shape)} in the checkpoint and {tuple(place.shape)} in the model of this recipe"
        raise InputError(f"{name} has the shape {shapes}")
    with torch.no_grad():
        place.copy_(_like(loaded, place) if hasattr(place, "full_tensor") else loaded)


def _like(loaded: Tensor, place: Tensor) -> Tensor:
    """A copy of a tensor on the device of its parameter, and sharded as it is."""
    copy = loaded.to(place.device, copy=True)
    if hasattr(place, "full_tensor"):
        from torch.distributed.tensor import distribute_tensor

        return distribute_tensor(copy, place.device_mesh, place.placements)
    return copy
