"""Saving and going on, beside what torch does without digests and names."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.reading import read_totals
from dist_epochs.ledger.run_ledger import RunLedger
from dist_epochs.runtime.peers import Alone
from dist_epochs.train.checkpoints import Checkpoints, Manifest, restore, tensors_of

pytestmark = pytest.mark.benchmark

LAYERS = int(os.environ.get("CHECKPOINT_LAYERS", "240"))
"""Layers of a million parameters: 0.9 GiB of parameters, 2.7 GiB with Adam."""

PAIRS = 7


def timed(action):
    began, cpu = time.perf_counter(), time.process_time()
    result = action()
    return (time.perf_counter() - began, time.process_time() - cpu), result


def trained(layers=LAYERS):
    model = nn.Sequential(*(nn.Linear(1000, 1000) for _ in range(layers)))
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer


def forget(path):
    """Take a file out of the memory that the system keeps of the disk."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.mark.timeout(3600)
def test_a_checkpoint_beside_torch_save(tmp_path):
    model, optimizer = trained()
    checkpoints = Checkpoints(tmp_path / "checkpoints", Alone(), keep=1)
    plain = tmp_path / "plain.pt"
    step = iter(range(1, 1000))

    def theirs(*, durable):
        new = plain.with_suffix(".new")  # like ours, it leaves the one before until it is complete
        with new.open("wb") as file:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        new.replace(plain)

    def ours():
        number = next(step)
        manifest = Manifest(step=number, applied=number, plan="", world_size=1)
        checkpoints.save(manifest, tensors_of(model, optimizer))

    def go_on():
        found, _ = checkpoints.newest(lambda manifest: None)
        restore(model, optimizer, found.files)
        found.close()

    def load():
        state = torch.load(plain, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])

    def cold(action):
        for path in (plain, *checkpoints.folder.rglob("*.safetensors")):
            forget(path)
        return timed(action)[0]

    pairs = {
        "save, torch.save with fsync": lambda: (timed(ours)[0], timed(lambda: theirs(durable=True))[0]),
        "save, torch.save without fsync": lambda: (timed(ours)[0], timed(lambda: theirs(durable=False))[0]),
        "verify and load, in memory": lambda: (timed(go_on)[0], timed(load)[0]),
        "verify and load, from the disk": lambda: (cold(go_on), cold(load)),
    }
    ours(), theirs(durable=True)  # the first of each allocates
    for name, pair in pairs.items():
        found = [pair() for _ in range(PAIRS)]
        print(f"\n{name}, {plain.stat().st_size / 2**30:.2f} GiB, {PAIRS} pairs:")
        for kind, unit in enumerate(("seconds", "CPU seconds")):
            mine, other = ([sides[side][kind] for sides in found] for side in (0, 1))
            ratios = sorted(a / b for a, b in zip(mine, other, strict=True))
            print(
                f"  {unit}: {statistics.median(mine):.2f}, torch {statistics.median(other):.2f}, "
                f"ratio {statistics.median(ratios):.2f} [{ratios[0]:.2f}..{ratios[-1]:.2f}]"
            )


def test_the_ledger_of_a_long_run(tmp_path):
    """A million steps with a logged row every ten: read, as of a step in the middle, and shown by the command."""
    path, key = tmp_path / "ledger.jsonl", PassKey(0, "web", 128, 0)
    ledger = RunLedger(tmp_path, segment={"world_size": 8})
    counts = {key: Counts(256, 30000, 5000, 2**100 + 1)}
    steps = 1_000_000
    values = {f"train/value_{number}": 1 / 3 for number in range(12)}
    for drawn in ledger.watch(SimpleNamespace(step=s, micro_batches=[None], counts=counts) for s in range(steps)):
        ledger.book(drawn, applied=True, data_wait=0.0)
        if drawn.step % 10 == 0:
            ledger.metrics(drawn.step, values)
    ledger.close("stopped")
    print(f"\nledger of {steps:,} steps, {path.stat().st_size / 1e6:,.0f} MB")
    for up_to in (None, steps - 1500, steps // 2 + 500):
        (seconds, _), totals = timed(lambda up_to=up_to: read_totals(path, up_to=up_to))
        assert totals.last_step == (up_to or steps)
        print(f"totals as after step {up_to or steps:,}: {seconds * 1000:.0f} ms")
    program = "import re, sys; from dist_epochs.cli.main import main; sys.argv[0] = 'dist-epochs'\n"
    program += "try: main()\nfinally:\n    peak = re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())\n"
    program += "    print(peak[1], file=sys.stderr)"
    command = [sys.executable, "-c", program, "ledger", str(path)]
    (seconds, _), done = timed(lambda: subprocess.run(command, capture_output=True, text=True, check=False))
    assert f" {steps:,}\n" in done.stdout, done.stdout + done.stderr
    print(f"dist-epochs ledger: {seconds:.2f} s, {int(done.stderr.split()[-1]) / 1024:.0f} MiB")
