"""Runs whose batch ramps, disturbed in the middle of the ramp."""

import pytest

from tests.chaos.harness import bitwise_equal, kill_after

pytestmark = pytest.mark.timeout(900)

RAMPS = {
    "increments over samples": {"global_batch": 12, "ramp": "4 4 80"},
    "stages in steps": {"ramp": {"stages": {"0": 4, "7 steps": 8, "14 steps": 16}}},
    "stages in tokens": {"global_batch": 16, "ramp": {"stages": {"0": 4, "600 tokens": 8, "1500 tokens": 16}}},
    "off the micro-batch": {"global_batch": 14, "ramp": {"start": 2, "increment": 3, "over": "20 steps"}},
    "of a product": {"gradient_accumulation": 3, "ramp": "4 4 80"},
}


@pytest.mark.parametrize("batch", RAMPS.values(), ids=RAMPS.keys())
def test_killed_in_the_middle_of_a_ramp(chaos, batch):
    """On changing worlds, before, at and after a change of the batch; the second phase has another length."""
    run = chaos(batch={"per_device": 4, "uneven": "allow"} | batch)
    for world, step in ((1, 8), (2, 14), (3, 22)):
        run.run(world, during=kill_after(step, leash=1))
        run.check_checkpoints()
    assert run.run(1).codes == [0], run.segments[-1].log
    run.check_finished()
    assert len({batch.samples for batch in run.plan.batches}) > 2


def test_a_ramp_goes_on_bit_by_bit(chaos):
    batch = {"per_device": 4, "global_batch": 16, "ramp": {"stages": {"0": 4, "8 steps": 8, "16 steps": 16}}}
    whole, killed = chaos("whole", batch=batch), chaos("killed", batch=batch)
    assert whole.run(2).codes == [0, 0]
    killed.run(2, during=kill_after(12))
    assert killed.run(2).codes == [0, 0]
    for run in (whole, killed):
        run.check_finished()
        assert [batch.gradient_accumulation for batch in run.plan.batches] == [1, 2, 4, 4]  # on one device
    assert bitwise_equal(killed.weights(), whole.weights())
