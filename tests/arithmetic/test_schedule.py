import pytest

from dist_epochs.arithmetic.schedule import Phase, Schedule, Span
from dist_epochs.errors import InputError

SHORT = Phase(steps=3, sequence_length=128, global_batch=4)
LONG = Phase(steps=2, sequence_length=512, global_batch=2)


def test_a_length_goes_on_where_it_stopped():
    schedule = Schedule((SHORT, LONG, SHORT))
    walked = {}
    for step in range(schedule.steps):  # the oracle: walk and count
        span = schedule.span(step)
        assert span.start == walked.get(span.sequence_length, 0)
        walked[span.sequence_length] = span.stop
    assert walked == {128: 24, 512: 4}
    assert schedule.spans() == (Span(0, 128, 0, 12), Span(1, 512, 0, 4), Span(2, 128, 12, 24))
    assert (schedule.largest_batch(128), schedule.largest_batch(512)) == (4, 2)


def test_steps_outside_the_run():
    with pytest.raises(IndexError):
        Schedule((SHORT,)).span(3)


def test_a_run_has_phases():
    with pytest.raises(InputError, match="at least one phase"):
        Schedule(())
