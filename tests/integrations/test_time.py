"""The time of a user's own loop, as far as it can be seen."""

from __future__ import annotations

import time

import pytest
import torch

from dist_epochs.integrations.ledger import Ledger
from dist_epochs.ledger.reconcile import read_run


def slow(count, seconds, waited=None):
    """Batches after a pause each, whose length a busy machine decides; `waited` gets these."""
    for _ in range(count):
        began = time.perf_counter()
        time.sleep(seconds)
        if waited is not None:
            waited.append(time.perf_counter() - began)
        yield {"input_ids": torch.ones(2, 4, dtype=torch.long)}


def test_waiting_for_the_loader_is_data_and_the_body_is_compute(tmp_path):
    ledger, waited = Ledger(tmp_path, samples=100), []
    for _ in ledger.watch(slow(5, 0.03, waited)):
        time.sleep(0.01)
        ledger.step()
    ledger.close()
    line = read_run(tmp_path).time_line
    causes = {cause: us / 1e6 for cause, us in line.causes.items()}
    assert causes["data"] == pytest.approx(sum(waited[1:]), abs=0.03)  # the first batch is of the start
    assert causes["start-up"] >= 0.03
    assert causes["compute"] + causes["compile"] >= 0.05
    assert line.not_told_apart == ("communication", "evaluation", "checkpoint")
    assert line.causes["unattributed"] == line.back_us == 0


def test_steps_drawn_again_are_replayed(tmp_path):
    for first, count in ((0, 6), (4, 3)):
        ledger = Ledger(tmp_path, samples=100, from_step=first or None)
        for _ in ledger.watch(slow(count, 0.002)):
            ledger.step()
        ledger.close()
    found = read_run(tmp_path)
    assert (found.totals.applied.steps, found.totals.replayed.steps) == (7, 2)
    assert found.time_line.causes["replayed"] >= 4_000
    assert found.time_line.causes["idle"] >= 0
