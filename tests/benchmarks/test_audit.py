"""What an audit costs beside reading the JSON: `python -m pytest -m benchmark -s tests/benchmarks/test_audit.py`."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys

import pytest

pytestmark = pytest.mark.benchmark

ROWS, PAIRS = 1_000_000, 5
MOST_TIMES_THE_TIME, MOST_TIMES_THE_MEMORY = 3, 2

LOAD = "import json, sys; json.load(open(sys.argv[1]))"
AUDIT = """import sys
from pathlib import Path
from dist_epochs.audit.detect.folder import read_finished_run
from dist_epochs.audit.runs.claims import read_claims
from dist_epochs.audit.runs.run_audit import audit_run
audit_run(read_finished_run(Path(sys.argv[1])), read_claims({}))
"""
COST = """
import resource
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


def cost(code, path):
    """CPU seconds of a process and its largest memory in MiB."""
    command = [sys.executable, "-c", code + COST, str(path)]
    seconds, memory = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), float(memory)


def test_a_state_of_a_million_rows(tmp_path):
    draw = random.Random(1)
    log = [
        {
            "epoch": 3 * step / ROWS, "grad_norm": draw.random(), "learning_rate": 1e-4 * draw.random(),
            "loss": draw.random(), "step": step,
        }
        for step in range(1, ROWS + 1)
    ]  # fmt: skip
    told = {"max_steps": ROWS, "num_train_epochs": 3, "train_batch_size": 8}
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"epoch": 3.0, "global_step": ROWS, "log_history": log, **told}, indent=2))
    pairs = [(cost(LOAD, path), cost(AUDIT, path)) for _ in range(PAIRS)]
    load, audit = ([statistics.median(pair[side][at] for pair in pairs) for at in (0, 1)] for side in (0, 1))
    times, memory = (statistics.median(after[at] / before[at] for before, after in pairs) for at in (0, 1))
    print(
        f"\na state of {ROWS:,} rows ({path.stat().st_size / 2**20:.0f} MiB), whole processes: read and audited in "
        f"{audit[0]:.2f} CPU seconds and {audit[1]:.0f} MiB, json.load {load[0]:.2f} s and {load[1]:.0f} MiB: "
        f"{times:.2f} times the time, {memory:.2f} times the memory (medians of {PAIRS} pairs)"
    )
    assert times <= MOST_TIMES_THE_TIME
    assert memory <= MOST_TIMES_THE_MEMORY


MOST_MEGABYTES_OF_A_LOG, BYTES_OF_A_LOG = 100, 10**9
KINDS_OF_LINES = {
    "megatron": (
        " iteration {0:8d}/ 9000000 | consumed samples: {1:12d} | elapsed time per iteration (ms): 1000.0 | "
        "learning rate: 1.0E-04 | global batch size:    64 | lm loss: 2.0E+00 | "
        "grad norm: 1.0 | number of skipped iterations:   0 |\n"
    ),
    "torchtitan": (
        "[rank0]:[titan] 2025-11-25 19:45:01,441 - root - INFO - step: {0}  loss:  8.0277  grad_norm:  1.4604  "
        "memory:  1.21GiB(0.86%)  tps: 5,756  tflops: 0.41  mfu: 0.04%\n"
    ),
}


@pytest.mark.parametrize("kind", list(KINDS_OF_LINES))
def test_a_log_of_a_gigabyte(tmp_path, kind):
    path = tmp_path / "a.log"
    with path.open("w") as file:
        step = 0
        while file.tell() < BYTES_OF_A_LOG:
            lines = (KINDS_OF_LINES[kind].format(at, 64 * at) for at in range(step + 1, step + 10_001))
            file.write("".join(lines))
            step += 10_000
    seconds, memory = cost(AUDIT, path)
    print(f"\na {kind} log of 1 GB: {seconds:.0f} CPU seconds, {1000 / seconds:.0f} MB a second, {memory:.0f} MiB")
    assert memory <= MOST_MEGABYTES_OF_A_LOG
