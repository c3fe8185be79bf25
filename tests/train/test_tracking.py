from pathlib import Path
from types import SimpleNamespace

from dist_epochs.train.tracking import Tracker


def test_a_segment_without_a_project_mirrors_nothing():
    """Its rows are in no tracker, even where an earlier segment had one."""
    recipe = SimpleNamespace(name="a", tracking=None)
    tracker = Tracker(SimpleNamespace(), recipe, SimpleNamespace(), folder=Path(), run_id="earlier", say=print)
    assert tracker.run_id is None
