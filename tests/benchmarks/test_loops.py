"""What the three lines cost a loop: CPU time of its thread in `watch` and `step`, in a loop that does nothing else.

It is measured back to back, and after a matrix product of some milliseconds, when caches are cold: where other programs
keep the machine busy, that takes several times as long.
"""

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
"""Of a round. While a step multiplies matrices, the ranks add up."""


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
    rounds, matrix = {"cold": [], "warm": []}, torch.rand(640, 640)
    for kind in ["cold", "warm"] * 3:
        spent = []
        watched = ledger.watch(batches(samples, length))
        next(watched)
        for _ in range(STEPS - 1):
            if kind == "cold":
                matrix @ matrix
            began = time.thread_time()
            ledger.step(optimizer)
            next(watched)
            spent.append(time.thread_time() - began)
        ledger.step(optimizer)
        list(watched)
        rounds[kind].append(1e6 * statistics.median(spent))
    ledger.close()
    if accelerator.is_main_process:
        (Path(out) / "microseconds").write_text(json.dumps(rounds))


@pytest.mark.parametrize(("samples", "length"), [(8, 128), (8, 512), (4, 4096)])
@pytest.mark.parametrize("ranks", [1, 2])
def test_the_three_lines(ranks, samples, length):
    with tempfile.TemporaryDirectory() as out:
        debug_launcher(loop, (out, samples, length), num_processes=ranks)
        rounds = json.loads((Path(out) / "microseconds").read_text())
    medians = ", ".join(f"{statistics.median(times):.0f} µs {kind}" for kind, times in rounds.items())
    print(f"\n{ranks} ranks, {samples} × {length}: {medians}, of host time a step")
