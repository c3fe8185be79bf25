from pathlib import Path
from types import SimpleNamespace

from dist_epochs.train.tracking import Tracker


def test_a_segment_without_a_project_mirrors_nothing():
    """Its rows are in no tracker, even where an earlier segment had one."""
    recipe = SimpleNamespace(name="a", tracking=None)
    tracker = Tracker(SimpleNamespace(), recipe, SimpleNamespace(), folder=Path(), run_id="earlier", say=print)
    assert tracker.run_id is None


class Wandb:
    """An accelerator whose tracker is a wandb run, until wandb's own process is killed."""

    def __init__(self):
        self.rows, self.is_gone, self.is_main_process = [], False, True

    def init_trackers(self, *_, **__):
        pass

    def wait_for_everyone(self):
        pass

    def get_tracker(self, *_, **__):
        return SimpleNamespace(define_metric=lambda *_, **__: None, log=self.log)

    def log(self, row):
        if self.is_gone:
            raise ConnectionResetError("Connection lost")
        self.rows.append(row)

    def end_training(self):
        self.log({})


def test_training_goes_on_where_wandb_s_process_is_gone(tmp_path, monkeypatch):
    """The ledger does not say that its rows are in wandb, so that the next segment logs them again."""
    monkeypatch.setattr("dist_epochs.train.tracking.plan_json", lambda plan: {})
    monkeypatch.setattr("dist_epochs.train.tracking.recipe_to_data", lambda recipe: {})
    wandb, said = Wandb(), []
    recipe = SimpleNamespace(name="a", tracking=SimpleNamespace(wandb="project"))
    tracker = Tracker(wandb, recipe, SimpleNamespace(), folder=tmp_path, run_id="earlier", say=said.append)
    tracker.log({"ledger/steps": 1})
    wandb.is_gone = True
    tracker.log({"ledger/steps": 2})
    tracker.log({"ledger/steps": 3})
    tracker.close()
    assert [row["ledger/steps"] for row in wandb.rows] == [1]
    assert said == ["wandb: Connection lost; the next start of this run logs the missing rows from the ledger"]
    assert not list(tmp_path.iterdir())
