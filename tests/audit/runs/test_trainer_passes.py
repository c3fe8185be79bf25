"""What a Trainer drew, by hand: 100 samples in steps of 4 micro-batches of 10 are 2.5 steps a pass."""

import pytest

from dist_epochs.audit.runs.trainer_passes import Passes
from dist_epochs.errors import InputError

SAMPLES_OF_TEN_STEPS = {
    "flush": 340,  # 40 + 40 + 20 three times, then 40
    "carry": 400,  # windows go on over the ends of passes
    "drop": 340,  # only its plan has two steps a pass; its loop steps the third
    "drop_last": 340,  # nothing to leave out: 100 is a whole number of micro-batches
}


@pytest.mark.parametrize(("ending", "samples"), SAMPLES_OF_TEN_STEPS.items())
def test_samples_of_ten_steps(ending, samples):
    drawn = Passes(corpus=100, batch=40, accumulation=4, ending=ending, per_device=10).samples(10)
    assert (drawn.point, drawn.holds(samples)) == (samples, True)


@pytest.mark.parametrize(("ending", "steps"), [("flush", 3), ("carry", 2), ("drop", 2), ("drop_last", 3)])
def test_steps_of_a_pass(ending, steps):
    assert Passes(corpus=100, batch=40, accumulation=4, ending=ending).per_pass == steps


def test_without_the_accumulation_every_layout_may_be_meant():
    known = Passes(corpus=100, batch=40, accumulation=4, ending="stream", per_device=10).samples(30)
    open_layout = Passes(corpus=100, batch=40, ending="stream").samples(30)
    assert known.is_exact
    assert known.point == 1480  # the window that ends the first pass takes 60 samples, as later ones do
    assert open_layout.low <= known.point <= open_layout.high
    assert not open_layout.is_exact


def test_a_batch_that_no_layout_builds_draws_nothing():
    with pytest.raises(InputError):
        Passes(corpus=100, batch=40, accumulation=3, ending="stream", per_device=10).samples(3)


def test_the_epoch_of_a_partial_pass_is_at_most_what_the_log_may_say():
    epochs = Passes(corpus=100, batch=40, accumulation=4).epochs(4)
    assert epochs.point == pytest.approx(1.4)
    assert epochs.low <= 1 + 1 / 3 <= epochs.high
