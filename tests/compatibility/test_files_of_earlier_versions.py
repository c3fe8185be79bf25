"""Stores, runs and ledgers that an earlier version wrote still open, mean the same, and can be continued.

The folder is named for the day its files were made, by the code as it was then. `run.json`, `loop.json` and `plan.json`
are what that code said of them.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MADE = Path(__file__).parent / "2026-11-27"


@pytest.fixture
def earlier(tmp_path):
    """A copy of the files, whose recipes name the copied store."""
    folder = shutil.copytree(MADE, tmp_path / "earlier")
    for path in (folder / "recipe.yaml", folder / "run/recipe.yaml", folder / "run/plan.json"):
        path.write_text(path.read_text().replace("STORE", str(folder / "store")))
    return folder


def said(*words):
    """The JSON that a command prints."""
    done = subprocess.run([sys.executable, "-m", "dist_epochs", *words, "--json"], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def of_before(now, before):
    """What is said now under the keys that there were before: keys are added, and none is taken away."""
    if isinstance(before, dict):
        return {key: of_before(now[key], value) for key, value in before.items()}
    if isinstance(before, list) and isinstance(now, list) and len(now) == len(before):
        return [of_before(here, there) for here, there in zip(now, before, strict=True)]
    return now


def test_a_store_gives_the_same_plan(earlier):
    before = json.loads((MADE / "plan.json").read_text().replace("STORE", str(earlier / "store")))
    now = said("plan", str(earlier / "recipe.yaml"))
    assert [warning["rule"] for warning in now.pop("warnings")] == [
        warning["rule"] for warning in before.pop("warnings")
    ]
    assert of_before(now, before) == before


@pytest.mark.parametrize("name", ["run", "loop"])
def test_a_ledger_means_the_same(earlier, name):
    now, before = said("ledger", str(earlier / name)), json.loads((MADE / f"{name}.json").read_text())
    assert of_before(now, before) == before


def test_a_stopped_run_is_resumed_from_its_checkpoint(earlier):
    command = [sys.executable, "-m", "dist_epochs.train", "recipe.yaml", "--out", "run", "--resume"]
    done = subprocess.run(command, cwd=earlier, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    now = said("ledger", str(earlier / "run"))
    assert [segment["status"] for segment in now["segments"]] == ["stopped", "finished"]
    assert now["segments"][1]["first_step"] == 13
    assert now["agrees"] is True
    assert now["steps"] == {"applied": 60, "skipped": 0, "replayed": 0, "unfinished": 0}
    assert now["sample_digest"] == json.loads((MADE / "run.json").read_text())["planned"]["sample_digest"]
