from itertools import count, islice

from hypothesis import given, settings
from hypothesis import strategies as st

from dist_epochs.arithmetic.multiples import nth_multiple


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 12))
def test_nth_multiple_against_counting_one_by_one(nth, one, other):
    marks = (at for at in count(1) if at % one == 0 or at % other == 0)
    assert nth_multiple(nth, one, other) == next(islice(marks, nth - 1, None))


def test_nth_multiple_of_large_numbers_is_instant():
    assert nth_multiple(3 * 10**30, 3 * 10**9, 10**9) == 3 * 10**39
