from fractions import Fraction

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.counters import counters, planned_counters
from dist_epochs.ledger.totals import Totals


def test_what_samples_do_not_have_is_left_out_and_not_0():
    totals = Totals()
    assert counters(totals, None)["ledger/tokens"] == 0
    totals.applied.add(2, {PassKey(0, "data", 0, 0): Counts(samples=8)}, positions=0)
    assert counters(totals, Fraction(1, 4)) == {
        "ledger/steps": 1, "ledger/skipped_steps": 0, "ledger/micro_steps": 2, "ledger/samples": 8,
        "ledger/epoch": 0.25,
    }  # fmt: skip


def test_what_a_plan_does_not_know_is_left_out():
    plan = {"steps": 4, "samples": 32, "tokens": 500, "epochs": {"samples": None, "tokens": 2}}
    names = ("ledger/planned_steps", "ledger/planned_samples", "ledger/planned_tokens")
    assert planned_counters(plan) == dict(zip(names, (4, 32, 500), strict=True))
    assert planned_counters({}) == {}
