"""The tensors of a run by name: the weights, and the state of the optimizer for each.

Tensors are saved by name, sharded ones with the place of each shard, so a run can be resumed on any number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from dist_epochs.errors import InputError, Origin
from dist_epochs.train.checkpoints.storage import Stored
from dist_epochs.train.checkpoints.tensor_file import TensorFile

__all__ = ["restore", "tensors_of", "weights"]

MODEL, OPTIMIZER = "model", "optimizer"
STEP = "step"
"""AdamW's name for its counter of steps, which it keeps on the host unless its update is one kernel."""


def tensors_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """All tensors of a run, sharded ones as they are.

    Args:
        model: The model, without DDP's wrapper.
        optimizer: The optimizer of its parameters.
    """
    tensors = {f"{MODEL}/{name}": tensor for name, tensor in weights(model)}
    for name, parameter in model.named_parameters():
        state = optimizer.state.get(parameter, {})
        tensors |= {f"{OPTIMIZER}/{key}/{name}": value for key, value in state.items()}
    return tensors


def restore(model: nn.Module, optimizer: torch.optim.Optimizer, files: Sequence[TensorFile]) -> None:
    """Copy the tensors of a checkpoint into a model and its optimizer.

    Args:
        model: The model, without DDP's wrapper.
        optimizer: The optimizer of its parameters; its state is replaced.
        files: All files of the checkpoint.

    Raises:
        InputError: If the checkpoint is of another model.
    """
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    on_device = {p for group in optimizer.param_groups if group.get("fused") for p in group["params"]}
    places = {f"{MODEL}/{name}": tensor for name, tensor in weights(model)}
    stored = Stored(files)
    states = {}
    for name in stored.tensors.keys() - places.keys():
        of, _, inner = name.partition("/")
        key, _, parameter = inner.partition("/")
        if of != OPTIMIZER or parameter not in parameters:
            raise _of_another_model(f"{name} is not a tensor of this model", files)
        states[name] = key, parameters[parameter]
    if missing := places.keys() - stored.tensors.keys():
        raise _of_another_model(f"{min(missing)} is missing", files)
    optimizer.state.clear()
    for name, (key, parameter) in states.items():
        kind = stored.tensors[name].properties.dtype
        if key == STEP:
            state = torch.empty((), dtype=kind, device=parameter.device if parameter in on_device else "cpu")
        else:
            state = torch.empty_like(parameter, dtype=kind, requires_grad=False)
        places[name] = optimizer.state[parameter][key] = state
    for name, place in places.items():
        if (shape := stored.tensors[name].size) != place.shape:
            shapes = f"{tuple(shape)} in the checkpoint and {tuple(place.shape)} in the model of this recipe"
            raise InputError(f"{name} has the shape {shapes}")
    stored.fill({name: place.detach() for name, place in places.items()})


def weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, tied ones once, and the buffers that belong to the model's state."""
    yield from model.named_parameters()
    kept = model.state_dict().keys()
    yield from ((name, buffer) for name, buffer in model.named_buffers() if name in kept)


def _of_another_model(why: str, files: Sequence[TensorFile]) -> InputError:
    return InputError(f"{why}: the checkpoint is of another model", origin=Origin(str(files[0].path.parent)))
