"""Saving and going on, beside what torch does without digests and names."""

from __future__ import annotations

import os
import statistics
import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dist_epochs.arithmetic.counts import Counts, PassKey
from dist_epochs.ledger.reading import read_totals
from dist_epochs.ledger.run_ledger import RunLedger
from dist_epochs.runtime.peers import Alone
from dist_epochs.train.checkpoints import Checkpoints, Manifest, own_part, restore

pytestmark = pytest.mark.benchmark


def timed(action):
    began = time.perf_counter()
    result = action()
    return time.perf_counter() - began, result


def trained(layers=30):
    model = nn.Sequential(*(nn.Linear(1000, 1000) for _ in range(layers)))
    optimizer = torch.optim.AdamW(model.parameters())
    sum(parameter.square().sum() for parameter in model.parameters()).backward()
    optimizer.step()
    return model, optimizer


def test_a_checkpoint_beside_torch_save(tmp_path):
    model, optimizer = trained()
    checkpoints = Checkpoints(tmp_path / "checkpoints", Alone(), keep=1)
    plain = tmp_path / "plain.pt"

    def theirs():
        with plain.open("wb") as file:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
            file.flush()
            os.fsync(file.fileno())

    def ours(step):
        manifest = Manifest(step=step, applied=step, plan="", world_size=1)
        return checkpoints.save(manifest, own_part(model, optimizer, 0, 1))

    def go_on():
        found, _ = checkpoints.newest(lambda manifest: None)
        restore(model, optimizer, found.files)

    def load():
        state = torch.load(plain, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])

    saves = [(timed(lambda step=step: ours(step))[0], timed(theirs)[0]) for step in range(1, 6)]
    loads = [(timed(go_on)[0], timed(load)[0]) for _ in range(5)]
    size = plain.stat().st_size / 2**20
    for name, pairs in (("save", saves), ("verify and load", loads)):
        mine, other = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"\n{name} {size:.0f} MiB: {mine * 1000:.0f} ms, torch {other * 1000:.0f} ms, ratio {ratio:.2f}")


def test_the_ledger_of_a_long_run(tmp_path):
    path, key = tmp_path / "ledger.jsonl", PassKey(0, "web", 128, 0)
    ledger = RunLedger(tmp_path)
    counts = {key: Counts(256, 30000, 5000, 2**100 + 1)}
    steps = 200_000
    for drawn in ledger.watch(SimpleNamespace(step=s, micro_batches=[None], counts=counts) for s in range(steps)):
        ledger.book(drawn, applied=True)
    ledger.close("stopped")
    for up_to in (steps, steps - 1500):
        seconds, totals = timed(lambda up_to=up_to: read_totals(path, up_to=up_to))
        assert totals.last_step == up_to
        print(f"\nledger of {steps:,} steps, as after step {up_to:,}: {seconds * 1000:.0f} ms")
