"""Runs whose phases draw different sources, killed and resumed on other worlds."""

import pytest

from tests.chaos.harness import kill_after
from tests.chaos.ranks import BOOKED

pytestmark = pytest.mark.timeout(900)

PHASES = [
    {"steps": 9, "sequence_length": 16, "sources": {"web": 1}},
    {"steps": 9, "sequence_length": 16, "sources": {"web": 1, "wiki": 2}},
]


def drawn(sources):
    return {source["name"]: (source["samples"], source["tokens"], source["epochs"]) for source in sources}


def test_killed_in_the_second_phase_and_resumed_on_another_world(chaos, mixed_store):
    """Plan and ledger are one, source by source and phase by phase; web goes on where the first phase left it."""
    run = chaos(corpus={"store": str(mixed_store.path)}, phases=PHASES)
    run.run(2, during=kill_after(12))
    assert run.run(3).codes == [0] * 3, run.segments[-1].log
    run.check_finished()
    result = run.result.to_json()
    assert {difference["unit"] for difference in result["differences"]} <= {"micro_steps"}
    planned = run.result.plan
    assert drawn(result["sources"]) == drawn(planned["sources"])
    assert [drawn(phase["sources"]) for phase in result["phases"]] == [
        drawn(phase["sources"]) for phase in planned["phases"]
    ]
    samples = [{name: numbers[0] for name, numbers in drawn(phase["sources"]).items()} for phase in result["phases"]]
    assert samples == [{"web": 108}, {"web": 36, "wiki": 72}]


@pytest.mark.campaign
def test_a_new_plan_draws_other_sources(chaos, mixed_store):
    """`--replan` at step 10, in the second phase, changes what is left; what was drawn stays as it was."""
    run = chaos(corpus={"store": str(mixed_store.path)}, phases=PHASES)
    run.run(2, during=kill_after(12, leash=0))
    phases = [PHASES[0], {**PHASES[1], "steps": 1}, {"steps": 14, "sequence_length": 16, "sources": {"wiki": 1}}]
    run.overrides += [f"phases={phases}".replace("'", "")]
    run.expect(after=10)
    run.run(3, replan=True, during=kill_after(17, leash=0))
    assert run.run(1).codes == [0], run.segments[-1].log
    result = run.result
    assert result.adds_up
    assert f"{result.totals.applied.counts.digest:032x}" == result.plan["sample_digest"]
    taken = {step: s.samples(step) for s in run.segments for step in sorted(s.steps(BOOKED))}
    assert taken == run.expected
    assert drawn(result.sources()) == drawn(result.plan["sources"])
    assert result.plan["history"]["mixtures"] == [{"web": 1}, {"web": 1, "wiki": 2}]
    weights = [{s["name"]: s["weight"] for s in phase["sources"]} for phase in result.plan["phases"]]
    assert weights == [{"web": 1}, {"web": 1, "wiki": 2}, {"wiki": 1}]
