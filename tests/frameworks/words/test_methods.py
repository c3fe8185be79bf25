"""The student's and the teacher's numbers, and counts by a second way."""

import random

import pytest

from dist_epochs.errors import InputError
from dist_epochs.frameworks.words.methods import METHODS, count_updates

RUN = {"examples": 100, "epochs": 500}


@pytest.mark.parametrize(
    ("reading", "batch", "updates", "mean"),
    [
        # the student's reading: an update per batch, as frameworks count
        ("framework", 10, [500, 50_000, 5_000], [500, 500, 500]),
        # textbooks: one update an epoch
        ("textbook", 10, [500, 500, 500], [500, 5, 50]),
        # the teacher's mini-batch of 5
        ("framework", 5, [500, 50_000, 10_000], [500, 500, 500]),
        ("textbook", 5, [500, 500, 500], [500, 5, 25]),
    ],
)
def test_100_examples_and_500_epochs(reading, batch, updates, mean):
    found = [count_updates(method, reading, **RUN, batch_size=batch) for method in METHODS]
    assert [row.updates for row in found] == updates
    assert [row.mean for row in found] == mean


def test_one_example_an_update_leaves_some_out():
    stochastic = count_updates("stochastic", "textbook", **RUN, batch_size=10)
    assert stochastic.never == pytest.approx(0.0066, abs=1e-4)
    assert count_updates("stochastic", "framework", **RUN, batch_size=10).never == 0


def test_a_last_batch_may_be_smaller():
    found = count_updates("mini-batch", "framework", examples=101, epochs=3, batch_size=8)
    assert (found.per_epoch, found.updates, found.draws) == (13, 39, 303)


@pytest.mark.parametrize(("method", "batch"), [("stochastic", 1), ("mini-batch", 7)])
def test_spread_and_share_against_drawing(method, batch):
    examples, updates, draw = 40, 60, random.Random(1)
    counts = []
    for _ in range(400):
        times = [0] * examples
        for _ in range(updates):
            for example in draw.sample(range(examples), batch):
                times[example] += 1
        counts += times
    found = count_updates(method, "textbook", examples=examples, epochs=updates, batch_size=7)
    mean = sum(counts) / len(counts)
    assert mean == pytest.approx(float(found.mean))
    assert (sum((count - mean) ** 2 for count in counts) / len(counts)) ** 0.5 == pytest.approx(found.spread, rel=0.03)
    assert counts.count(0) / len(counts) == pytest.approx(found.never, abs=0.01)


@pytest.mark.parametrize(
    ("given", "message"),
    [({"examples": 0}, "examples must be at least 1"), ({"batch_size": 101}, "cannot be drawn from 100")],
)
def test_runs_that_cannot_be(given, message):
    with pytest.raises(InputError, match=message):
        count_updates("mini-batch", "textbook", **({**RUN, "batch_size": 5} | given))
