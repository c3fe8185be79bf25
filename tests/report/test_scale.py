"""Axes."""

from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.report.scale import Scale, tick_texts

FINITE = st.floats(-1e15, 1e15, allow_nan=False).filter(lambda value: value == 0 or abs(value) > 1e-9)


@given(st.lists(FINITE, min_size=1, max_size=8), st.booleans())
def test_every_value_has_a_place_and_ticks_differ(values, zero):
    scale = Scale.around(*values, margin=0.05, zero=zero)
    assert scale.low < scale.high
    places = [scale.place(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(0 <= place <= 100 for place in places)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 8
    if len(ticks) > 1 and scale.high - scale.low > 1e-6 * max(abs(scale.low), abs(scale.high)):
        assert len(set(tick_texts(ticks))) == len(ticks)
        slack = (scale.high - scale.low) * 1e-6
        assert all(scale.low - slack <= tick <= scale.high + slack for tick in ticks)


def test_equal_values_stand_in_the_middle():
    assert Scale.around(4.0, 4.0).place(4.0) == 50
