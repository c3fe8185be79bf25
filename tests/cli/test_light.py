"""Light commands stay light: what they import decides how fast they start."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "numpy", "transformers", "datasets", "accelerate", "wandb", "tokenizers", "pandas"}

RECIPE = """
name: x
corpus: {tokens: 300B}
batch: {global_batch: 1Ki, per_device: 4}
phases: [{steps: 1k, sequence_length: 4Ki}]
"""


def modules_after(arguments):
    code = (
        "import sys, json\nfrom dist_epochs.cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as stop: assert not stop.code, stop.code\n"
        "print(json.dumps(sorted(name.partition('.')[0] for name in sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["--help"], ["solve", "--help"], ["tokenize", "--help"],
     ["solve", "--steps", "1M", "--batch", "256x512", "--corpus", "3.3B tokens"],
     ["audit", "100K steps of 0.5M tokens each, 50B tokens in all"]],
    ids=" ".join,
)  # fmt: skip
def test_no_heavy_library_and_no_pydantic(arguments):
    assert not modules_after(arguments) & (HEAVY | {"pydantic", "yaml"})


def test_planning_without_a_store_needs_no_heavy_library(tmp_path):
    (tmp_path / "r.yaml").write_text(RECIPE)
    assert not modules_after(["plan", str(tmp_path / "r.yaml")]) & HEAVY


def test_checking_a_launch_needs_none_either(tmp_path):
    (tmp_path / "r.yaml").write_text(RECIPE)
    (tmp_path / "acc.yaml").write_text("distributed_type: MULTI_GPU\nnum_processes: 8\n")
    assert not modules_after(["plan", str(tmp_path / "r.yaml"), "--launch", str(tmp_path / "acc.yaml")]) & HEAVY


def test_laying_a_plan_beside_frameworks_needs_none_of_them():
    flags = ["--corpus", "9 samples", "--per-device", "2", "--devices", "1", "--epochs", "3"]
    assert not modules_after(["plan", *flags, "--like", "all"]) & HEAVY


def test_comparing_runs_needs_none():
    runs = Path(__file__).parent.parent / "compatibility" / "2026-11-27"
    assert not modules_after(["compare", str(runs / "run"), str(runs / "loop")]) & HEAVY


def test_auditing_needs_no_heavy_library():
    assert not modules_after(["audit", "--all"]) & (HEAVY | {"pydantic"})


def test_reading_a_ledger_needs_none_either(tmp_path):
    (tmp_path / "ledger.jsonl").write_text('{"event":"segment","from_step":0}\n')
    assert not modules_after(["ledger", str(tmp_path)]) & (HEAVY | {"pydantic", "yaml"})


def test_auditing_finished_runs_needs_none_either():
    logs = Path(__file__).parent.parent / "audit" / "readers" / "logs"
    for name in ("megatron.log", "trainer_state.json"):
        assert not modules_after(["audit", str(logs / name)]) & (HEAVY | {"pydantic", "google"})
