from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.corpus.packing import pack_block

LENGTHS = st.lists(st.integers(1, 70), max_size=60)


@given(LENGTHS, st.integers(2, 32))
def test_every_token_is_packed_once_and_nothing_overflows(lengths, size):
    samples = pack_block(lengths, size)
    tokens = sorted((piece.start + at) for sample in samples for piece in sample for at in range(piece.length))
    assert tokens == list(range(sum(lengths)))
    assert all(0 < sum(piece.length for piece in sample) <= size for sample in samples)


@given(LENGTHS, st.integers(2, 32))
def test_pieces_lie_in_their_documents_and_are_cut_only_where_they_must(lengths, size):
    starts = [sum(lengths[:at]) for at in range(len(lengths))]
    pieces = [piece for sample in pack_block(lengths, size) for piece in sample]
    for piece in pieces:
        offset = piece.start - starts[piece.document]
        assert offset % size == 0
        assert piece.length == min(size, lengths[piece.document] - offset)


@given(LENGTHS, st.integers(2, 32))
def test_best_fit_decreasing_against_a_plain_search(lengths, size):
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
