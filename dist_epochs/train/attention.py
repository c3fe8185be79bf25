"""Attention within documents, without a dense mask: a kernel for documents of different lengths."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from dist_epochs.errors import InputError, Origin
from dist_epochs.train.sharding import drop_gathered

if TYPE_CHECKING:
    from dist_epochs.train.loss_model import LossModel

__all__ = ["AttentionPath", "Documents", "attend_within_documents", "choose_attention"]

NAME = "dist_epochs_documents"
"""Under which transformers knows this attention."""

PROBED = (5, 6, 5)
"""Tokens of the documents of the sample that is tried: two documents, and padding."""

TOLERANCE = 2e-2
"""Relative difference of hidden states between the two ways, in half precision."""


@dataclass(slots=True, eq=False)
class Documents:
    """Where documents begin and end in the batch that a model is computing; every layer of the model has this object.

    Attributes:
        causal: Whether a position attends only to those before it.
        ends: First positions of the documents in the flattened batch, and its length, int32; padding is a document.
        called_by: Modules that attended by it.
        dropout: The largest dropout that a layer asked for.
    """

    causal: bool
    ends: Tensor | None = None
    called_by: set[int] = field(default_factory=set)
    dropout: float = 0.0


@dataclass(frozen=True, slots=True)
class AttentionPath:
    """How the model attends.

    Attributes:
        documents: Set before each forward pass; None where a mask keeps documents apart.
        why: The path and its reason, in words.
    """

    documents: Documents | None
    why: str


def choose_attention(
    asked: Literal["auto", "mask", "varlen"], model: LossModel, *, causal: bool, kind: torch.dtype | None
) -> AttentionPath:
    """Decide how a model attends, and set it up.

    Args:
        asked: What the recipe asks for.
        model: On the device it is trained on, and sharded if it is to be; every rank calls this.
        causal: Whether a position attends only to those before it.
        kind: What products are computed in, where that is half precision; None in fp32 and tf32.

    Raises:
        InputError: If `varlen` is asked for and cannot be had.
    """
    if asked == "mask":
        return AttentionPath(None, "a dense mask, as the recipe says")
    device = next(model.parameters()).device
    if device.type != "cuda":
        missing = f"the kernel for documents needs CUDA, and this is {device.type}"
    elif kind is None:
        missing = "the kernel for documents needs bf16 or fp16"
    elif _kernel() is None:
        missing = f"torch {torch.__version__} has no kernel for documents"
    else:
        with torch.autocast(device.type, dtype=kind):
            documents, missing = attend_within_documents(model, causal=causal)
        if documents is not None:
            return AttentionPath(documents, "a kernel for documents of different lengths (varlen)")
    if asked == "varlen":
        raise InputError(
            f"attention: varlen cannot be used: {missing}", fixes=("attention: auto",), origin=Origin("attention")
        )
    return AttentionPath(None, f"a dense mask: {missing}")


def attend_within_documents(whole: LossModel, *, causal: bool) -> tuple[Documents | None, str]:
    """Make every layer of a model attend within documents, and prove that it does; else leave the model as it was.

    A model may accept the name of an attention and not call it (DeBERTa-v2 does, and attends across documents). So all
    layers must have called it, and a packed sample must give what it gives with a mask.

    Args:
        whole: The model, on any device; on a CPU documents are computed one by one, as a reference.
        causal: Whether a position attends only to those before it.

    Returns:
        The object that says where documents end, to be set before each forward pass; None and the reason if the model
        cannot attend so.
    """
    model, documents, was_training = whole.model, Documents(causal), whole.training
    before = model.config._attn_implementation
    device = next(model.parameters()).device
    segments = torch.repeat_interleave(torch.arange(len(PROBED), device=device), torch.tensor(PROBED, device=device))
    mask = segments[:, None] == segments
    mask = (mask.tril() if causal else mask)[None, None]
    ids = torch.arange(len(segments), device=device)[None] + 1
    for module in model.modules():
        module.__dict__["documents"] = documents  # no submodule, and nothing that is saved
    AttentionInterface.register(NAME, _attention)
    why = ""
    try:
        with torch.no_grad():
            expected = _hidden_states(whole.eval(), ids, mask)
            model.set_attn_implementation(NAME)
            documents.ends = torch.tensor([0, *torch.tensor(PROBED).cumsum(0)], dtype=torch.int32, device=device)
            found = _hidden_states(whole, ids, None)
            _hidden_states(whole.train(), ids, None)  # dropout is asked for in training alone
        layers = model.config.get_text_config().num_hidden_layers
        if len(documents.called_by) != layers:
            why = f"{len(documents.called_by)} of {layers} layers of {model.config.model_type} call it"
        elif not (found - expected).norm() <= TOLERANCE * expected.norm():
            why = f"{model.config.model_type} attends across documents with it"
        elif documents.dropout:
            why = f"it has no dropout, and {model.config.model_type} has {documents.dropout:g} in its attention"
    except Exception as error:  # every kind of model, and every device, has its own
        why = f"{model.config.model_type} does not run with it ({str(error).splitlines()[0][:200]})"
    finally:
        whole.train(was_training)
        drop_gathered(whole)
    if why:
        model.set_attn_implementation(before)
        return None, why
    return documents, ""


def _hidden_states(whole: LossModel, ids: Tensor, mask: Tensor | None) -> Tensor:
    """What the layers of a model give, seen from the whole: a sharded one has its weights only inside a pass of it."""
    found: list[Tensor] = []
    hook = whole.model.base_model.register_forward_hook(lambda *call: found.append(call[2][0]), prepend=True)
    try:
        whole(ids, mask, ids[0, :1], ids[0, :1])
    finally:
        hook.remove()
    return found[0]


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention in the form of transformers: shapes (samples, heads, length, size) in, (samples, length, …) out."""
    documents: Documents = module.documents
    if not torch.compiler.is_compiling():
        documents.called_by.add(id(module))
        documents.dropout = max(documents.dropout, dropout)
    assert documents.ends is not None, "set before each forward pass"
    samples, heads, length, _ = query.shape
    groups = heads // key.shape[1]
    q, k, v = (each.transpose(1, 2).flatten(0, 1) for each in (query, key, value))
    k, v = (each.repeat_interleave(groups, 1) if groups > 1 else each for each in (k, v))
    attend = _by_kernel if query.is_cuda else _one_by_one
    found = attend(q, k, v, documents.ends, length, scaling, documents.causal)
    return found.unflatten(0, (samples, length)), None


def _kernel() -> Any:
    """The kernel of torch for documents of different lengths; None in a torch without it."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


def _by_kernel(
    query: Tensor, key: Tensor, value: Tensor, ends: Tensor, longest: int, scaling: float | None, causal: bool
) -> Tensor:
    kernel = _kernel()
    known = inspect.signature(kernel).parameters
    order = {"window_size": (-1, 0 if causal else -1)} if "window_size" in known else {"is_causal": causal}
    scale = {"scale": scaling} if scaling is not None else {}
    found: Tensor = kernel(query, key, value, ends, ends, longest, longest, **order, **scale)
    return found


def _one_by_one(
    query: Tensor, key: Tensor, value: Tensor, ends: Tensor, longest: int, scaling: float | None, causal: bool
) -> Tensor:
    """The reference: each document by itself."""
    parts = []
    for start, stop in pairwise(ends.tolist()):
        if stop > start:
            q, k, v = (each[start:stop].transpose(0, 1)[None] for each in (query, key, value))
            one = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scaling)
            parts.append(one[0].transpose(0, 1))
    return torch.cat(parts)
