"""A model and its loss in one module, which computes outputs only where the loss counts."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from dist_epochs.train.attention import Documents
from dist_epochs.train.chunked_loss import linear_cross_entropy

__all__ = ["LossModel"]

PROBED_LENGTH = 8
"""Positions of the sample that shows whether the shortened head computes what the whole one does."""

TOLERANCE = 1e-4
"""Relative difference between the two losses, in float32, beyond which the head is not a plain one."""


class LossModel(nn.Module):  # type: ignore[misc]
    """A language model that returns the cross entropy summed over the positions that count.

    The hidden states of these positions are gathered before the whole head (of BERT: dense layer, norm and decoder),
    and the last product of the head and the loss are computed in chunks. Where a model does more with its outputs than
    multiply (a cap on logits), the loss is that of its own outputs at these positions.

    Args:
        model: The model with the head of its objective.

    Attributes:
        model: The model; its weights keep their names.
        gathers: Whether the head sees only the positions that count.
        is_chunked: Whether its last product is computed with the loss.
        documents: What the layers attend by, where it is not a mask.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.documents: Documents | None = None
        self.gathers, self.is_chunked = False, False
        self._positions: Tensor | None = None
        for module in model.modules():
            if isinstance(module, PreTrainedModel):  # without a mask GPT-2 looks for padding, and waits for the device
                module.warn_if_padding_and_no_attention_mask = _no_warning
        base = model.base_model
        if base is not model:
            base.register_forward_hook(self._gather)
            self._find_out()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        positions: Tensor,
        targets: Tensor,
        ends: Tensor | None = None,
    ) -> Tensor:
        """The loss of one micro-batch of this rank, summed, in float32.

        Args:
            input_ids: Shape (samples, length).
            attention_mask: Which position attends to which, shape (samples, 1, length, length); None if all may.
            positions: Flat indices of the outputs that the loss counts; any index where the target is −100.
            targets: The id that each of them must predict, or −100.
            ends: Where documents begin, and the length of the batch, where they keep documents apart.
        """
        if self.documents is not None:
            self.documents.ends = ends
        self._positions = positions if self.gathers else None
        try:
            outputs = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits
        finally:
            self._positions = None
        outputs = outputs.flatten(0, 1)
        if self.is_chunked:
            decoder = self.model.get_output_embeddings()
            return linear_cross_entropy(outputs, decoder.weight, decoder.bias, targets)
        chosen = outputs if self.gathers else outputs.index_select(0, positions)
        return nn.functional.cross_entropy(chosen.float(), targets, reduction="sum")

    def _gather(self, module: nn.Module, inputs: Any, outputs: Any) -> Any:
        """Leave only the hidden states of the positions that count, as one sample."""
        if self._positions is None:
            return outputs
        hidden = outputs[0]
        chosen = hidden.flatten(0, 1).index_select(0, self._positions)[None]
        if isinstance(outputs, tuple):
            return (chosen, *outputs[1:])
        outputs["last_hidden_state"] = chosen
        return outputs

    def _find_out(self) -> None:
        """Compare the loss of the whole head with that of the shortened one, on a sample of a few positions."""
        was_training = self.training
        self.eval()
        plain = self._probe()
        self.gathers = True
        self.gathers = _is_close(self._probe(), plain)
        decoder = self.model.get_output_embeddings()
        if self.gathers and isinstance(decoder, nn.Linear):
            self.is_chunked, decoder.forward = True, _as_it_is
            if not _is_close(self._probe(), plain):
                self.is_chunked = False
                del decoder.forward
        self.train(was_training)

    def _probe(self) -> Tensor | None:
        """The loss of a sample of a few positions; None if the model cannot take it so."""
        weight = self.model.get_output_embeddings().weight
        ids = torch.arange(PROBED_LENGTH, device=weight.device)[None]
        with torch.no_grad(), suppress(Exception):  # every kind of model raises its own
            mask = torch.ones(1, 1, PROBED_LENGTH, PROBED_LENGTH, dtype=torch.bool, device=weight.device)
            return self(ids, mask, torch.tensor([1, 5, 0], device=weight.device), ids[0, 1:4])
        return None


def _no_warning(input_ids: Tensor, attention_mask: Tensor | None) -> None:
    """In place of transformers' warning: there is no mask only where none is needed."""


def _as_it_is(rows: Tensor) -> Tensor:
    """In place of the head's last product, which is computed with the loss."""
    return rows


def _is_close(loss: Tensor | None, other: Tensor | None) -> bool:
    return loss is not None and other is not None and bool((loss - other).abs() <= TOLERANCE * other.abs())
