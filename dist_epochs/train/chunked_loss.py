"""Cross entropy of a linear head, in chunks: all logits never exist at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dist_epochs.corpus.streaming.objective import IGNORED

__all__ = ["linear_cross_entropy"]

CHUNK_NUMBERS = 2**24
"""Logits of a chunk: 64 MiB in float32."""


class _LinearCrossEntropy(torch.autograd.Function):  # type: ignore[misc]
    """Sums the loss of rows and computes its gradient at once, so that a chunk's logits are needed only once."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        needs_rows, needs_weight, needs_bias, _ = ctx.needs_input_grad
        chunk = max(1, CHUNK_NUMBERS // weight.shape[0])
        total = rows.new_zeros((), dtype=torch.float32)
        of_rows = torch.empty_like(rows, dtype=torch.float32) if needs_rows else None
        of_weight = torch.zeros_like(weight, dtype=torch.float32) if needs_weight else None
        of_bias = torch.zeros_like(bias, dtype=torch.float32) if needs_bias and bias is not None else None
        for start in range(0, len(rows), chunk):
            part, wanted = rows[start : start + chunk], targets[start : start + chunk]
            logits = torch.nn.functional.linear(part, weight, bias).float()
            counts = wanted != IGNORED
            wanted = wanted.clamp_min(0)[:, None]
            normaliser = logits.logsumexp(1, keepdim=True)
            total += ((normaliser - logits.gather(1, wanted))[:, 0] * counts).sum()
            if not (needs_rows or needs_weight):
                continue
            gradient = logits.sub_(normaliser).exp_()
            gradient.scatter_add_(1, wanted, gradient.new_full((1, 1), -1.0).expand_as(wanted))
            gradient *= counts[:, None]
            if of_bias is not None:
                of_bias += gradient.sum(0)
            kind = _dtype_of_products(part)
            up = 1024 if kind == torch.float16 else 1  # its smallest numbers are larger than most probabilities
            gradient = gradient.mul_(up).to(kind)
            if of_rows is not None:
                of_rows[start : start + chunk] = (gradient @ weight.to(kind)).float() / up
            if of_weight is not None and kind == of_weight.dtype:
                torch.addmm(of_weight, gradient.T, part, out=of_weight)
            elif of_weight is not None:
                of_weight.add_(gradient.T @ part.to(kind), alpha=1 / up)
        ctx.save_for_backward(of_rows, of_weight, of_bias)
        ctx.kinds = [None if each is None else each.dtype for each in (rows, weight, bias)]
        return total

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> Any:
        (scale,) = outputs
        gradients = zip(ctx.saved_tensors, ctx.kinds, strict=True)
        return *(None if each is None else each.mul_(scale).to(kind) for each, kind in gradients), None


def linear_cross_entropy(rows: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Cross entropy of `rows @ weight.T + bias`, summed over the rows that count, in float32.

    The gradient is computed with the loss, chunk by chunk, and only scaled in the backward pass, which can run once.

    Args:
        rows: What the head multiplies, shape (rows, hidden).
        weight: The head's weights, shape (vocabulary, hidden).
        bias: Its biases, shape (vocabulary,), or None.
        targets: The id that each row must predict, or −100 where it does not count; shape (rows,).
    """
    loss: Tensor = _LinearCrossEntropy.apply(rows, weight, bias, targets)
    return loss


def _dtype_of_products(like: Tensor) -> torch.dtype:
    """What matrices are multiplied in: autocast's type where it is on."""
    kind = like.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else like.dtype
