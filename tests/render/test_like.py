"""What `plan --like` prints."""

import json

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main

FLAGS = [
    "plan",
    "--corpus",
    "9 samples",
    "--per-device",
    "2",
    "--gradient-accumulation",
    "2",
    "--devices",
    "1",
    "--epochs",
    "3",
]


def told(*more):
    return CliRunner().invoke(main, [*FLAGS, *more]).stdout


def test_one_framework():
    text = told("--like", "hf==4.44")
    assert "like transformers==4.44 (measured on 4.44.2)" in text
    assert "  epochs                     2.4000  2.4444  = 22 ÷ 9" in text
    assert "why floored-plan: the plan takes 2 steps a pass, ⌊5 ÷ 2⌋: its 6 steps for 3 epochs end at 2.4" in text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hf==5.99", "5.99 is taken as 5.23"),
        ("hf==5.0", "5.0 is taken as 5.23"),
        ("accelerate==1.2.1", "1.2.1 is taken"),
    ],
)
def test_a_release_that_was_not_measured_is_said_so(name, said):
    assert said in told("--like", name)
    assert said in json.loads(told("--like", name, "--json"))["like"][0]["basis"]
    assert said in told(*["--like", name] * 5)


@pytest.mark.parametrize("name", ["hf", "hf==5", "hf==5.23", "hf==5.23.1", "hf==4.48.3", "keras==3.1", "ddp"])
def test_a_release_that_was_measured(name):
    assert "is taken as" not in told("--like", name)


def test_a_report_that_is_true():
    text = CliRunner().invoke(
        main, ["plan", "--corpus", "8 samples", "--per-device", "2", "--devices", "1", "--epochs", "3", "--like", "hf"]
    )
    assert "what it reports is true" in text.stdout
    assert "like " not in told()


def test_the_plan_stays_where_a_framework_cannot_run_it():
    given = [*FLAGS[:-5], "4", *FLAGS[-4:]]
    found = CliRunner().invoke(main, [*given, "--set", "batch.per_device=3", "--like", "hf-streaming", "--like", "hf"])
    assert found.exit_code == 2
    assert found.stdout.startswith("plan     corpus of 9 samples")
    assert "like transformers==5 (" in found.stdout
    assert "like transformers-streaming" not in found.stdout
    assert "error: transformers-streaming with a gradient accumulation of 4 makes no step\n" in found.stderr
    assert "a pass of 9 samples is 3 micro-steps" in found.stderr
    assert "last_window" not in found.stderr
    alone = CliRunner().invoke(main, [*given, "--set", "batch.per_device=3", "--like", "hf-streaming", "--json"])
    refusal = json.loads(alone.stdout)["like"][0]["refusal"]
    assert "a pass of 9 samples is 3 micro-steps" in refusal
    assert json.loads(alone.stderr)["errors"][0]["asked"] in refusal
    assert alone.exit_code == 2


def test_all_of_them():
    text = told("--like", "all")
    assert "transformers==4.44          6     2.4000       2.4444             22" in text
    assert "cannot run it" not in text
    refused = CliRunner().invoke(main, [*FLAGS[:-1], "1/3", "--like", "all"]).stdout
    assert "keras: --epochs 1/3 like keras: its loop counts whole passes" in refused
