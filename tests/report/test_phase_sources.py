"""What a plan and a ledger show of phases that draw sources of their own: text, JSON and page."""

import json

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from tests.audit.compare.planted import run_of

PHASES = [
    {"steps": 6, "sequence_length": 16},
    {"steps": 4, "sequence_length": 16, "sources": {"wiki": 1}},
]


def said(*arguments):
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def recipe(mixed_store, write_recipe):
    corpus = {"store": str(mixed_store.path), "weights": {"web": 2, "wiki": 1}}
    return write_recipe(mixed_store.path, corpus=corpus, phases=PHASES)


def test_a_plan(recipe, tmp_path):
    lines = [line.split() for line in said("plan", recipe, "--html", tmp_path / "plan.html").splitlines()]
    assert [line[4:8] for line in lines if line[1:4] == ["steps", "at", "length"]] == [
        ["16", "web", "0.6667", "48"],
        ["16", "wiki", "1", "48"],
    ]
    assert "Sources of each phase" in (tmp_path / "plan.html").read_text()
    phases = json.loads(said("plan", recipe, "--json"))["phases"]
    assert [[source["samples"] for source in phase["sources"]] for phase in phases] == [[48, 24], [48]]


def test_a_ledger(recipe, tmp_path):
    run = run_of(recipe, tmp_path / "run", stop_after=8, status="stopped")
    text = said("ledger", run, "--html", tmp_path / "run.html")
    assert "phase 1, samples: 48 of 48 of web, 24 of 24 of wiki" in text
    assert "phase 2, samples: 24 of 48 of wiki" in text
    assert "Sources of each phase" in (tmp_path / "run.html").read_text()
    assert "weight of wiki, phase 2" in said("ledger", run, "--card")
    phases = json.loads(said("ledger", run, "--json"))["phases"]
    assert [source["planned_samples"] for phase in phases for source in phase["sources"]] == [48, 24, 48]
    assert [source["samples"] for phase in phases for source in phase["sources"]] == [48, 24, 24]


def test_phases_that_mix_alike_have_no_table(mixed_store, write_recipe):
    corpus = {"store": str(mixed_store.path), "weights": {"web": 2, "wiki": 1}}
    recipe = write_recipe(mixed_store.path, corpus=corpus)
    assert "  phase " not in said("plan", recipe)
    assert {phase["sources"] for phase in json.loads(said("plan", recipe, "--json"))["phases"]} == {None}
