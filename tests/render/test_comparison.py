"""Plans side by side."""

import csv
import json

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main

RECIPE = """
corpus:
  sources: {web: {tokens: 200B, weight: 60%}, code: {tokens: 30B, weight: 30%}, wiki: {tokens: 4B, weight: 10%}}
batch: {global_batch: 1024, per_device: 4, devices: 64}
budget: {tokens: 300B}
phases: [{sequence_length: 4096}]
model: {config: llama-7b}
hardware: {device: H100, price: 2.5, zero_stage: 3, mfu: 40%}
"""


def compared(tmp_path, *more):
    (tmp_path / "a.yaml").write_text(RECIPE)
    (tmp_path / "b.yaml").write_text(RECIPE.replace("60%", "50%").replace("30%", "40%").replace("wiki", "books"))
    (tmp_path / "c.yaml").write_text("batch: {global_batch: 64}\nbudget: {steps: 100}\nphases: [{sequence_length: 8}]\n"
                                     "model: {parameters: 7B}\n")  # fmt: skip
    files = [str(tmp_path / f"{name}.yaml") for name in "abc"]
    found = CliRunner().invoke(main, ["plan", *files, *more])
    assert found.exit_code == 0, found.output
    return found.stdout


def test_rows(tmp_path):
    lines = compared(tmp_path).splitlines()
    rows = {line[2:14].rstrip(): line[14:].split() for line in lines[1:] if line.startswith("  ")}
    assert lines[0].split() == ["a", "b", "c"]
    assert [row for row in rows if row.startswith("  of ")] == ["  of web", "  of code", "  of wiki", "  of books"]
    assert rows["  of web"] == ["0.9", "0.75"]
    assert rows["  of code"] == ["3", "4"]
    assert rows["  of wiki"] == rows["  of books"] == ["7.5"]
    assert rows["epochs"] == ["1.282", "1.282"]
    assert rows["days"] == ["6.32", "6.32"]
    assert len(rows["price"]) == 2
    assert rows["memory, GiB"][-2:] == ["≥", "104"]


def test_json(tmp_path):
    found = json.loads(compared(tmp_path, "--json"))
    assert [plan["name"] for plan in found["plans"]] == ["a", "b", "c"]
    beside = found["compared"]
    assert [round(epochs, 2) if epochs else epochs for epochs in beside["source_epochs"]["web"]] == [0.9, 0.75, None]
    assert [round(epochs, 2) if epochs else epochs for epochs in beside["source_epochs"]["books"]] == [None, 7.5, None]
    assert [round(epochs, 2) if epochs else epochs for epochs in beside["epochs"]] == [1.28, 1.28, None]
    days = found["plans"][0]["cost"]["wall_hours"] / 24
    assert beside["wall_days"][0] == {"low": days, "high": days}
    assert beside["price"][2] is None
    assert beside["memory_bytes"][2] == {"low": 112 * 10**9, "high": 112 * 10**9}


def test_a_table_of_markdown(tmp_path):
    lines = compared(tmp_path, "--markdown").splitlines()
    assert lines[:2] == ["|  | a | b | c |", "|---|--:|--:|--:|"]
    assert "| of code | 3 | 4 |  |" in lines
    assert "| days | 6.32 | 6.32 |  |" in lines


def test_one_row_of_csv_for_each_plan(tmp_path):
    a, b, c = csv.DictReader(compared(tmp_path, "--csv").splitlines())
    assert [row["name"] for row in (a, b, c)] == ["a", "b", "c"]
    assert [row["epochs_of_web"][:4] for row in (a, b, c)] == ["0.90", "0.75", ""]
    assert float(a["wall_days_low"]) == float(a["wall_hours_low"]) / 24
    assert (a["memory_is_floor"], c["memory_is_floor"]) == ("0", "1")
    assert (float(c["memory_gib_low"]), c["price_low"]) == (pytest.approx(112e9 / 2**30), "")


@pytest.mark.parametrize("other", ["--csv", "--json", "--sweep=batch.global_batch=1,2", "--like=keras"])
def test_a_table_stands_alone(tmp_path, other):
    (tmp_path / "a.yaml").write_text(RECIPE)
    found = CliRunner().invoke(main, ["plan", str(tmp_path / "a.yaml"), "--markdown", other])
    assert found.exit_code == 2
