"""wandb's offline files, made by wandb itself, and runs on its server."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from dist_epochs.audit.readers import wandb_file
from dist_epochs.audit.readers.wandb_file import read_wandb_file
from dist_epochs.audit.records import leveldb
from dist_epochs.cli.wandb_runs import fetch_run
from dist_epochs.errors import InputError

WRITE = """
import sys, wandb
config = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4, "max_steps": 21, "nested": {"a": [1, 2]},
          "text": "x" * 40_000}
run = wandb.init(project="p", id="abc", dir=sys.argv[1], config=config, settings=wandb.Settings(console="off"))
for step in range(1, 22):
    passes, inside = divmod(step - 1, 7)
    run.log({"train/global_step": step, "train/epoch": passes + min(4 * (inside + 1), 25) / 25, "train/loss": 1 / step,
             "nested": {"x": step, "y": {"z": 2**60}}, "note": "y" * 3000})
run.log({"eval/loss": float("nan")})
run.summary["final"] = {"score": 0.5}
run.finish(exit_code=3)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of several blocks of 32 KiB."""
    path = tmp_path_factory.mktemp("wandb")
    environment = {**os.environ, "HOME": str(path), "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    subprocess.run([sys.executable, "-c", WRITE, str(path)], check=True, env=environment, cwd=path)
    return next((path / "wandb").glob("offline-run-*"))


def test_the_same_as_wandb_s_own_parser(folder):
    from wandb.proto import wandb_internal_pb2

    file = next(folder.glob("*.wandb"))
    assert file.stat().st_size > 2 * leveldb.BLOCK
    rows, config, summary = [], {}, {}
    with file.open("rb") as opened:
        opened.seek(7)
        for data in leveldb.records(opened, 7):
            record = wandb_internal_pb2.Record.FromString(data)
            if record.HasField("history"):
                pairs = {
                    (item.key or ".".join(item.nested_key)): json.loads(item.value_json) for item in record.history.item
                }
                rows.append({key: value for key, value in pairs.items() if isinstance(value, int | float)})
            for item in (*record.config.update, *record.run.config.update):
                config[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
            for item in record.summary.update:
                summary[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
    found = read_wandb_file(file)
    assert len(rows) == 22
    assert repr((found.rows, found.config, found.summary)) == repr(
        (rows, config, summary)
    )  # NaN is not equal to itself
    assert (found.run_id, found.exit_code, found.damage) == ("abc", 3, None)
    assert found.config["text"] == "x" * 40_000


def test_the_fields_have_the_numbers_of_the_definition():
    from wandb.proto import wandb_internal_pb2 as proto

    names = ("history", "summary", "config", "run", "exit", "environment")
    mine = (
        wandb_file.HISTORY,
        wandb_file.SUMMARY,
        wandb_file.CONFIG,
        wandb_file.RUN,
        wandb_file.EXIT,
        wandb_file.ENVIRONMENT,
    )
    assert tuple(proto.Record.DESCRIPTOR.fields_by_name[name].number for name in names) == mine


def test_audit(ask, folder):
    claims = ["--corpus", "50 samples", "--epochs", "3", "--global-batch", "8"]
    for run in (folder, folder.parent, next(folder.glob("*.wandb"))):
        found = ask(run, *claims, "--devices", "1")
        assert (found["kind"], found["verdict"]) == ("wandb", "consistent")
        assert found["by_name"]["steps"]["derived"] == "21"
        assert any("exit code 3" in note for note in found["notes"])
    assert ask(folder, "--corpus", "50 samples", "--devices", "2", code=1)["by_name"]["devices"]["derived"] == "1"
    assert ask(folder, *claims, "--devices", "2", code=1)["by_name"]["devices"]["derived"] == "1"


def test_a_killed_run_is_read_to_its_end(ask, folder, tmp_path):
    data = next(folder.glob("*.wandb")).read_bytes()
    path = tmp_path / "run-abc.wandb"
    path.write_bytes(data[: len(data) * 2 // 3])
    found = ask(path)
    assert 1 < int(found["read"]["steps"]["value"]) < 21
    assert any("read up to its damage" in note for note in found["notes"])
    path.write_bytes(data[:-200] + bytes(200))
    assert any("damage" in note or "no end" in note for note in ask(path)["notes"])


def test_a_flipped_bit_ends_the_reading(ask, folder, tmp_path):
    data = bytearray(next(folder.glob("*.wandb")).read_bytes())
    at = data.index(b"train/loss", len(data) // 2)
    data[at] ^= 1
    path = tmp_path / "run-abc.wandb"
    path.write_bytes(data)
    found = ask(path)
    assert any("the checksum of a record is wrong" in note for note in found["notes"])
    assert int(found["read"]["steps"]["value"]) < 21


def test_files_of_two_runs(ask, folder, tmp_path):
    data = next(folder.glob("*.wandb")).read_bytes()
    (tmp_path / "run-abc.wandb").write_bytes(data)
    (tmp_path / "run-xyz.wandb").write_bytes(data.replace(b"\x03abc", b"\x03xyz")[:7])
    assert "files of 2 wandb runs" in ask(tmp_path, code=2)["asked"]


class Run:
    def __init__(self):
        self.config = {"per_device_train_batch_size": 4, "max_steps": 10, "num_train_epochs": 1}
        self.summary = SimpleNamespace(_json_dict={"train/epoch": 1.0})
        self.state = "crashed"

    def scan_history(self):
        return iter([{"train/global_step": step, "train/epoch": step / 10, "_step": step * 3} for step in range(1, 11)])


class Api:
    def run(self, path):
        if path != "me/project/abc":
            raise RuntimeError("could not find run <Run me/project/xyz>\nmore")
        return Run()


def test_a_run_on_the_server():
    run = fetch_run("wandb:me/project/abc", Api())
    assert (run.kind, run.path, run.numbers["steps"].value, run.numbers["per_device"].value) == (
        "wandb",
        "me/project/abc",
        10,
        4,
    )
    assert any("crashed" in note for note in run.notes)
    with pytest.raises(InputError, match="could not find run"):
        fetch_run("wandb:me/project/xyz", Api())
    with pytest.raises(InputError, match="wandb:ENTITY/PROJECT/ID"):
        fetch_run("wandb:me/abc", Api())


def test_without_wandb_or_a_login(ask, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert "nobody is logged in" in ask("wandb:me/project/abc", code=2)["asked"]
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert ask("wandb:me/project/abc", code=2)["asked"] == "wandb is not installed"


def test_rows_that_count_nothing(ask, tmp_path):
    from dist_epochs.audit.records.tracker_rows import run_of_rows

    with pytest.raises(InputError, match="counts optimizer steps, samples or tokens"):
        run_of_rows([{"_step": 1, "loss": 2.0}], {}, {}, name="x")
