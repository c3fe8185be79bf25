"""launch/slurm.sbatch under a real Slurm: `python -m pytest -m slurm`."""

import os
import sys
import time
from pathlib import Path

import pytest

from dist_epochs.ledger.reconcile import read_run
from dist_epochs.render.ledger import ledger_text
from tests.distributed.slurm import free_ports, running_slurm, why_not
from tests.wandb_files import check_rows, counters_by_segment, offline_files

ROOT = Path(__file__).parent.parent.parent
REASON = why_not()
pytestmark = [pytest.mark.slurm, pytest.mark.skipif(REASON is not None, reason=str(REASON)), pytest.mark.timeout(600)]
OTHERS = ("WANDB", "ACCELERATE", "RANK", "WORLD_SIZE", "LOCAL_RANK", "OMP", "MASTER", "SLURM", "TORCHELASTIC")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(OTHERS)]:
            patch.delenv(name)
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("PYTHONPATH", str(ROOT))
        with running_slurm(tmp_path_factory.mktemp("slurm")) as running:
            yield running


@pytest.fixture
def submit(slurm, tmp_path, store, write_recipe):
    """Edit launch/slurm.sbatch as its user would, on nodes without GPUs whose names nobody resolves; submit it."""

    def edited_and_submitted(**sections):
        write_recipe(store.path, **sections)
        text = (ROOT / "launch" / "slurm.sbatch").read_text()
        lines = [line for line in text.splitlines() if not line.startswith("#SBATCH --gpus-per-node=8 ")]
        at = next(index for index, line in enumerate(lines) if line.startswith("export recipe="))
        lines[at] = "export recipe=recipe.yaml out=run"
        script = tmp_path / "slurm.sbatch"
        script.write_text("\n".join(lines) + "\n")
        (port,) = free_ports(1)  # the first job of every test has the number 1
        here = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
        return slurm.submit(script, ACCELERATE_USE_CPU="true", **here)

    return edited_and_submitted


def wait_for_steps(slurm, job, ledger, steps):
    deadline = time.monotonic() + 120
    while not ledger.exists() or ledger.read_bytes().count(b'"applied"') < steps:
        assert time.monotonic() < deadline, output(ledger)
        assert slurm.job(job)["JobState"] in ("PENDING", "RUNNING", "COMPLETING", "REQUEUED"), output(ledger)
        time.sleep(0.1)


def output(ledger):
    return "".join(path.read_text() for path in ledger.parent.parent.glob("*.log"))


def test_a_job_is_stopped_requeued_and_finished(slurm, submit, tmp_path):
    """Once by the signal before its time limit, which the script answers with a requeue; once by an administrator."""
    run = tmp_path / "run"
    ledger = run / "ledger.jsonl"
    phases = [{"steps": 500, "sequence_length": 16}, {"steps": 100, "sequence_length": 32}]
    job = submit(phases=phases, tracking={"wandb": "project"}, hardware={"zero_stage": 3})
    wait_for_steps(slurm, job, ledger, 20)
    slurm.call("scancel", "--batch", "--signal=TERM", job)  # what `--signal=B:TERM@300` does
    first = ledger.read_bytes().count(b'"applied"')
    wait_for_steps(slurm, job, ledger, first + 100)
    slurm.call("scontrol", "requeue", job)
    over = slurm.wait_until_over(job)
    assert (over["JobState"], over["ExitCode"]) == ("COMPLETED", "0:0"), output(ledger)
    assert over["Restarts"] == "2"

    result = read_run(run)
    assert result.agrees, output(ledger)
    segments = result.totals.segments
    assert [segment.status for segment in segments] == ["stopped", "stopped", "finished"], output(ledger)
    assert [segment.facts.get("slurm_restarts", 0) for segment in segments] == [0, 1, 2]
    assert {segment.facts["torchrun_restarts"] for segment in segments} == {0}
    assert {segment.facts["world_size"] for segment in segments} == {2}
    assert ", 2 × cpu, restart 2 by Slurm, finished" in ledger_text(result, str(run))
    assert result.totals.replayed.steps == 0
    assert "sharded (FSDP2)" in output(ledger)
    assert "resume with: the same job script\n" in output(ledger)

    names = [path.name for path in run.glob("wandb/offline-run-*/run-*.wandb")]
    assert len(names) == 3
    assert {f"run-{segment.facts['wandb']}.wandb" for segment in segments} == set(names)
    rows = [row for file in offline_files(run) for row in file.rows]
    trained = [row["ledger/steps"] for row in rows if "train/loss" in row]
    assert sorted(set(trained)) == list(range(1, 601))
    planned = {f"planned_{unit}": result.plan[unit] for unit in ("steps", "samples", "tokens")}
    assert check_rows(rows, counters_by_segment(ledger)[-1], **planned)


def test_an_error_and_a_cancelled_job_are_not_requeued(slurm, submit, tmp_path):
    job = submit(batch={"global_batch": 7, "per_device": 3})
    over = slurm.wait_until_over(job)
    assert (over["JobState"], over["Restarts"]) == ("FAILED", "0")
    log = (tmp_path / f"dist-epochs-{job}.log").read_text()
    assert "global batch 7 cannot be built on 2 devices" in log

    ledger = tmp_path / "run" / "ledger.jsonl"
    job = submit(phases=[{"steps": 100_000, "sequence_length": 16}])
    wait_for_steps(slurm, job, ledger, 20)
    slurm.call("scancel", job)
    over = slurm.wait_until_over(job)
    assert (over["JobState"], over["Restarts"]) == ("CANCELLED", "0")
    assert read_run(tmp_path / "run").totals.segments[0].status == "stopped"
