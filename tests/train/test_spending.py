"""What a run spends while it trains, and the limit of its budget."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
import torch

from dist_epochs.errors import InputError
from dist_epochs.ledger.reconcile import read_run
from dist_epochs.recipe import BudgetRecipe
from dist_epochs.recipe.values import read_limit
from dist_epochs.runtime.process import process_began
from dist_epochs.train import energy, spending_watch
from dist_epochs.train.run import run_recipe
from dist_epochs.train.spending_watch import SpendingWatch


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("24 h", ("wall_hours", 24)), ("3 days", ("wall_hours", 72)), ("$500", ("price", 500)),
        ("€ 1.5K", ("price", 1500)),
        ("500 USD", ("price", 500)), ("30 kWh", ("energy_kwh", 30)), ("2MWh", ("energy_kwh", 2000)),
    ],
)  # fmt: skip
def test_limits(text, limit):
    assert read_limit(text) == limit


@pytest.mark.parametrize("text", ["24", "0 h", "-$5", "30 kW", "1M tokens", "", "$", "30m"])
def test_what_is_no_limit(text):
    with pytest.raises(InputError):
        read_limit(text)


def test_a_limit_is_no_length():
    assert not BudgetRecipe(limit="24 h").is_length
    assert BudgetRecipe(limit="24 h", steps=5).amount == ("steps", 5)
    with pytest.raises(InputError, match="not none"):
        BudgetRecipe(on_limit="stop")


def test_a_run_stops_with_a_checkpoint_and_goes_on_without_its_limit(write_recipe, store, tmp_path, monkeypatch):
    monkeypatch.setattr(spending_watch, "EVERY", 0.0)
    said, out = [], tmp_path / "run"
    hardware = {"device": "H100", "price": 3, "watts": 100}
    limited = write_recipe(store.path, hardware=hardware, budget={"limit": "0.02 s", "on_limit": "stop"})
    run_recipe(limited, out, say=said.append)
    found = read_run(out)
    assert found.totals.segments[0].status == "stopped"
    assert found.totals.segments[0].reason.startswith("budget: ")
    assert found.totals.segments[0].reason.endswith("the limit is 0.02 s")
    assert 0 < found.totals.last_step < 9
    assert [warning["rule"] for warning in found.loop_notes.warnings] == ["budget-limit"]
    assert sum(line.startswith("budget: ") for line in said) == 1
    assert any((out / "checkpoints").iterdir())
    warned = write_recipe(store.path, hardware=hardware, budget={"limit": "$0.00001", "on_limit": "warn"})
    run_recipe(warned, out, resume=True, say=said.append)
    found = read_run(out)
    assert found.agrees
    assert sum(line.startswith("budget: ") for line in said) == 2
    rows = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    logged = [row["values"] for row in rows if row["event"] == "metrics" and "ledger/expected_price" in row["values"]]
    assert {"ledger/wall_hours", "ledger/planned_price", "ledger/energy_kwh"} <= logged[-1].keys()
    line, spent = found.time_line, found.spending
    first = next(row for row in rows if row["event"] == "segment")
    assert line.wall_us / 1e6 == pytest.approx(rows[-1]["time"] - first["started"], abs=0.001)
    assert (line.causes["unattributed"], line.back_us) == (0, 0)
    assert line.causes["idle"] > 0
    assert spent.price.recorded == pytest.approx(3 * spent.device_hours.recorded)
    assert spent.energy_kwh.recorded == pytest.approx(0.1 * spent.device_hours.recorded)


def test_a_limit_of_what_is_not_known_is_said(tmp_path):
    from dist_epochs.ledger.run_ledger import RunLedger

    said, ledger = [], RunLedger(tmp_path)
    plan = {"phases": [{"steps": 5, "sequence_length": 16, "global_batch": 4}]}
    watch = SpendingWatch(ledger, plan, {}, BudgetRecipe(limit="$5"), said.append)
    watch.look()
    assert said == ["budget: the limit of $5 cannot be watched: the recipe states no hardware.price"]
    assert watch.stops is None


def test_the_energy_of_a_gpu(monkeypatch):
    """NVML's counter runs on since the driver was loaded."""
    counter = iter([5_000, 5_000, 8_500])
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(counter),
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="1-2"))
    read = energy.energy_meter(torch.device("cuda"))
    assert (read(), read(), read()) == (0, 3_500, None)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy.energy_meter(torch.device("cuda"))() is None
    assert energy.energy_meter(torch.device("cpu")) is None


def test_when_this_process_began():
    import time

    began = process_began()
    assert began is None or 0 < time.time() - began < 86_400
