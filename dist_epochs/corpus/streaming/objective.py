"""Which tokens the loss counts: masked ones, a fixed number per sample, or every next token."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from dist_epochs.corpus.streaming.hashing import hash_each, key

__all__ = ["IGNORED", "Causal", "Masked", "Objective", "StoredIds", "masked_tokens"]

IGNORED = -100
"""Label of a position that the loss does not count."""

POSITIONS_AT_ONCE = 2**15
"""Positions that are masked at once: their hashes stay in the processor's cache."""

Ids = NDArray[np.int64]
StoredIds = NDArray[np.integer]


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

    def inputs_and_labels(self, ids: StoredIds, segments: Ids, keys: NDArray[np.uint64]) -> tuple[Ids, Ids]:
        """Model inputs and labels for rows of ids.

        Args:
            ids: Token ids of any type of integers, shape (samples, length), padded.
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

    def inputs_and_labels(self, ids: StoredIds, segments: Ids, keys: NDArray[np.uint64]) -> tuple[Ids, Ids]:
        """The ids themselves, and each position's successor within its piece."""
        inputs, labels = ids.astype(np.int64, copy=False), np.full(ids.shape, IGNORED, np.int64)
        follows = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
        np.copyto(labels[:, :-1], inputs[:, 1:], where=follows)
        return inputs, labels


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

    def inputs_and_labels(self, ids: StoredIds, segments: Ids, keys: NDArray[np.uint64]) -> tuple[Ids, Ids]:
        """Inputs with masks, and the original ids at the masked positions."""
        inputs, labels = ids.astype(np.int64), np.full(ids.shape, IGNORED, np.int64)
        at_once = max(1, POSITIONS_AT_ONCE // ids.shape[1])
        for first in range(0, len(ids), at_once):
            some = slice(first, first + at_once)
            ordinary = (segments[some] > 0) & ~np.isin(ids[some], self.special_ids)
            self._mask(inputs[some], labels[some], ordinary, keys[some])
        return inputs, labels

    def _mask(self, inputs: Ids, labels: Ids, ordinary: NDArray[np.bool_], keys: NDArray[np.uint64]) -> None:
        """Replace ids by masks, and write the original ones into the labels."""
        counts = self.loss_tokens(inputs, inputs, ordinary.sum(axis=1))
        lots = hash_each(hash_each(keys, np.full(len(keys), key("choose")))[:, None], np.arange(inputs.shape[1]))
        flat = inputs.reshape(-1)
        places = np.flatnonzero(_with_lowest(lots, ordinary, counts))
        rows = np.repeat(np.arange(len(keys)), counts)
        columns = places - rows * inputs.shape[1]
        fate = hash_each(hash_each(keys, np.full(len(keys), key("replace")))[rows], columns)
        tenth = (fate >> np.uint64(32)) * np.uint64(10) >> np.uint64(32)
        original = flat[places]
        labels.reshape(-1)[places] = original
        flat[places] = np.where(tenth < 8, self.mask_id, original)
        by_chance = tenth == 8
        random = (fate[by_chance] & np.uint64(2**32 - 1)) % np.uint64(len(self.ordinary_ids))
        flat[places[by_chance]] = self.ordinary_ids[random]


def _with_lowest(lots: NDArray[np.uint64], among: NDArray[np.bool_], counts: Ids) -> NDArray[np.bool_]:
    """Which positions of each row have its `counts` lowest lots.

    The upper halves of the lots are sorted, which takes a tenth of the time; whole lots, where halves are equal.

    Args:
        lots: A lot for each position, all of a row different.
        among: The positions that can be chosen.
        counts: How many of each row are.
    """
    upper = (lots >> np.uint64(32)).astype(np.uint32)
    ranked = np.sort(np.where(among, upper, np.uint32(2**32 - 1)), axis=1)
    chosen = among & (upper <= ranked[np.arange(len(counts)), counts - 1, None])
    if np.count_nonzero(chosen) > counts.sum():
        for row in np.flatnonzero(chosen.sum(axis=1) > counts):
            chosen[row] &= lots[row] <= np.sort(lots[row, among[row]])[counts[row] - 1]
    return chosen
