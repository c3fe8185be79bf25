import pytest
from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.arithmetic.layout import Layout
from dist_epochs.arithmetic.schedule import Phase, Schedule
from dist_epochs.errors import InputError
from dist_epochs.plan.history import BEFORE, History, history_of, history_to_json, read_history

PHASES = st.lists(
    st.builds(
        Phase, steps=st.integers(1, 9), sequence_length=st.sampled_from([16, 32]), global_batch=st.sampled_from([4, 6,
            12])
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip


def layout(phases):
    return Layout(phases=tuple(phases), stretches=tuple(range(len(phases))), excesses=())


def plan(phases, history=None):
    return {
        "phases": [
            {"steps": p.steps, "sequence_length": p.sequence_length, "global_batch": p.global_batch} for p in phases
        ],
        "history": history and history_to_json(history),
    }


@given(PHASES, st.data())
def test_the_same_recipe_from_any_step_on_draws_the_same(phases, data):
    whole = Schedule(phases)
    step = data.draw(st.integers(0, whole.steps))
    history = history_of(plan(phases), step)
    followed = history.followed_by(layout(phases))
    again = Schedule(followed.phases)
    assert (again.steps, history.steps) == (whole.steps, step)
    for at in range(whole.steps):
        before, now = whole.span(at), again.span(at)
        assert (before.sequence_length, before.start, before.stop) == (now.sequence_length, now.start, now.stop)
    assert followed.stretches.count(BEFORE) == len(history.phases)


@given(PHASES, PHASES, PHASES, st.data())
def test_cursors_go_on_through_two_changes(first, second, third, data):
    """Every length's draws follow each other without a gap, whatever the plans; lanes stay those of the first."""
    history = None
    done = 0
    for phases in (first, second, third):
        made = layout(phases) if history is None else None
        if history is not None:
            if sum(p.steps for p in phases) < done:
                with pytest.raises(InputError, match="are taken already"):
                    history.followed_by(layout(phases))
                return
            made = history.followed_by(layout(phases))
        schedule = Schedule(made.phases)
        drawn = {}
        for at in range(schedule.steps):
            span = schedule.span(at)
            assert span.start == drawn.get(span.sequence_length, 0)
            drawn[span.sequence_length] = span.stop
        done = data.draw(st.integers(done, schedule.steps))
        lanes = dict(history.lanes) if history else {}
        history = history_of(plan(made.phases, history), done)
        assert history.lanes.items() >= lanes.items()
        assert read_history(plan(made.phases, history)) == history


def test_no_history():
    assert read_history({}) is None
    assert History(phases=(), lanes={}).steps == 0
