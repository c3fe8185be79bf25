"""What launch/slurm.sbatch does, with stand-ins for Slurm's commands and torchrun.

tests/distributed/test_slurm.py runs it under Slurm.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "launch" / "slurm.sbatch"
COMMANDS = {
    "srun": """SLURM_NODEID=0 "${@: -3}" &
echo $! > task
wait $!
""",
    "scancel": """echo "scancel $*" >> calls
kill -URG "$(cat task)"
""",
    "scontrol": """[[ $1 = show ]] && printf "node-1\\nnode-2\\n" || echo "scontrol $*" >> calls
""",
    "squeue": """echo "$STATE"
""",
    "torchrun": """echo "$*" > arguments
rank &
wait $!
""",
    "rank": """stop() {
    [[ $SAVES ]] && mkdir "$out/checkpoints/step-000000020"
    echo \'{"event":"end","status":"\'"$STATUS"\'"}\' >> "$out/ledger.jsonl"
    echo \'{"event":"mirrored"}\' >> "$out/ledger.jsonl"
    exit "${CODE:-0}"
}
trap stop TERM
[[ $STATUS = stopped ]] || stop
touch started
while :; do sleep 0.05; done
""",
}

pytestmark = pytest.mark.skipif(shutil.which("pkill") is None, reason="pkill is missing (Debian: procps)")


@pytest.fixture
def job(tmp_path):
    """Run the script, and stop it where its ranks would train on; the exit code, and what it asked Slurm for."""
    places = tmp_path / "bin"
    places.mkdir()
    for name, text in COMMANDS.items():
        (places / name).write_text(f"#!/bin/bash\n{text}")
        (places / name).chmod(0o755)
    (tmp_path / "runs/a/checkpoints/step-000000010").mkdir(parents=True)

    def run(status, state="RUNNING", saves="yes", code="0", arguments=()):
        environment = {
            "PATH": f"{places}:{os.environ['PATH']}", "SLURM_JOB_ID": "77", "SLURM_JOB_NODELIST": "node-[1-2]",
            "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "8", "STATUS": status, "STATE": state, "SAVES": saves,
            "CODE": code,
        }  # fmt: skip
        script = subprocess.Popen(
            ["bash", SCRIPT, *arguments], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 60
        while status == "stopped" and not (tmp_path / "started").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if status == "stopped":
            script.send_signal(signal.SIGTERM)
        _, errors = script.communicate(timeout=60)
        calls = tmp_path / "calls"
        return script.returncode, calls.read_text().splitlines() if calls.exists() else [], errors

    return run


def test_each_node_runs_a_torchrun_that_meets_the_first(job, tmp_path):
    assert job("finished") == (0, [], "")
    assert (tmp_path / "arguments").read_text().strip() == (
        "--nnodes=2 --nproc-per-node=8 --rdzv-id=77 --rdzv-backend=c10d --rdzv-endpoint=node-1:20077 "
        "--rdzv-conf=is_host=true,read_timeout=600 -m dist_epochs.train recipe.yaml --out runs/a --resume"
    )


def test_recipe_and_run_directory_are_its_arguments(job, tmp_path):
    (tmp_path / "runs/b/checkpoints").mkdir(parents=True)
    assert job("finished", arguments=["my recipe.yaml", "runs/b"]) == (0, [], "")
    assert (tmp_path / "arguments").read_text().endswith("-m dist_epochs.train my recipe.yaml --out runs/b --resume\n")


STOP = "scancel --signal=URG 77"


def test_a_stopped_run_is_handed_on_and_requeued(job):
    assert job("stopped")[:2] == (0, [STOP, "scontrol requeue 77"])


def test_a_cancelled_job_is_not_requeued(job):
    assert job("stopped", state="COMPLETING")[:2] == (0, [STOP])


def test_a_run_that_gets_nowhere_is_not_requeued(job):
    code, calls, errors = job("stopped", saves="")
    assert (code, calls) == (0, [STOP])
    assert "not requeued: no new checkpoint since the last start" in errors


def test_an_error_is_not_requeued_and_its_code_kept(job):
    assert job("failed", code="3") == (3, [], "")


def test_the_exit_code_is_kept_where_a_signal_comes_at_the_very_end():
    """As if a signal had ended bash's wait just when the process ended by itself."""
    text = SCRIPT.read_text()
    function = text[text.index("wait_for() {") : text.index("newest_checkpoint() {")]
    late = 'wait() { builtin wait "$1"; code=$?; [[ $signalled ]] && return "$code"; signalled=yes; return 151; }'
    done = subprocess.run(["bash", "-c", f"{function}\n{late}\n(exit 3) & wait_for $!"], check=False)
    assert done.returncode == 3


def test_two_lines_are_to_be_edited():
    assert [line.split("=")[0] for line in SCRIPT.read_text().splitlines() if "# edit: " in line] == [
        "#SBATCH --nodes", "#SBATCH --gpus-per-node",
    ]  # fmt: skip


@pytest.mark.skipif(
    shutil.which("shellcheck") is None, reason="shellcheck is missing (Debian: apt-get install shellcheck)"
)
def test_shellcheck_finds_nothing():
    subprocess.run(["shellcheck", SCRIPT], check=True)
