"""Runs whose batch ramps, disturbed in the middle of the ramp."""

import pytest

from tests.chaos.harness import bitwise_equal, kill_after
from tests.chaos.ranks import BOOKED

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


def test_a_ramp_that_begins_with_a_new_plan(chaos):
    """`--replan` to a ramp at step 10, killed inside it; the ramp is counted from the beginning of the run."""
    run = chaos(batch={"per_device": 4, "global_batch": 4})
    run.run(2, during=kill_after(12, leash=0))
    run.overrides += ["batch={per_device: 4, global_batch: 16, ramp: {stages: {0: 4, 14 steps: 8, 18 steps: 16}}}"]
    run.expect(after=10)
    run.run(2, replan=True, during=kill_after(16, leash=0))
    phases = [(phase["steps"], phase["global_batch"]) for phase in run.result.plan["phases"]]
    assert run.run(4).codes == [0] * 4, run.segments[-1].log
    result = run.result
    assert result.adds_up
    assert f"{result.totals.applied.counts.digest:032x}" == result.plan["sample_digest"]
    assert result.totals.applied.counts.samples == sum(steps * batch for steps, batch in phases)
    taken = {step: s.samples(step) for s in run.segments for step in sorted(s.steps(BOOKED))}
    assert taken == run.expected
    assert phases == [(10, 4), (4, 4), (4, 8), (2, 16), (10, 16)]
