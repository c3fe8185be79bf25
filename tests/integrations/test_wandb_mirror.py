"""What is done to the user's run, on one that only notes what it is told."""

import sys
from types import SimpleNamespace

import pytest

from dist_epochs.integrations.wandb_mirror import LoopMirror
from dist_epochs.ledger.run_ledger import RunLedger

UNITS = ("steps", "micro_steps", "samples", "positions", "tokens", "loss_tokens")
TABLE = (
    {
        "ledger/reconciliation": {
            "columns": ["unit", "planned", "recorded", "difference", "cause"],
            "data": [[unit, None, 0, None, ""] for unit in UNITS],
            "allow_mixed_types": True,
        }
    },
    None,
    False,
)
"""The table of a ledger without a plan or a step: it joins the row that is open."""


class Run:
    def __init__(self):
        self.rows, self.summary, self.metrics, self.finished = [], {}, {}, []
        self._is_finished = False

    def define_metric(self, name, step_metric=None, step_sync=None):
        self.metrics[name] = step_metric

    def log(self, data, step=None, commit=None):
        self.rows.append((data, step, commit))

    def finish(self, exit_code=None):
        self.finished.append(exit_code)
        self._is_finished = True


@pytest.fixture
def wandb(monkeypatch):
    run = Run()
    module = SimpleNamespace(run=run, log=run.log, Table=lambda **table: table)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


@pytest.fixture
def mirror(tmp_path):
    """The mirror of a loop that is at step 3, in a directory with a ledger; and what it says."""
    RunLedger(tmp_path).close("finished")
    said = []
    made = LoopMirror(tmp_path, lambda: {"ledger/steps": 3}, said.append)
    made.said = said
    return made


def test_without_a_run_nothing_happens(mirror, monkeypatch):
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    mirror.join()
    mirror.leave()
    assert "wandb" not in sys.modules
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=None))
    mirror.join()
    mirror.leave()
    assert not mirror.said


def test_each_row_gets_the_counters_and_keeps_what_it_has(mirror, wandb):
    mirror.planned = {"ledger/planned_steps": 9}
    mirror.join()
    mirror.join()
    wandb.run.log({"loss": 1, "ledger/steps": "mine"}, step=7)
    wandb.log({"loss": 2}, commit=False)
    assert wandb.run.rows == [
        ({"loss": 1, "ledger/steps": "mine", "ledger/planned_steps": 9}, 7, None),
        ({"loss": 2, "ledger/steps": 3, "ledger/planned_steps": 9}, None, False),
    ]
    mirror.leave()
    wandb.run.log({"loss": 3})
    assert wandb.run.rows[2:] == [TABLE, ({"loss": 3}, None, None)]
    assert wandb.run.summary["ledger/steps"] == 3
    assert wandb.run.summary["ledger"]["status"] == "finished"


def test_a_run_that_is_finished_first_has_its_summary(mirror, wandb):
    mirror.join()
    wandb.run.log({"loss": 1})
    wandb.run.finish(exit_code=1)
    assert wandb.run.finished == [1]
    assert wandb.run.summary["reconciliation"] == {"agrees": None, "differences": []}
    mirror.leave()
    assert wandb.run.rows[1:] == [TABLE]


def test_a_loop_that_logs_nothing_has_one_row(mirror, wandb):
    mirror.leave()
    assert wandb.run.rows == [({"ledger/steps": 3}, None, None), TABLE]


def test_the_accelerator_s_run_is_taken_and_a_second_run_too(tmp_path, wandb):
    RunLedger(tmp_path).close("finished")
    own = Run()
    accelerator = SimpleNamespace(
        trackers=[SimpleNamespace(name="tensorboard"), SimpleNamespace(name="wandb", run=own)]
    )
    mirror = LoopMirror(tmp_path, lambda: {"ledger/steps": 3}, print, accelerator=accelerator)
    mirror.join()
    own.log({"loss": 1})
    wandb.run.log({"loss": 1})
    assert (own.rows[0][0], wandb.run.rows[0][0]) == ({"ledger/steps": 3, "loss": 1}, {"loss": 1})
    accelerator.trackers[1].run = again = Run()
    mirror.join()
    again.log({"loss": 2})
    assert again.rows[0][0] == {"ledger/steps": 3, "loss": 2}


def test_an_error_is_said_once_and_loses_no_row(tmp_path, wandb):
    RunLedger(tmp_path).close("finished")
    said = []

    def counters():
        raise ValueError("a test")

    mirror = LoopMirror(tmp_path, counters, said.append)
    mirror.join()
    wandb.log({"loss": 1})
    wandb.log({"loss": 2})
    mirror.leave()
    assert [row[0] for row in wandb.run.rows] == [{"loss": 1}, {"loss": 2}]
    assert len(said) == 1
    wandb.run.define_metric = None  # another run whose metrics cannot be declared
    wandb.run = broken = Run()
    broken.define_metric = None
    LoopMirror(tmp_path, lambda: {}, said.append).join()
    assert len(said) == 2


def test_two_ledgers_one_after_the_other(mirror, wandb, tmp_path):
    mirror.join()
    wandb.log({"loss": 1})
    mirror.leave()
    second = LoopMirror(tmp_path, lambda: {"ledger/steps": 5}, print)
    second.join()
    wandb.log({"loss": 2})
    assert [row[0]["ledger/steps"] for row in wandb.run.rows if row != TABLE] == [3, 5]
