"""Finds numbers that are NaN or infinite."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from dist_epochs.train.checkpoints.tensor_file import Piece

__all__ = ["NotFinite", "first_not_finite"]


class NotFinite(ArithmeticError):
    """The loss, the gradient or the weights became NaN or infinite."""


def first_not_finite(pieces: Iterable[Piece]) -> str:
    """The name of the first tensor, on the host, that holds NaN or infinite values; empty if there is none."""
    for piece in pieces:
        # A sum is not finite if any of its terms is not; as it can overflow too, only then each term is looked at.
        # NumPy's takes one core, whose memory it saturates; torch's threads wait for each other on a busy host.
        whole = piece.tensor.float() if piece.tensor.dtype is torch.bfloat16 else piece.tensor
        with np.errstate(all="ignore"):
            total = np.add.reduce(whole.reshape(-1).numpy())
        if not np.isfinite(total) and not torch.isfinite(piece.tensor).all():
            return piece.name
    return ""
