"""Runs of our own: the books as an audit."""

import json

import pytest

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.run_ledger import RunLedger

KEY = PassKey(0, "web", 10, 0)


class Step:
    def __init__(self, step):
        self.step, self.micro_batches, self.counts = step, [..., ...], {KEY: Counts(4, 30, 5, 7)}


@pytest.fixture
def book(tmp_path):
    def write(steps, planned=None, status="finished", **changes):
        ledger = RunLedger(tmp_path)
        for drawn in ledger.watch([Step(step) for step in range(steps)]):
            ledger.book(drawn, applied=True)
        ledger.close(status)
        if planned is not None:
            plan = {
                "steps": planned, "micro_steps": 2 * planned, "samples": 4 * planned, "positions": 40 * planned,
                "tokens": 30 * planned, "loss_tokens": 5 * planned, "coverage": 1,
                "fingerprint": "", "sample_digest": "0" * 32,
                "phases": [{"steps": planned, "global_batch": 4, "sequence_length": 10, "gradient_accumulation": 2}],
                "passes": [], "global_batch": {"samples": 4, "per_device": 1, "data_parallel_size": 2},
                "corpus": {"samples": {"web": {"10": 20}}, "tokens": 150}, **changes,
            }  # fmt: skip
            (tmp_path / "plan.json").write_text(json.dumps(plan))
        return tmp_path

    return write


def test_books_that_agree(ask, book):
    found = ask(book(8, planned=8), "--steps", "8", "--samples", "32", "--corpus", "20 samples", "--epochs", "1.6")
    assert (found["kind"], found["verdict"]) == ("dist-epochs", "consistent")
    assert found["by_name"]["planned samples"]["agreement"] == "exact"


def test_an_early_stop_has_its_cause(ask, tell, book):
    run = book(5, planned=8, status="stopped")
    found = ask(run)
    assert found["verdict"] == "consistent"
    assert found["by_name"]["planned steps"]["how"] == "5 recorded + 3 stopped early"
    assert "5 recorded + 3 stopped early" in tell(run)


def test_books_that_do_not_add_up(ask, book):
    found = ask(book(8, planned=8, tokens=999), code=1)
    assert (found["by_name"]["planned tokens"]["derived"], found["by_name"]["planned tokens"]["stated"]) == (
        "240",
        "999",
    )


def test_a_ledger_without_a_plan(ask, book):
    run = book(8)
    found = ask(run / "ledger.jsonl", "--samples", "32", "--tokens", "240", "--steps", "8")
    assert found["verdict"] == "consistent"
    assert ask(run, "--samples", "33", code=1)["verdict"] == "inconsistent"
    assert ask(run)["verdict"] == "underdetermined"


def test_a_partial_batch_contradicts_nothing(ask, book):
    """Samples ÷ steps is a mean: the last batch of a run may be partial."""
    run = book(8, planned=8)
    ledger = run / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace('"web",10,0,4,', '"web",10,0,3,', 1))
    (run / "plan.json").unlink()
    found = ask(run, "--global-batch", "4", "--samples", "31")
    assert found["by_name"]["samples for a step"]["derived"] == "31/8"
    assert found["verdict"] == "underdetermined"
    assert "global batch cannot be derived" in found["missing"]
