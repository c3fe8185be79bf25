"""Multiples of either of two numbers, against counting them."""

from itertools import count, islice

from hypothesis import given, settings
from hypothesis import strategies as st

from dist_epochs.arithmetic.multiples import nth_multiple


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 12))
def test_counted_one_by_one(nth, one, other):
    marks = (at for at in count(1) if at % one == 0 or at % other == 0)
    assert nth_multiple(nth, one, other) == next(islice(marks, nth - 1, None))


def test_large_ones_are_instant():
    assert nth_multiple(3 * 10**30, 3 * 10**9, 10**9) == 3 * 10**39
