"""`dist-epochs compare`: what it prints, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.audit.compare.comparison import compare_runs
from dist_epochs.audit.compare.own import own_run
from dist_epochs.audit.compare.samples import compare_samples
from dist_epochs.cli.main import main
from dist_epochs.errors import InputError, Origin
from tests.audit.compare.planted import trainer_state

MADE = Path(__file__).parents[2] / "compatibility" / "2026-11-27"


def call(*words):
    return CliRunner().invoke(main, ["compare", *map(str, words)])


@pytest.fixture
def run(tmp_path):
    return shutil.copytree(MADE / "run", tmp_path / "run")


def changed(run, name, *, ledger=None, recipe=None):
    """A copy of a run, with texts in its ledger or its recipe replaced."""
    copy = shutil.copytree(run, run.parent / name)
    for file, replacements in (("ledger.jsonl", ledger or {}), ("recipe.yaml", recipe or {})):
        text = (copy / file).read_text()
        for old, new in replacements.items():
            assert old in text
            text = text.replace(old, new)
        (copy / file).write_text(text)
    return copy


def test_json_has_the_first_difference_and_the_causes(run):
    other = changed(run, "b", recipe={"learning_rate: 0.001": "learning_rate: 0.002"})
    found = json.loads(call(run, other, "--json").stdout)
    assert found["first_difference"] is None
    assert found["same_data"] is True
    assert found["steps_compared"] == 12
    assert found["causes"][0] | {"differences": None} == {
        "cause": "learning rate", "a": 0.001, "b": 0.002, "name": "optimizer.learning_rate", "follows_from": None,
        "differences": None,
    }  # fmt: skip
    assert {"cause": "tokenizer", "why": "not told by a or b"} in found["not_compared"]


def test_a_setting_that_is_no_cause_is_named(run):
    other = changed(run, "b")
    (other / "recipe.yaml").write_text(
        (other / "recipe.yaml").read_text().replace("weight_decay: 0.01", "weight_decay: 0.1")
    )
    found = json.loads(call(run, other, "--json").stdout)
    assert (found["causes"], found["other_settings"]) == ([], [{"name": "optimizer.weight_decay", "a": 0.01, "b": 0.1}])


def test_text_fits_eighty_columns(run):
    ledger = {"2.13.0": "2.14.0+cu130.a-very-long-local-version", '"world_size":1': '"world_size":2'}
    other = changed(run, "b", ledger=ledger)
    shown = call(run, other)
    assert shown.exit_code == 0
    lines = [line for line in shown.stdout.splitlines() if str(run.parent) not in line]
    assert max(map(len, lines)) <= 80
    assert "The same data in the same order, in all 12 common steps: look at numerics." in lines
    assert [line.split()[1] for line in lines if line.startswith(("  1 ", "  2 "))] == ["world", "versions"]


def test_a_run_that_goes_on_is_compared_as_far_as_it_got(run):
    ledger = run / "ledger.jsonl"
    other = shutil.copytree(run, run.parent / "b")
    lines = ledger.read_text().splitlines(keepends=True)
    at = next(at for at, line in enumerate(lines) if line.startswith('{"event":"applied","step":7'))
    (other / "ledger.jsonl").write_text("".join(lines[: at + 1]) + '{"event":"begin","st')
    found = json.loads(call(run, other, "--json").stdout)
    assert (found["steps_compared"], found["first_difference"], found["same_data"]) == (7, None, True)
    assert found["runs"][1]["notes"][0].startswith("It is still running, or was killed")


def test_an_unplanned_run(run):
    other = shutil.copytree(run, run.parent / "b")
    (other / "plan.json").unlink()
    found = json.loads(call(run, other, "--json").stdout)
    assert (found["first_difference"], found["same_data"]) == (None, True)
    assert {"cause": "seed", "why": "not told by b"} in found["not_compared"]


def test_two_runs_of_different_kinds(run, tmp_path):
    state = trainer_state(tmp_path / "hf", rate=1e-3)
    found = json.loads(call(run, state, "--json").stdout)
    assert found["first_difference"]["what"] == "epoch"
    assert {each["cause"] for each in found["not_compared"]} >= {"order", "seed", "corpus", "versions"}
    found = json.loads(call(run, MADE / "loop", "--json").stdout)
    assert found["first_difference"] == {"step": 1, "what": "batch", "a": 6, "b": 8}
    assert found["same_data"] is None


def test_of_logs_the_data_come_before_the_rate():
    """Where no step tells what it drew, what decides it is the likelier cause."""
    logs = MADE.parents[1] / "audit" / "readers" / "logs"
    found = json.loads(call(logs / "megatron.log", logs / "megatron_old.log", "--json").stdout)
    assert [each["cause"] for each in found["causes"]] == ["packing", "global batch", "learning rate"]


def test_loops_that_go_back_are_compared_as_they_count(run):
    """A step that was taken again counts as it was taken last."""
    lines = (run / "ledger.jsonl").read_text().splitlines(keepends=True)
    at = next(at for at, line in enumerate(lines) if line.startswith('{"event":"applied","step":7'))
    other = shutil.copytree(run, run.parent / "b")
    begun = lines[0].replace('"from_step":0', '"from_step":5')
    again = next(at for at, line in enumerate(lines) if line.startswith('{"event":"begin","step":6'))
    damaged = [line.replace('"web",16,0,6', '"web",16,0,5') if '"applied","step":6' in line else line for line in lines]
    (other / "ledger.jsonl").write_text("".join([*damaged[: at + 1], begun, *lines[again:]]))
    found = compare_runs(own_run(run), own_run(other))
    assert (found.first_difference, found.same_data, found.samples.steps) == (None, True, 12)


@pytest.mark.parametrize(
    ("text", "asked"),
    [("", "no segment line: this is not a ledger, or its run never began"),
     ('{"event":"segment","from_step":0}\n{"event":"applied","step":1,"drawn":1}\n', "damaged")],
    ids=["empty", "damaged"],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(run, text, asked):
    other = shutil.copytree(run, run.parent / "b")
    (other / "ledger.jsonl").write_text(text)
    with pytest.raises(InputError) as caught:
        own_run(other)
    assert caught.value.asked.startswith(asked)
    assert call(run, other).exit_code == 2


def test_damage_before_the_last_totals_is_found(run):
    """Totals are read from the last line of them on; the comparison reads every step."""
    other = shutil.copytree(run, run.parent / "b")
    lines = (other / "ledger.jsonl").read_text().splitlines(keepends=True)
    at = next(at for at, line in enumerate(lines) if line.startswith('{"event":"applied","step":3'))
    lines[at] = lines[at].replace('"drawn":[[0,', '"drawn":[[-1,')
    (other / "ledger.jsonl").write_text("".join(lines))
    with pytest.raises(InputError) as caught:
        compare_samples(run / "ledger.jsonl", other / "ledger.jsonl")
    assert caught.value.origin == Origin(str(other / "ledger.jsonl"), at + 1)


@pytest.mark.parametrize("name", ["bert", "nowhere/at/all"])
def test_what_is_no_run_is_refused(run, name):
    found = call(run, name)
    assert found.exit_code == 2


def test_long_ledgers_are_read_as_they_go(tmp_path):
    """Nothing of a step is kept, and equal ones are not parsed."""
    for name, shift in (("a", 0), ("b", 0), ("c", 1)):
        with (tmp_path / name).open("w") as file:
            file.write('{"event":"segment","from_step":0}\n')
            for step in range(1, 10_001):
                digest = f"{(step + shift * (step > 9_000)) * 7919:032x}"
                file.write(f'{{"event":"begin","step":{step}}}\n{{"event":"applied","step":{step},"micro_steps":1,')
                file.write(f'"drawn":[[0,"web",16,0,6,92,80,"{digest}"]],"time":{step}.5}}\n')
    assert compare_samples(tmp_path / "a", tmp_path / "b").differing == 0
    found = compare_samples(tmp_path / "a", tmp_path / "c")
    assert (found.first.step, found.differing) == (9_001, 1_000)
