from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.corpus.packing import packing, packing_1
from dist_epochs.corpus.packing.packing_1 import Piece
from dist_epochs.corpus.stores.blocks import cut_by_tokens
from dist_epochs.corpus.streaming.objective import Masked
from dist_epochs.runtime.mapped_files import MappedFiles

LENGTHS = st.lists(st.integers(1, 70), max_size=60)


def packed_now(lengths, size):
    """The samples as lists of pieces."""
    if not lengths:
        return []
    packed = packing.pack_block(np.array(lengths), size)
    ends = np.cumsum(lengths)
    found = [
        Piece(int(np.searchsorted(ends, start, side="right")), start, length)
        for start, length in zip(packed.starts.tolist(), packed.lengths.tolist(), strict=True)
    ]
    cuts = packed.first_piece.tolist()
    assert (cuts[0], cuts[-1], packed.samples) == (0, len(found), len(cuts) - 1)
    return [found[a:b] for a, b in pairwise(cuts)]


FORMATS = pytest.mark.parametrize("pack_block", [packing_1.pack_block, packed_now], ids=["1", "2"])


@FORMATS
@given(LENGTHS, st.integers(2, 32))
def test_every_token_is_packed_once_and_nothing_overflows(pack_block, lengths, size):
    samples = pack_block(lengths, size)
    tokens = sorted((piece.start + at) for sample in samples for piece in sample for at in range(piece.length))
    assert tokens == list(range(sum(lengths)))
    assert all(0 < sum(piece.length for piece in sample) <= size for sample in samples)


@FORMATS
@given(LENGTHS, st.integers(2, 32))
def test_pieces_lie_in_their_documents_and_are_cut_only_where_they_must(pack_block, lengths, size):
    starts = [sum(lengths[:at]) for at in range(len(lengths))]
    pieces = [piece for sample in pack_block(lengths, size) for piece in sample]
    for piece in pieces:
        offset = piece.start - starts[piece.document]
        assert offset % size == 0
        assert piece.length == min(size, lengths[piece.document] - offset)


@FORMATS
@given(LENGTHS, st.integers(2, 32))
def test_best_fit_decreasing_against_a_plain_search(pack_block, lengths, size):
    samples: list[list[int]] = []
    pieces = sorted((min(size, n - at) for n in lengths for at in range(0, n, size)), reverse=True)
    for piece in pieces:
        fitting = [sample for sample in samples if sum(sample) + piece <= size]
        if fitting:
            max(fitting, key=sum).append(piece)
        else:
            samples.append([piece])
    packed = [sum(piece.length for piece in sample) for sample in pack_block(lengths, size)]
    assert sorted(packed) == sorted(map(sum, samples))  # equally full samples may be taken in any order


@given(st.lists(st.integers(1, 9), min_size=1, max_size=80), st.integers(9, 40))
def test_full_samples_only_ever_make_fewer(lengths, size):
    best_fit = packed_now(lengths, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "MANY_SAMPLES", 1)
        samples = packed_now(lengths, size)
    assert len(samples) <= len(best_fit)
    tokens = sorted((piece.start + at) for sample in samples for piece in sample for at in range(piece.length))
    assert tokens == list(range(sum(lengths)))
    assert all(0 < sum(piece.length for piece in sample) <= size for sample in samples)


def test_documents_of_a_few_words_leave_little_padding():
    draw = np.random.default_rng(1)
    lengths = 10 + draw.poisson(6, 60_000)
    samples = packing.pack_block(lengths, 512).samples
    assert 1 - lengths.sum() / samples / 512 < 0.003
    assert 1 - lengths.sum() / (packing._place(-np.sort(-lengths), 512, False).max() + 1) / 512 > 0.006


@given(st.lists(st.integers(1, 70), min_size=1, max_size=60), st.integers(1, 200))
def test_blocks_are_even_and_hold_every_document(lengths, most):
    cuts = cut_by_tokens(np.array(lengths), most)
    assert (cuts[0], cuts[-1]) == (0, len(lengths))
    assert (np.diff(cuts) > 0).all()
    blocks = -(-sum(lengths) // most)
    assert len(cuts) - 1 <= blocks
    tokens = np.add.reduceat(lengths, cuts[:-1])
    assert tokens.max() <= sum(lengths) / blocks + max(lengths)


def test_pieces_that_are_counted_are_given_back_as_tokens_are(store, monkeypatch):
    read = []
    monkeypatch.setattr(MappedFiles, "used", lambda self, values: read.append(values))
    source = store.sources()[0]
    half = Masked(Fraction(1, 2), mask_id=4, special_ids=np.zeros(1, np.int64), ordinary_ids=np.ones(1, np.int64))
    assert list(source.packing(16).sums(half))
    assert sum(read) == source.packing_counts(16)["pieces"]
