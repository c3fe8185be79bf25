import math

from dist_epochs.ledger.reading import read_totals
from dist_epochs.ledger.rows import note_mirrored, unmirrored_rows
from dist_epochs.ledger.run_ledger import RunLedger
from tests.ledger.test_run_ledger import take, window


def run(path, first, last, totals=None):
    """One segment that logs a row at every step, and is killed."""
    ledger = RunLedger(path.parent, totals=totals)
    for step in range(first, last + 1):
        take(ledger, [window(step - 1)])
        ledger.metrics(step, {"loss": float(step), "ledger/steps": step})
    return ledger


def steps(path, up_to):
    return [step for step, _ in unmirrored_rows(path, up_to=up_to)]


def test_rows_that_stand_in_order(tmp_path):
    path = tmp_path / "ledger.jsonl"
    run(path, 1, 6)
    assert steps(path, 4) == [1, 2, 3, 4]
    run(path, 5, 7, read_totals(path, up_to=4))
    assert steps(path, 6) == [1, 2, 3, 4, 5, 6]
    assert read_totals(path).replayed.steps == 2


def test_what_the_mirror_is_known_to_hold_is_left_out(tmp_path):
    path = tmp_path / "ledger.jsonl"
    run(path, 1, 3).close("stopped")
    note_mirrored(path)
    assert steps(path, 3) == []
    run(path, 4, 6, read_totals(path, up_to=3))
    assert steps(path, 5) == [4, 5]
    assert read_totals(path).segments[0].status == "stopped"


def test_a_loss_that_is_no_number_stays_one(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger = run(path, 1, 1)
    ledger.metrics(1, {"loss": math.nan, "norm": math.inf})
    assert b"NaN" not in path.read_bytes()
    (_, values) = unmirrored_rows(path, up_to=1)[-1]
    assert math.isnan(values["loss"])
    assert values["norm"] == math.inf
