import hashlib
from fractions import Fraction

import numpy as np
import pytest

from dist_epochs.corpus.streaming import objective
from dist_epochs.corpus.streaming.hashing import hash_each, key
from dist_epochs.corpus.streaming.objective import IGNORED, Causal, Masked

SPECIAL, MASK, VOCABULARY = np.array([0, 1, 2]), 2, 50
MASKED = Masked(Fraction(15, 100), MASK, SPECIAL, np.arange(3, VOCABULARY))


def rows(count=400, length=40, seed=0):
    draw = np.random.default_rng(seed)
    ids = draw.integers(0, VOCABULARY, (count, length))
    segments = np.ones_like(ids)
    segments[:, length // 2 :] = 2
    lengths = draw.integers(1, length + 1, count)
    segments[np.arange(length) >= lengths[:, None]] = 0
    ids[segments == 0] = 0
    return ids, segments, hash_each(9, np.arange(count))


def test_masked_counts_are_what_the_plan_counts():
    ids, segments, keys = rows()
    _, labels = MASKED.inputs_and_labels(ids, segments, keys)
    ordinary = ((segments > 0) & ~np.isin(ids, SPECIAL)).sum(axis=1)
    by_hand = [min(n, max(1, int(Fraction(15, 100) * n + Fraction(1, 2)))) for n in ordinary.tolist()]
    assert (labels != IGNORED).sum(axis=1).tolist() == by_hand
    assert MASKED.loss_tokens(ids, ids, ordinary).tolist() == by_hand


def test_only_ordinary_tokens_are_masked_and_labels_are_the_originals():
    ids, segments, keys = rows()
    inputs, labels = MASKED.inputs_and_labels(ids, segments, keys)
    chosen = labels != IGNORED
    assert (labels[chosen] == ids[chosen]).all()
    assert (inputs[~chosen] == ids[~chosen]).all()
    assert (segments[chosen] > 0).all()
    assert not np.isin(ids[chosen], SPECIAL).any()
    assert not (np.isin(inputs[chosen], SPECIAL) & (inputs[chosen] != MASK)).any()


def test_eighty_ten_ten():
    ids, segments, keys = rows(4000)
    inputs, labels = MASKED.inputs_and_labels(ids, segments, keys)
    chosen = labels != IGNORED
    masked, kept = (inputs[chosen] == MASK).mean(), (inputs[chosen] == labels[chosen]).mean()
    assert masked == pytest.approx(0.8, abs=0.01)
    assert kept == pytest.approx(0.1 + 0.1 / 47, abs=0.01)  # a random id may be the original


def test_masks_follow_the_key_alone():
    ids, segments, keys = rows()
    whole = MASKED.inputs_and_labels(ids, segments, keys)
    for row in (0, 7, 399):
        alone = MASKED.inputs_and_labels(ids[row : row + 1], segments[row : row + 1], keys[row : row + 1])
        assert all((a[0] == b[row]).all() for a, b in zip(alone, whole, strict=True))
    again = MASKED.inputs_and_labels(ids, segments, hash_each(10, np.arange(len(ids))))
    assert (again[1] != whole[1]).any()


def test_masks_stay_what_they_are():
    """A run that is resumed by another version gets the masks that it would have got."""
    found = hashlib.sha256()
    for array in MASKED.inputs_and_labels(*rows()):
        found.update(array.astype("<i8").tobytes())
    assert found.hexdigest() == "68f4e3494745670755bc0932536431c1af8619ca7f85638e2635fcfe6daa1db1"


@pytest.mark.parametrize("dtype", [np.uint16, np.int64])
def test_masks_do_not_depend_on_how_many_samples_are_masked_at_once(monkeypatch, dtype):
    ids, segments, keys = rows()
    whole = MASKED.inputs_and_labels(ids, segments, keys)
    monkeypatch.setattr(objective, "POSITIONS_AT_ONCE", 7 * ids.shape[1])
    parts = MASKED.inputs_and_labels(ids.astype(dtype), segments, keys)
    assert all((a == b).all() and a.dtype == np.int64 for a, b in zip(parts, whole, strict=True))


@pytest.mark.parametrize(
    ("sample_key", "places"), [(148358, (12, 285)), (154780, (291, 404)), (158345, (304, 376))]
)  # found by trying: the upper halves of these lots are equal
def test_the_lower_of_two_lots_with_equal_upper_halves_is_chosen(sample_key, places):
    keys = np.array([sample_key, 1], np.uint64)
    lots = hash_each(hash_each(keys, np.full(2, key("choose")))[:, None], np.arange(512))[0, list(places)]
    assert lots[0] >> np.uint64(32) == lots[1] >> np.uint64(32)
    ids, segments = np.full((2, 512), SPECIAL[1]), np.ones((2, 512), np.int64)
    ids[:, list(places)] = 10
    _, labels = MASKED.inputs_and_labels(ids, segments, keys)
    assert np.flatnonzero(labels[0] != IGNORED).tolist() == [places[int(np.argmin(lots))]]
    assert (labels[1] != IGNORED).sum() == 1


def test_a_sample_of_special_tokens_has_no_loss():
    ids, segments = np.array([[1, 1, 0, 0]]), np.array([[1, 1, 0, 0]])
    _, labels = MASKED.inputs_and_labels(ids, segments, hash_each(1, np.arange(1)))
    assert (labels == IGNORED).all()


def test_causal_labels_stay_within_a_piece():
    ids = np.array([[10, 11, 12, 20, 21, 0, 0]])
    segments = np.array([[1, 1, 1, 2, 2, 0, 0]])
    inputs, labels = Causal().inputs_and_labels(ids, segments, np.zeros(1, np.uint64))
    assert labels.tolist() == [[11, 12, IGNORED, 21, IGNORED, IGNORED, IGNORED]]
    assert inputs is ids
    assert Causal().loss_tokens(np.array([5]), np.array([2]), np.array([5])).tolist() == [3]
