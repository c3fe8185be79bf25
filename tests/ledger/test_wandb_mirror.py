"""What goes to wandb, on a run that only notes what it is told."""

import pytest

from dist_epochs.ledger.differences import Difference
from dist_epochs.ledger.reconcile import Reconciliation
from dist_epochs.ledger.totals import Segment, Tally, Totals
from dist_epochs.ledger.wandb_mirror import WandbMirror

COUNTERS = {"ledger/steps": 2, "ledger/tokens": 20, "ledger/epoch": 0.5}


class Run:
    def __init__(self):
        self.rows, self.summary, self.axes = [], {}, {}

    def define_metric(self, name, step_metric=None, step_sync=None):
        self.axes[name] = step_metric

    def log(self, row, **others):
        self.rows.append((row, others))


@pytest.fixture
def run():
    return Run()


@pytest.fixture
def mirror(run):
    return WandbMirror(run, {"ledger/planned_steps": 9}, lambda **table: table)


@pytest.mark.parametrize(
    "name",
    ["loss", "train/loss", "evaluation/loss", "eval_loss", "val/aux_loss", "train_loss_step", "loss_epoch", "Loss/val",
     "lm loss"],
)  # fmt: skip
def test_a_loss_is_logged_once_more_over_tokens_and_over_epochs(mirror, run, name):
    row = mirror.row(COUNTERS, {name: 1.5, "learning_rate": 0.1})
    curves = {f"over_tokens/{name}": 1.5, f"over_epochs/{name}": 1.5}
    assert row == COUNTERS | {"ledger/planned_steps": 9, "learning_rate": 0.1, name: 1.5} | curves
    assert run.axes[f"over_tokens/{name}"] == "ledger/tokens"
    assert run.axes[f"over_epochs/{name}"] == "ledger/epoch"


@pytest.mark.parametrize("name", ["loss_scale", "ledger/loss_tokens", "lossless", "train/loss_scale", "glossary"])
def test_what_is_no_loss_is_logged_once(mirror, run, name):
    assert mirror.row(COUNTERS, {name: 1.5}).keys() == COUNTERS.keys() | {"ledger/planned_steps", name}
    assert not any(axis.startswith("over_") for axis in run.axes)


def test_a_loss_that_is_no_number_or_has_no_axis_is_logged_once(mirror):
    assert "over_tokens/loss" not in mirror.row(COUNTERS, {"loss": {"a": 1}})
    images = {"ledger/steps": 2, "ledger/epoch": 0.5}  # these have no tokens
    assert "over_tokens/loss" not in (row := mirror.row(images, {"loss": 1.5}))
    assert row["over_epochs/loss"] == 1.5


def test_the_loop_keeps_what_it_logs_by_the_same_name(mirror, run):
    assert mirror.row(COUNTERS, {"loss": 1, "over_tokens/loss": 2})["over_tokens/loss"] == 2
    mirror.log(COUNTERS | {"train/loss": 3})
    assert run.rows == [(mirror.row(COUNTERS, {"train/loss": 3}), {})]


def test_the_reconciliation_is_a_table_that_takes_no_step_of_wandb_s(mirror, run):
    plan = {
        "steps": 9,
        "micro_steps": 9,
        "samples": 18,
        "positions": None,
        "tokens": 0,
        "loss_tokens": 0,
        "passes": [],
        "phases": [],
        "sample_digest": "00",
    }
    segment = Segment(first_step=1, last_step=8, status="stopped", reason=None, facts={})
    skipped = Difference(unit="steps", planned=9, recorded=8, cause="skipped", amount=1)
    digest = Difference(unit="digest of a", planned="00", recorded="ff", cause="unexplained", amount=None)
    totals = Totals(applied=Tally(steps=8, micro_steps=9), segments=[segment])
    result = Reconciliation(totals=totals, plan=plan, differences=(skipped, digest))
    mirror.summarize(result, COUNTERS)
    assert run.summary["reconciliation"]["agrees"] is False
    ((row, others),) = run.rows
    assert others == {"commit": False}
    table = row["ledger/reconciliation"]
    rows = [dict(zip(table["columns"], cells, strict=True)) for cells in table["data"]]
    found = {each["unit"]: (each["planned"], each["recorded"], each["difference"], each["cause"]) for each in rows}
    assert len(found) == len(rows) == 7
    assert found["steps"] == (9, 8, 1, "skipped")
    assert found["micro_steps"] == (9, 9, 0, "")
    assert found["positions"] == (None, 0, None, "")
    assert found["digest of a"] == ("00", "ff", None, "unexplained")
