"""The command that measures training on a GPU runs to its end, with nothing installed but what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent.parent

ABSENT = ("click", "datasets", "hypothesis", "pandas", "pytest", "sklearn", "wandb")
"""Packages that a machine with torch, transformers and accelerate may not have."""

PROGRAM = f"""
import sys
from runpy import run_module
sys.modules.update(dict.fromkeys({ABSENT}))  # as if they were not installed
run_module("tests.benchmarks.gpu", run_name="__main__")
"""

ROWS = (
    "machine", "corpus", "bert-large 512", "bert-base 512", "bert-base 128", "gpt2-small 1024", "counts",
    "bert-large 512, compiled", "fp16", "bert-base 128, compiled", "bert-large 128",
)  # fmt: skip


@pytest.mark.campaign
@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU it takes minutes: python -m tests.benchmarks.gpu")
def test_every_row_is_printed_at_toy_size():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    begun = [line.partition(":")[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert tuple(begun[: len(ROWS)]) == ROWS
    assert "failed" not in done.stdout
    assert done.stdout.count("ours ÷ it") == 5
    assert "counts: equal to a CPU run's: 20 steps" in done.stdout
