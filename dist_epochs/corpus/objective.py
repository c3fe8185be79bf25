"""Which tokens the loss counts: masked ones, a fixed number per sample, or every next token."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from dist_epochs.corpus.hashing import hash_each, key

__all__ = ["IGNORED", "Causal", "Masked", "Objective", "masked_tokens"]

IGNORED = -100
"""Label of a position that the loss does not count."""

Ids = NDArray[np.int64]


def masked_tokens(ordinary: Ids, probability: Fraction) -> Ids:
    """Masked tokens of each sample: probability × ordinary tokens, rounded half up, at least one if there is any."""
    rounded = (2 * ordinary.astype(np.int64) * probability.numerator + probability.denominator) // (
        2 * probability.denominator
    )
    return np.minimum(ordinary, np.maximum(rounded, 1))


class Objective(Protocol):
    """How many tokens of a sample the loss counts, and which.

    Attributes:
        is_causal: Whether a position attends only to those before it.
    """

    is_causal: ClassVar[bool]

    def most_loss_tokens(self, length: int) -> int:
        """The most tokens of a sample of this length that the loss can count."""

    def loss_tokens(self, tokens: Ids, pieces: Ids, ordinary: Ids) -> Ids:
        """Loss tokens of each sample, from its tokens, pieces and ordinary (not special) tokens."""

    def inputs_and_labels(self, ids: Ids, segments: Ids, keys: NDArray[np.uint64]) -> tuple[Ids, Ids]:
        """Model inputs and labels for rows of ids.

        Args:
            ids: Token ids, shape (samples, length), padded.
            segments: 0 where padded, else the number of the piece, same shape.
            keys: One random key per sample.

        Returns:
            Inputs and labels, same shape; a label is at the position whose output predicts it.
        """


@dataclass(frozen=True, slots=True)
class Causal:
    """Predict the next token of the same piece; the last token of a piece predicts nothing."""

    is_causal: ClassVar[bool] = True

    def most_loss_tokens(self, length: int) -> int:
        """All but the last of one piece."""
        return length - 1

    def loss_tokens(self, tokens: Ids, pieces: Ids, ordinary: Ids) -> Ids:
        """All tokens but the first of each piece."""
        return tokens - pieces

    def inputs_and_labels(self, ids: Ids, segments: Ids, keys: NDArray[np.uint64]) -> tuple[Ids, Ids]:
        """The ids themselves, and each position's successor within its piece."""
        labels = np.full_like(ids, IGNORED)
        follows = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
        labels[:, :-1][follows] = ids[:, 1:][follows]
        return ids, labels


@dataclass(frozen=True, slots=True, eq=False)
class Masked:
    """Predict masked tokens as BERT does: 80 % replaced by the mask, 10 % by a random token, 10 % kept.

    Source: Devlin et al. 2019, arXiv:1810.04805, appendix A.1. The number masked is fixed per sample,
    as in BERT's prepared data: probability × ordinary tokens, rounded half up, at least one.

    Attributes:
        probability: Share of the ordinary tokens that are predicted.
        mask_id: Id of the mask token.
        special_ids: Ids that are never predicted.
        ordinary_ids: Ids that random replacement draws from.
    """

    probability: Fraction
    mask_id: int
    special_ids: Ids
    ordinary_ids: Ids
    is_causal: ClassVar[bool] = False

    def most_loss_tokens(self, length: int) -> int:
        """The fixed count of a sample without special tokens."""
        most = np.array([length])
        return int(self.loss_tokens(most, most, most)[0])

    def loss_tokens(self, tokens: Ids, pieces: Ids, ordinary: Ids) -> Ids:
        """The fixed count, none where a sample has only special tokens."""
        return masked_tokens(ordinary, self.probability)

    def inputs_and_labels(self, ids: Ids, segments: Ids, keys: NDArray[np.uint64]) -> tuple[Ids, Ids]:
        """Inputs with masks, and the original ids at the masked positions."""
        ordinary = (segments > 0) & ~np.isin(ids, self.special_ids)
        counts = self.loss_tokens(ids, ids, ordinary.sum(axis=1))
        positions = np.arange(ids.shape[1])
        lots = hash_each(hash_each(keys, np.full(len(ids), key("choose")))[:, None], positions)
        ranked = np.argsort(np.where(ordinary, lots, np.uint64(2**64 - 1)), axis=1)  # ties are never chosen
        chosen = np.zeros_like(ordinary)
        np.put_along_axis(chosen, ranked, positions[None, :] < counts[:, None], axis=1)
        fate = hash_each(hash_each(keys, np.full(len(ids), key("replace")))[:, None], positions)
        tenth = (fate >> np.uint64(32)) * np.uint64(10) >> np.uint64(32)
        random_ids = self.ordinary_ids[(fate & np.uint64(2**32 - 1)) % np.uint64(len(self.ordinary_ids))]
        inputs = np.where(chosen & (tenth < 8), self.mask_id, np.where(chosen & (tenth == 8), random_ids, ids))
        return inputs, np.where(chosen, ids, IGNORED)
