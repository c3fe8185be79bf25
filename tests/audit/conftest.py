"""Asking about a run as a user does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main

LOGS = Path(__file__).parent / "readers" / "logs"


@pytest.fixture
def ask():
    """`dist-epochs audit RUN FLAGS --json`: the object, or with exit code 2 its one error.

    The literal reading's checks are also under `by_name`, the last of a name.
    """

    def call(run, *flags, code=0):
        result = CliRunner().invoke(main, ["audit", str(run), *map(str, flags), "--json"])
        assert result.exit_code == code, result.output
        if code == 2:
            (error,) = json.loads(result.stderr)["errors"]
            return error
        data = json.loads(result.stdout)
        data["by_name"] = {check["name"]: check for check in data["readings"][0]["checks"]}
        return data

    return call


@pytest.fixture
def tell():
    """The same as text."""

    def call(run, *flags, code=0):
        result = CliRunner().invoke(main, ["audit", str(run), *map(str, flags)])
        assert result.exit_code == code, result.output
        return result.stdout + result.stderr

    return call


@pytest.fixture
def write_state(tmp_path):
    """A trainer_state.json with the keys that matter."""

    def write(folder=".", **keys):
        path = tmp_path / folder / "trainer_state.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"global_step": 1, "log_history": [], **keys}))
        return path

    return write


@pytest.fixture
def logs():
    """The folder of logs in published formats."""
    return LOGS
