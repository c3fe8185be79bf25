"""The user's own wandb run: each of its rows has the counters that the ledger had at that moment, and nothing else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dist_epochs.ledger.counters import AXES, NAMES
from dist_epochs.ledger.reconcile import read_run
from tests.wandb_files import check_rows, counters_by_segment, offline_files

PROGRAM = Path(__file__).with_name("wandb_loops.py")
STEPS, SAVED, KILLED, SIZE = 12, 7, 9, 10


def run_loop(kind, folder, from_step=0, kill_after=0):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "ACCELERATE"))}
    return subprocess.run(
        [sys.executable, str(PROGRAM), kind, str(folder), str(from_step), str(kill_after)], cwd=folder, text=True,
        capture_output=True, check=False,
        env=environment | {"HOME": str(folder), "WANDB_MODE": "offline", "WANDB_SILENT": "true"},
    )  # fmt: skip


def plan_into(folder):
    """The plan of the loop, as `dist-epochs plan` writes it."""
    folder.mkdir()
    batch = "--per-device 2 --gradient-accumulation 2 --devices 1 --sequence-length 8 --last-window flush"
    command = [sys.executable, "-m", "dist_epochs", "plan", "--corpus", f"{SIZE} samples", "--epochs", "4"]
    shown = subprocess.run([*command, *batch.split(), "--json"], capture_output=True, text=True, check=True).stdout
    (folder / "plan.json").write_text(shown)


@pytest.mark.parametrize("kind", ["plain", pytest.param("accelerated", marks=pytest.mark.campaign), "trainer"])
def test_every_row_has_the_counters_of_its_moment_after_a_kill_too(kind, tmp_path):
    """Killed after step 9 and started again from step 7: the rows of both files, one by one, and the summary."""
    planned = {"planned_steps": STEPS, "planned_samples": 4 * SIZE, "planned_epoch": 4}
    if kind == "plain":  # the HF Trainer's callback knows its plan; a loop has one if it is put there
        plan_into(tmp_path / "run")
    if kind == "accelerated":
        planned = {}
    assert run_loop(kind, tmp_path, kill_after=KILLED).returncode == -signal.SIGKILL
    again = run_loop(kind, tmp_path, from_step=SAVED)
    assert again.returncode == 0, again.stderr
    before, after = offline_files(tmp_path)
    held = counters_by_segment(tmp_path / "run" / "ledger.jsonl")
    assert len(held) == 2
    steps = check_rows(before.rows, held[0], size=SIZE, **planned)
    assert steps == sorted(steps)  # a kill takes wandb's last seconds with it
    steps = check_rows(after.rows, held[1], size=SIZE, **planned)
    stepped = [row.get("step", row.get("train/global_step")) for row in after.rows]
    assert sorted(set(stepped)) == list(range(SAVED + 1, STEPS + 1))
    if kind == "plain":  # a loop that accumulates by hand may also be one that fetches ahead, until its second step
        assert set(steps[:2]) <= {SAVED, SAVED + 1}
        steps, stepped = steps[2:], stepped[2:]
    assert steps == stepped  # no row without counters, and none with those of another step
    assert after.axes.items() >= dict.fromkeys(AXES).items()
    assert all(after.axes[name] == AXES[0] for name in NAMES if name not in AXES)
    result = read_run(tmp_path / "run")
    (table,) = after.tables  # the killed program had come to no end
    assert not before.tables
    assert {row[0]: row[2] for row in table["data"]}["samples"] == 4 * SIZE
    loss = "train/loss" if kind == "trainer" else "loss"
    assert [row["over_epochs/" + loss] for row in after.rows if loss in row] == [
        row[loss] for row in after.rows if loss in row
    ]
    assert after.axes["over_tokens/" + loss] == "ledger/tokens"
    summary = after.summary
    assert summary["ledger/steps"] == summary["ledger"]["steps"]["applied"] == STEPS
    assert summary["ledger"]["samples"] == result.totals.applied.counts.samples == 4 * SIZE
    assert summary["ledger"]["tokens"] == result.totals.applied.counts.tokens
    assert summary["ledger"]["steps"]["replayed"] == KILLED - SAVED
    assert summary["reconciliation"] == {"agrees": True if kind == "plain" else None, "differences": []}
    assert not planned.keys() - {name.removeprefix("ledger/") for name in summary}
