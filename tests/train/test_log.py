"""A row is written one step late, with the counters of its own step."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.run_ledger import RunLedger
from dist_epochs.train.checkpoints import NotFinite
from dist_epochs.train.log import Log
from dist_epochs.train.throughput import Throughput
from dist_epochs.train.times import StepTimes

PLAN = {"steps": 4, "corpus": {"samples": {"web": {"16": 20}}, "tokens": 300}}


class Tracker:
    def __init__(self):
        self.rows = []

    def log(self, values):
        self.rows.append(dict(values))


UNPRICED = SimpleNamespace(cost=SimpleNamespace(speed=None, flops_per_token=None, memory=None))


@pytest.fixture
def begin(tmp_path):
    def made():
        ledger, tracker, cpu = RunLedger(tmp_path), Tracker(), torch.device("cpu")
        throughput = Throughput(StepTimes(cpu, {}), UNPRICED, architecture=None, peak=None, device=cpu)
        return ledger, tracker, Log(ledger, tracker, PLAN, throughput, shown=False)

    return made


def steps(ledger, log, losses, applied=lambda step: True):
    """A loop that logs every step."""
    counts = {PassKey(0, "web", 16, 0): Counts(4, 60, 9)}
    windows = (SimpleNamespace(step=step, micro_batches=[None], counts=counts) for step in range(len(losses)))
    for drawn in ledger.watch(windows):
        ledger.book(drawn, applied=applied(drawn.step))
        log._throughput.count(drawn.passes, applied=applied(drawn.step))
        log.settle()
        loss = torch.tensor(losses[drawn.step - 1])
        log.row(drawn.step, loss=loss, norm=None, rate=0.5, applied=applied(drawn.step))
        log.advance()
        yield drawn.step


def test_a_row_is_written_after_the_next_step_with_its_own_counters(begin):
    ledger, tracker, log = begin()
    for step in steps(ledger, log, [3.0, 2.0, 1.0]):
        assert [row["ledger/steps"] for row in tracker.rows] == list(range(1, step))
    assert log.close() == "loss 3.000 → 1.000"
    assert [(row["ledger/steps"], row["ledger/epoch"], row["train/loss"]) for row in tracker.rows] == [
        (1, 0.2, 3.0),
        (2, 0.4, 2.0),
        (3, 0.6, 1.0),
    ]
    assert all(row["rate/steps_per_second"] > 0 and row["train/learning_rate"] == 0.5 for row in tracker.rows)


def test_the_ledger_has_what_the_tracker_has(begin, tmp_path):
    ledger, tracker, log = begin()
    list(steps(ledger, log, [3.0, 2.0]))
    log.settle()
    log.evaluated(2, 2.5)
    assert log.close() == "loss 3.000 → 2.000, held-out loss 2.500 → 2.500"
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    rows = [(line["step"], line["values"]) for line in lines if line["event"] == "metrics"]
    assert rows == list(zip([1, 2, 2], tracker.rows, strict=True))
    assert tracker.rows[-1].keys() == {"evaluation/loss", *(name for name in tracker.rows[0] if "ledger/" in name)}


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_written_and_raised(begin, loss):
    ledger, tracker, log = begin()
    with pytest.raises(NotFinite, match=f"the loss is {loss} at step 2"):
        list(steps(ledger, log, [3.0, loss, 1.0]))
    assert len(tracker.rows) == 2
    log.settle()  # nothing waits any more
    assert len(tracker.rows) == 2


def test_a_skipped_step_may_have_any_loss(begin):
    ledger, tracker, log = begin()
    list(steps(ledger, log, [3.0, math.nan, 1.0], applied=lambda step: step != 2))
    log.close()
    assert [row["ledger/skipped_steps"] for row in tracker.rows] == [0, 1, 1]
