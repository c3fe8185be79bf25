"""`dist-epochs audit --many`: one row a run, and no run ends the table."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.audit.runs import many
from dist_epochs.cli.main import main

SAMPLES = Path(__file__).parents[1] / "readers/samples"
DAMAGED = {
    "cut.json": b'{"global_step": 1, "log_history": [',
    "cut.log.gz": b"\x1f\x8b\x08 half a file",
    "bytes.bin": bytes(range(256)) * 9,
    "empty.log": b"",
    "events.out.tfevents.1": b'\x18\0\0\0\0\0\0\0\xa3\x7fK"\t\0\0\xc0',
    "trainer_state.json": b"[" * 100_000,
}


@pytest.fixture
def folder(tmp_path):
    for folder in ("hf-results", "llamafactory", "torchtitan", "model-card", "nanotron"):
        shutil.copytree(SAMPLES / folder, tmp_path / "runs" / folder)
        (tmp_path / "runs" / folder / "expected.json").unlink()
    shutil.copytree(SAMPLES / "lightning/ddp2", tmp_path / "runs/owner/name/version_0")
    (tmp_path / "runs/damaged").mkdir()
    for name, content in DAMAGED.items():
        (tmp_path / "runs/damaged" / name).write_bytes(content)
    return tmp_path / "runs"


def rows(*words):
    result = CliRunner().invoke(main, ["audit", "--many", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_folder_as_csv(folder):
    found = {Path(row["run"]).name: row for row in csv.DictReader(io.StringIO(rows(folder)))}
    assert found["h200x8.log"]["verdict"] == "consistent"
    assert (found["h200x8.log"]["steps"], found["h200x8.log"]["devices"]) == ("10", "8")
    assert (found["v4.6-or-before-all_results.json"]["steps"], found["xueh88401.cut.jsonl"]["epochs"]) == ("693", "3")
    assert found["name"]["kind"] == "lightning"
    assert "nanotron" in found["samples-unit-15-steps.log"]["error"]
    assert all(row["error"] or row["kind"] for row in found.values())


def test_a_list_as_json_lines(folder, tmp_path):
    listed = tmp_path / "list.txt"
    names = ["runs/torchtitan/h200x8.log", str(folder / "damaged/cut.json"), "runs/nothing.log", "", "hub:wrong"]
    listed.write_text("\n".join(names) + "\n")
    found = [json.loads(line) for line in rows(listed, "--json").splitlines()]
    assert [bool(row["error"]) for row in found] == [False, True, True, True]
    assert found[0]["tokens"] == 1_310_720
    assert list(found[0]) == list(many.COLUMNS)


def test_a_fault_of_a_reader_does_not_end_the_table(folder, monkeypatch):
    def fail(run, claims):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(many, "audit_run", fail)
    found = list(csv.DictReader(io.StringIO(rows(folder / "torchtitan"))))
    assert len(found) == 2
    assert all("ZeroDivisionError: a fault" in row["error"] for row in found)


def test_it_stands_alone(ask, folder):
    assert "--many and bert" in ask("bert", "--many", folder, code=2)["asked"]
    assert "--many and x" in ask("x", "--many", folder, "--steps", "5", code=2)["asked"]
