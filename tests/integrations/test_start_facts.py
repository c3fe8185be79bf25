"""What the segment of a user's loop says of the seed and the learning rate."""

import json
from types import SimpleNamespace

import pytest
import torch

from dist_epochs import Ledger


def segment(run, ranks=None):
    ledger = Ledger(run, ranks, samples=8)
    for _ in ledger.watch([torch.ones(8, 2)]):
        ledger.step()
    ledger.close()
    return json.loads((run / "ledger.jsonl").read_text().splitlines()[0])


def test_the_seed_that_torch_was_given(tmp_path):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    assert segment(tmp_path / "a")["seed"] == 7
    assert torch.equal(torch.get_rng_state(), before)
    assert "learning_rate" not in segment(tmp_path / "b")


@pytest.mark.parametrize(
    ("settings", "seed", "rate"),
    [
        ({"seed": 3, "learning_rate": 5e-5}, 3, 5e-5),
        ({"_optimizers": [SimpleNamespace(param_groups=[{"lr": 0.0, "initial_lr": 1e-3}])]}, None, 1e-3),
        ({"_optimizers": [SimpleNamespace(param_groups=[{"lr": torch.tensor(0.5)}])]}, None, 0.5),
        ({"learning_rate": "cosine"}, None, None),
        ({"learning_rate": float("nan")}, None, None),
    ],
    ids=["trainer", "schedule", "tensor", "text", "nan"],
)
def test_settings_tell_them(settings, seed, rate):
    from dist_epochs.integrations.start import _learning_rate, _seed

    assert _learning_rate(SimpleNamespace(**settings)) == rate
    assert _seed(SimpleNamespace(**settings)) == (torch.initial_seed() if seed is None else seed)
