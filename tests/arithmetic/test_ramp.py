from fractions import Fraction

import pytest

from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.arithmetic.ramp import Ramp
from dist_epochs.errors import InputError


def megatron(start, increment, samples, global_batch):
    return Ramp.increments(
        start=start, increment=increment, over=Fraction(samples), unit=Unit.SAMPLE, global_batch=global_batch
    )


def test_megatron_s_increments():
    # GPT-3 as Megatron-LM's examples ramp it: --rampup-batch-size 16 16 5859375 --global-batch-size 1536
    ramp = megatron(16, 16, 5_859_375, 1536)
    assert len(ramp.batches) == 96
    assert (ramp.batch_at(0), ramp.batch_at(5_859_375), ramp.batch_at(10**9)) == (16, 1536, 1536)
    for consumed in (1, 61_677, 61_678, 61_679, 1_000_000, 5_859_374):
        assert ramp.batch_at(consumed) == 16 + consumed * 95 // 5_859_375 * 16


def test_levels_begin_where_they_begin():
    ramp = megatron(4, 2, 30, 10)  # three increments, every ten samples
    assert [ramp.batch_at(done) for done in range(0, 41, 5)] == [4, 4, 6, 6, 8, 8, 10, 10, 10]
    assert [ramp.next_start(done) for done in (0, 9, 10, 30)] == [10, 10, 20, None]


def test_no_rise_is_no_ramp():
    ramp = megatron(8, 8, 100, 8)
    assert (ramp.batches, ramp.batch_at(50), ramp.next_start(0)) == ((8,), 8, None)


@pytest.mark.parametrize(
    ("start", "increment", "global_batch", "message"),
    [(16, 10, 32, "Try a global batch of 26 or 36"), (64, 8, 32, "never reaches the global batch 32"),
     (1, 1, 10**6, "at most 100,000 are kept")],
)  # fmt: skip
def test_ramps_that_do_not_arrive(start, increment, global_batch, message):
    with pytest.raises(InputError, match=message):
        megatron(start, increment, 100, global_batch)


@pytest.mark.parametrize("points", [(), (10,), (0, 20, 10), (5, 10)])
def test_stages_begin_at_zero_and_go_up(points):
    with pytest.raises(InputError, match="they must begin at 0 and go up"):
        Ramp.stages(unit=Unit.STEP, levels={Fraction(point): 1 for point in points})
