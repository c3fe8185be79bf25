"""What the three lines cost a loop: host time of `watch` and `step`, measured inside a loop that does nothing else."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

import pytest
import torch
import torch._dynamo
from accelerate import Accelerator, debug_launcher

from dist_epochs import Ledger

pytestmark = pytest.mark.benchmark

STEPS = 300
"""Of a round. A step multiplies matrices for some milliseconds: the ranks add up while it runs, and caches are cold."""


def batches(samples, length):
    """Text of the shape that a small model is trained on, from a handful of batches."""
    made = []
    for seed in range(8):
        ids = torch.randint(1, 30000, (samples, length), generator=torch.Generator().manual_seed(seed))
        made.append({"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids.clone()})
    return [made[step % 8] for step in range(STEPS)]


def loop(out, samples, length):
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    ledger = Ledger(Path(out) / "run", accelerator, samples=10**6)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    rounds, matrix = [], torch.rand(640, 640)
    for _ in range(5):
        spent = []
        watched = ledger.watch(batches(samples, length))
        next(watched)
        for _ in range(STEPS - 1):
            matrix @ matrix
            began = time.perf_counter()
            ledger.step(optimizer)
            next(watched)
            spent.append(time.perf_counter() - began)
        ledger.step(optimizer)
        list(watched)
        rounds.append(1e6 * statistics.median(spent))
    ledger.close()
    if accelerator.is_main_process:
        (Path(out) / "microseconds").write_text(json.dumps(rounds))


@pytest.mark.parametrize(("samples", "length"), [(8, 128), (8, 512), (4, 4096)])
@pytest.mark.parametrize("ranks", [1, 2])
def test_the_three_lines(ranks, samples, length):
    with tempfile.TemporaryDirectory() as out:
        debug_launcher(loop, (out, samples, length), num_processes=ranks)
        rounds = json.loads((Path(out) / "microseconds").read_text())
    print(f"\n{ranks} ranks, {samples} × {length}: {statistics.median(rounds):.0f} µs of host time a step")
