import json

import pytest

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.errors import InputError
from dist_epochs.ledger.file import drawn_to_json
from dist_epochs.ledger.reconcile import read_run, reconcile
from dist_epochs.ledger.totals import Segment, Tally, Totals

FIRST, SECOND = PassKey(0, "web", 10, 0), PassKey(0, "web", 10, 1)
STEP = Counts(4, 30, 5, 7)


def whole(steps):
    """A run of `steps` steps, five to a pass."""
    tally = Tally()
    for step in range(steps):
        tally.add(2, {(FIRST if step < 5 else SECOND): STEP})
    return tally


def plan(steps=8):
    tally = whole(steps)
    return {
        "steps": steps, "micro_steps": tally.micro_steps, "samples": tally.counts.samples, "positions": tally.positions,
        "tokens": tally.counts.tokens, "loss_tokens": tally.counts.loss_tokens, "coverage": 1,
        "phases": [{"steps": steps, "global_batch": 4, "sequence_length": 10, "gradient_accumulation": 2}],
        "sample_digest": f"{tally.counts.digest:032x}", "passes": drawn_to_json(tally.passes),
        "global_batch": {"data_parallel_size": 2}, "corpus": {"samples": {"web": {"10": 20}}, "tokens": 150},
    }  # fmt: skip


def totals(applied, skipped=None, status="finished", **facts):
    segment = Segment(1, applied.steps, status, None, {"data_parallel_size": 2} | facts)
    return Totals(applied=applied, skipped=skipped or Tally(), segments=[segment])


def causes(result):
    return {(difference.unit, difference.cause, difference.amount) for difference in result.differences}


def test_a_ledger_equal_to_the_plan_agrees():
    result = reconcile(totals(whole(8)), plan())
    assert result.agrees
    assert result.adds_up
    data = result.to_json()
    assert data["epochs"] == {"samples": 1.6, "positions": pytest.approx(320 / 150), "tokens": 1.6}
    assert (data["coverage"], data["differences"]) == (1, [])
    assert data.keys() >= {
        "steps", "micro_steps", "samples", "positions", "tokens", "loss_tokens", "epochs", "coverage", "sources",
        "segments", "sample_digest", "planned", "differences", "agrees",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "cause"), [("stopped", "stopped early"), ("no end", "not finished"), ("failed", "not finished")]
)
def test_an_early_end_is_a_cause(status, cause):
    result = reconcile(totals(whole(6), status=status), plan())
    assert not result.agrees
    assert result.adds_up
    assert causes(result) == {
        ("steps", cause, 2), ("micro_steps", cause, 4), ("samples", cause, 8), ("positions", cause, 80),
        ("tokens", cause, 60), ("loss_tokens", cause, 10),
    }  # fmt: skip
    assert result.to_json()["coverage"] == 1  # the first pass was complete


def test_skipped_steps_are_a_cause():
    applied, skipped = whole(8), Tally()
    applied.steps, applied.micro_steps = 7, 14
    applied.passes[FIRST] = Counts(16, 120, 20, 28)
    applied.counts, applied.positions = Counts(28, 210, 35, 49), 280
    skipped.add(2, {FIRST: STEP})
    result = reconcile(totals(applied, skipped), plan())
    assert {cause for _, cause, _ in causes(result)} == {"skipped"}
    assert ("tokens", "skipped", 30) in causes(result)


def test_another_topology_is_a_cause_for_micro_steps_only():
    applied = whole(8)
    applied.micro_steps = 32
    assert causes(reconcile(totals(applied, data_parallel_size=1), plan())) == {
        ("micro_steps", "topology changed", -16)
    }
    assert causes(reconcile(totals(applied), plan())) == {("micro_steps", "unexplained", -16)}


def test_the_digest_finds_what_counts_do_not():
    applied = whole(8)
    applied.passes[FIRST] = Counts(20, 150, 25, 36)
    result = reconcile(totals(applied), plan())
    assert not result.adds_up
    assert [difference.unit for difference in result.differences] == ["digest of web, length 10, pass 0, phase 0"]


def test_drawing_what_was_not_planned():
    applied = whole(8)
    applied.add(2, {PassKey(0, "web", 10, 2): STEP})
    units = {difference.unit for difference in reconcile(totals(applied), plan()).differences}
    assert "samples of web, length 10, pass 2, phase 0" in units


def test_a_run_directory(tmp_path):
    with pytest.raises(InputError, match="no ledger there"):
        read_run(tmp_path)
    (tmp_path / "ledger.jsonl").write_text(
        json.dumps({"event": "segment", "from_step": 0}, separators=(",", ":")) + "\n"
    )
    assert read_run(tmp_path).agrees is None
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(InputError, match=r"plan\.json:1: damaged"):
        read_run(tmp_path)
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(InputError, match="not a plan"):
        read_run(tmp_path)


def test_an_early_end_does_not_excuse_the_steps_that_were_taken():
    applied = whole(6)
    applied.counts, applied.positions = Counts(23, 179, 30, 42), 230  # one sample is missing
    result = reconcile(totals(applied, status="stopped"), plan())
    assert not result.adds_up
    assert {unit for unit, cause, _ in causes(result) if cause == "unexplained"} == {"samples", "positions"}


def test_a_finished_run_has_taken_every_step():
    assert not reconcile(totals(whole(7), status="finished"), plan()).adds_up
