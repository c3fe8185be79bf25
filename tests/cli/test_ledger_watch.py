"""`dist-epochs ledger --watch` and what `ledger` shows of time and price."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner

from dist_epochs.cli import ledger as module
from dist_epochs.cli.main import main

SEGMENT = {"event": "segment", "from_step": 0, "time": 1000, "world_size": 2, "timed": ["data"], "steps": 4}


def step(number):
    return {"event": "applied", "step": number, "micro_steps": 1, "drawn": [], "time": 1000 + 600 * number}


def append(path, *lines):
    with path.open("a") as file:
        file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)


@pytest.fixture
def live(tmp_path, monkeypatch):
    """A run that takes a step between two looks, and then ends."""
    path = tmp_path / "ledger.jsonl"
    append(path, SEGMENT, step(1))
    rest = [[step(2)], [], [step(3)], [step(4), {"event": "end", "status": "finished", "time": 3401}]]
    monkeypatch.setattr(module.time, "sleep", lambda seconds: append(path, *rest.pop(0)))
    return path


def test_a_run_is_followed_in_lines_until_it_ends(live):
    result = CliRunner().invoke(main, ["ledger", str(live), "--watch"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.partition(",")[0] for line in lines[:3]] == ["step 1", "step 2", "step 3"]  # none without a change
    assert lines[1].startswith("step 2, 0.3333 h; ")
    assert lines[1].endswith(" at the end")
    assert "segment 0: steps 1 to 4, 2 × device, finished" in result.stdout
    assert "\x1b" not in result.stdout


def test_on_a_terminal_the_whole_is_shown_anew(live, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(SystemExit):
        main.main(["ledger", str(live), "--watch"], prog_name="dist-epochs")
    shown = capsys.readouterr().out.split("\x1b[H\x1b[2J")
    assert len(shown) == 5
    assert "no end recorded" in shown[1]
    assert "finished" in shown[-1]


def test_ctrl_c_leaves_quietly(live, monkeypatch):
    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.time, "sleep", interrupt)
    result = CliRunner().invoke(main, ["ledger", str(live), "--watch"])
    assert (result.exit_code, result.stderr) == (0, "")


def test_watching_is_not_json(live):
    assert CliRunner().invoke(main, ["ledger", str(live), "--watch", "--json"]).exit_code == 2


def test_what_is_not_known_is_said_once(tmp_path):
    path = tmp_path / "ledger.jsonl"
    append(path, {**SEGMENT, "steps": None} | {"device": "cpu"}, step(1), step(2))
    path.write_text(path.read_text().replace('"steps":null,', ""))
    text = CliRunner().invoke(main, ["ledger", str(path)]).stdout
    assert "not known: price, energy, time at the end (there is no plan.json)" in text
    assert "compute includes communication, evaluation, checkpoint, which this loop does not tell apart" in text
    assert "time of rank 0: 20.0 min" in text
