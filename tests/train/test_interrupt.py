"""Ctrl-C in a run of one process: where it was saved, how to resume it, and no traceback."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dist_epochs.ledger.reconcile import read_run

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 240
"""Seconds for a machine that is busy with other things."""


@pytest.fixture
def start(tmp_path):
    def program(arguments):
        clean = {n: v for n, v in os.environ.items() if not n.startswith(("ACCELERATE", "RANK", "WORLD", "LOCAL"))}
        return subprocess.Popen(
            [sys.executable, "-m", "dist_epochs.train", *map(str, arguments)], cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    return program


def wait_for(happened, process):
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def test_it_says_where_it_was_saved_and_how_it_goes_on(tmp_path, store, write_recipe, start):
    recipe, ledger = write_recipe(store.path, log_every=50), tmp_path / "run" / "ledger.jsonl"
    arguments = [recipe, "--out", "run", "--set", "phases.0={steps: 300, sequence_length: 16}"]
    process = start(arguments)
    wait_for(lambda: ledger.exists() and ledger.read_bytes().count(b'"applied"') >= 5, process)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "Traceback" not in output + errors
    last = read_run(tmp_path / "run").totals.last_step
    saved = (
        f"stopped after step {last} (SIGINT). The checkpoint after step {last} is in run/checkpoints/step-{last:09d}; "
    )
    again = shlex.join(["python", "-m", "dist_epochs.train", *map(str, arguments), "--resume"])
    assert output.splitlines()[-1] == f"{saved}resume with: {again}"
    process = start(shlex.split(again)[3:])
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert f"resumes after step {last} (step-{last:09d})" in output
    assert read_run(tmp_path / "run").agrees


def test_before_the_first_step_there_is_nothing_to_save(tmp_path, start):
    os.mkfifo(tmp_path / "waits")  # the program waits in here for its recipe, whatever the machine does
    process = start([tmp_path / "waits", "--out", "run"])
    writing = (tmp_path / "waits").open("w")  # opened once the program reads
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=PATIENCE)
    writing.close()
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in output + errors
    assert errors.splitlines()[-1].startswith(
        "stopped before or after training, so there was nothing to save. Resume with: "
    )
    assert not (tmp_path / "run").exists()
