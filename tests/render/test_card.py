"""The training section of a model card, and the compute item of a checklist."""

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.ledger.reconcile import Reconciliation

MADE = Path(__file__).parent.parent / "compatibility" / "2026-11-27"
SPENT = {
    "time": {"wall_seconds": 5400.0, "causes": {}},
    "device_hours": 12.0,
    "price": 30.0,
    "energy_kwh": 8.4,
    "spending": {"energy_kwh": {"how": "700 W a device"}, "price": {"how": "2.5 a device-hour"}},
}
"""What a ledger tells of a run that was timed."""


def card(run, *words):
    found = CliRunner().invoke(main, ["ledger", str(run), "--card", *words])
    assert found.exit_code in (0, 1), found.output
    return found.stdout


@pytest.fixture
def timed(monkeypatch):
    """A ledger that tells hours and energy."""
    before = Reconciliation.to_json
    monkeypatch.setattr(Reconciliation, "to_json", lambda self: before(self) | SPENT)


def by_name(found):
    return {fact["name"]: fact for fact in found["facts"]}


def test_every_number_names_its_line_or_key():
    run = MADE / "run"
    lines = (run / "ledger.jsonl").read_text().splitlines()
    plan = json.loads((run / "plan.json").read_text())
    found = json.loads(card(run, "--json"))
    for fact in found["facts"]:
        if (place := re.match(r"plan\.json: ([\w.]+)$", fact["where"])) and fact["value"] is not None:
            value = plan
            for key in place[1].split("."):
                value = value[int(key)] if isinstance(value, list) else value[key]
            assert value == fact["value"], fact
    facts = by_name(found)
    last = int(re.search(r"line (\d+)", facts["steps applied"]["where"])[1])
    assert json.loads(lines[last - 1])["step"] == facts["steps applied"]["value"] == 12
    assert json.loads(lines[int(facts["devices"]["where"].partition(":")[2]) - 1])["event"] == "segment"
    assert facts["learning rate, at its peak"] == {
        "section": "hyperparameters", "name": "learning rate, at its peak", "value": 0.001,
        "where": "recipe.yaml: optimizer.learning_rate",
    }  # fmt: skip
    assert [facts[f"epochs by {basis}"]["value"] for basis in ("samples", "positions", "tokens")] == [
        1.8, pytest.approx(1152 / 623), pytest.approx(1121 / 623),
    ]  # fmt: skip
    assert facts["FLOPs of the applied steps"]["value"] == f"{1152 * plan['cost']['flops_per_token_at']['16']:.4g}"


def test_emissions_need_energy_and_a_stated_intensity(timed):
    found = json.loads(card(MADE / "run", "--json"))
    assert "co2_eq_emissions" not in found["metadata"]
    assert "--grams-per-kwh" in found["left_out"][0]
    found = json.loads(card(MADE / "run", "--json", "--grams-per-kwh", "250"))
    assert found["left_out"] == []
    assert found["metadata"]["co2_eq_emissions"] | {"source": None} == {
        "emissions": 2100.0, "source": None, "training_type": "pre-training", "hardware_used": "1 × cpu",
    }  # fmt: skip
    facts = by_name(found)
    assert [facts[name]["value"] for name in ("hours from start to end", "device-hours", "energy, kWh")] == [
        1.5,
        12,
        8.4,
    ]


def test_what_is_not_known_has_its_reason():
    found = json.loads(card(MADE / "loop", "--json", "--grams-per-kwh", "250"))
    assert found["metadata"] == {}
    assert "energy is not known" in found["left_out"][0]
    facts = by_name(found)
    assert (facts["parameters"]["value"], facts["parameters"]["where"]) == (None, "no plan tells them")
    assert facts["epochs by samples"]["value"] == 2


@pytest.mark.parametrize("intensity", [(), ("--grams-per-kwh", "385")])
def test_the_metadata_round_trip_through_the_hub_s_library(timed, intensity):
    hub = pytest.importorskip("huggingface_hub")
    text, found = card(MADE / "run", *intensity), json.loads(card(MADE / "run", "--json", *intensity))
    read = hub.ModelCard(text)
    assert read.data.to_dict() == found["metadata"]
    again = hub.ModelCard(str(read))
    assert again.data.to_dict() == found["metadata"]
    assert again.text == read.text


def test_a_run_that_goes_on_and_one_that_resumed(tmp_path):
    run = shutil.copytree(MADE / "run", tmp_path / "run")
    ledger = run / "ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    again = lines[0].replace('"from_step":0', '"from_step":12').replace('"world_size":1', '"world_size":2')
    ledger.write_text("".join([*lines[:-1], again]))
    text = card(run)
    assert "The run has not finished" in text
    found = by_name(json.loads(card(run, "--json")))
    assert found["starts of the program"]["value"] == 2
    assert found["devices from step 13 on"]["value"] == "2 × cpu"


def test_nothing_to_state(tmp_path):
    (tmp_path / "ledger.jsonl").write_text('{"event":"segment","from_step":0}\n')
    found = CliRunner().invoke(main, ["ledger", str(tmp_path), "--card"])
    assert found.exit_code == 2
    found = CliRunner().invoke(main, ["ledger", str(MADE / "run"), "--grams-per-kwh", "3"])
    assert found.exit_code == 2
