"""`dist-epochs audit RUN` as a new user types it."""

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.audit.detect.folder import read_finished_run
from dist_epochs.audit.runs.claims import read_claims
from dist_epochs.audit.runs.run_audit import audit_run
from dist_epochs.cli.main import main
from dist_epochs.render.audit import audit_text
from dist_epochs.render.audit_markdown import audit_markdown


@pytest.mark.parametrize(
    ("content", "field", "message"),
    [
        (b"", "asked", "neither a finished run nor a claim: the file is empty"),
        (b" \n\n", "asked", "the file is empty"),
        (b"hello\n", "rule", "'iteration N/ M |' (Megatron-LM"),
        ("größe 5".encode("latin-1"), "fixes", "saving it as UTF-8, if it is a text"),
        ("We train for 100 steps with batches of 8.".encode("utf-16"), "fixes", "saving it as UTF-8, if it is a text"),
        (b'{"a": 1}', "rule", "global_step and log_history"),
        (random.Random(1).randbytes(5000), "rule", "wandb's (:W&B at the start"),
        (b"PK\x03\x04" + bytes(22) + b"\x0e\x00\x00\x00runs/train.log", "asked", "an archive, which is not unpacked"),
        (
            b"PK\x03\x04" + bytes(22) + b"\x10\x00\x00\x00archive/data.pkl",
            "asked",
            "this is a pickle, or an archive of one",
        ),
        (b"\x1f\x8b\x08 a packed log", "asked", "this gz file is cut or damaged"),
        (b"\xfd7zXZ\x00 a packed log", "asked", "this xz file is cut or damaged"),
        (b"version https://git-lfs.github.com/spec/v1\n", "fixes", "git lfs pull"),
        (b"/annex/objects/MD5E-s22--1.json\n", "asked", "this is a git-annex pointer, not the file"),
    ],
    ids=[
        "empty",
        "blank",
        "text",
        "latin-1",
        "utf-16",
        "json",
        "binary",
        "zip",
        "torch",
        "gzip",
        "xz",
        "git lfs",
        "git annex",
    ],
)
def test_what_is_no_run(ask, tmp_path, content, field, message):
    path = tmp_path / "run.txt"
    path.write_bytes(content)
    assert message in ask(path, code=2)[field]


@pytest.mark.parametrize(
    ("name", "content", "what", "fix"),
    [
        ("ds.json", '{"train_batch_size": 8, "zero_optimization": {"stage": 2}}', "a DeepSpeed configuration",
         "--from "),
        ("ax.yml", "base_model: m\nsequence_len: 8\nmicro_batch_size: 2\nnum_epochs: 3\n", "a configuration of Axolotl",
         "--from "),
        ("job.sh", "#!/bin/sh\ntorchrun --nproc_per_node 8 train.py --max_steps 5\n", "a launch script", "--from "),
        ("r.yaml", "corpus: {tokens: 1B}\nbatch: {global_batch: 8}\nphases: [{steps: 5, sequence_length: 8}]\n",
         "a recipe", ""),
    ],
)  # fmt: skip
def test_a_configuration_says_nothing_of_what_came_out(ask, tmp_path, name, content, what, fix):
    path = tmp_path / name
    path.write_text(content)
    error = ask(path, code=2)
    assert f"this is {what}, which" in error["asked"]
    assert error["fixes"][0] == f"dist-epochs plan {fix}{path}"


def test_a_table_is_audited_as_one(ask, tmp_path):
    path = tmp_path / "mix.csv"
    path.write_text("source,share,tokens\nweb,60%,200B\n")
    assert ask(path, code=2)["fixes"][0].startswith(f"dist-epochs audit --table {path}")


@pytest.mark.parametrize("name", ["https://arxiv.org/abs/1810.04805", "arXiv:1810.04805", "1810.04805v2"])
def test_a_paper_is_not_fetched(ask, name):
    assert "a paper is not fetched" in ask(name, code=2)["asked"]


def test_many_of_nothing_is_an_error(tmp_path):
    result = CliRunner().invoke(main, ["audit", "--many", str(tmp_path)])
    assert (result.exit_code, "there is nothing to audit in it" in result.stderr) == (2, True)


def test_a_folder_without_a_run(ask, tmp_path):
    assert "no finished run in this folder" in ask(tmp_path, code=2)["asked"]
    (tmp_path / "my log.txt").write_text("hello")
    assert ask(tmp_path, code=2)["fixes"] == [f"dist-epochs audit '{tmp_path}/my log.txt'"]
    for name in ("b.log", "a.log"):
        (tmp_path / name).write_text("hello")
    assert ask(tmp_path, code=2)["fixes"] == [f"dist-epochs audit {tmp_path}/{name}.log" for name in "ab"]


def test_a_claim_file_that_is_json_stays_a_claim(ask, tmp_path):
    path = tmp_path / "claim.json"
    claim = {"title": "mine", "facts": {"steps": "10 steps"}, "checks": {"steps": {"formula": "steps", "stated": "10"}}}
    path.write_text(json.dumps(claim))
    assert "kind" not in ask(path)


def test_flags_are_for_runs(ask):
    assert "flags are claims about a finished run, and bert is not one" in ask("bert", "--steps", "1M", code=2)["asked"]
    assert "--all is not one" in ask("--all", "--steps", "1M", code=2)["asked"]


@pytest.mark.parametrize(
    ("flag", "value", "field", "message"),
    [
        ("--corpus", "5", "asked", "has no unit"),
        ("--devices", "two", "asked", "--devices 'two' is not a number"),
        ("--corpus", "5 words", "asked", "counts words"),
        ("--steps", "2.5", "rule", "it must be a whole number"),
        ("--steps", "5 epochs", "rule", "it must count steps"),
        ("--epochs", "0", "rule", "above zero"),
        ("--mfu", "45.5", "asked", "impossible"),
        ("--devices", "H100", "asked", "does not say how many"),
        ("--model", "llama-9b", "asked", "is not a size known by name"),
        ("--precision", "int3", "rule", "fp32, tf32, bf16"),
        ("--parameters", "7 tokens", "rule", "it is a plain number"),
    ],
)
def test_wrong_flags(ask, logs, flag, value, field, message):
    assert message in ask(logs / "megatron.log", flag, value, code=2)[field]


def test_what_is_missing_is_named(ask, logs):
    found = ask(logs / "trainer_state.json", "--devices", "8", "--epochs", "3", "--mfu", "40%")
    assert found["verdict"] == "underdetermined"
    for part in (
        "devices cannot be derived without the global batch",
        "MFU cannot be derived without the kind of the devices",
        "--precision",
        "tokens a second",
    ):
        assert part in found["missing"]


def test_a_model_and_its_throughput(ask, logs):
    """Twice the FLOPs that the log has: the log counts half the keys, or the model is another."""
    found = ask(logs / "megatron.log", "--devices", "16xH100", "--model", "llama-7b")
    shares = [check["value"] for check in found["readings"][0]["checks"] if check["name"] == "mfu"]
    assert shares == [pytest.approx(0.344, abs=1e-3), pytest.approx(46_084_915_200 * 209_715.2 / (16 * 989.4e12))]


def test_the_object(ask, logs):
    found = ask(logs / "megatron.log", "--devices", "16")
    assert found.keys() >= {
        "id",
        "kind",
        "verdict",
        "only_if",
        "readings",
        "notes",
        "missing",
        "read",
        "segments",
        "overlaps",
        "gaps",
    }
    reading = found["readings"][0]
    assert reading.keys() == {"name", "literal", "assumes", "checks"}
    assert reading["checks"][0].keys() >= {
        "name",
        "derived",
        "stated",
        "agreement",
        "by",
        "how",
        "value",
        "low",
        "high",
        "ratio",
    }


@pytest.mark.parametrize(
    ("flags", "field", "message"),
    [
        (["--corpus", "5B words"], "fixes", "'5B tokens'"),
        (["--steps", "0"], "fixes", "a whole number from 1 on"),
        (["--steps", "0"], "asked", "--steps 0: nothing is claimed of a run by zero"),
        (["--tokens", "1e400"], "asked", "--tokens '1e400' is beyond anything this tool counts"),
        (["--all"], "fixes", "--all alone"),
    ],
)
def test_messages_name_a_way_out(ask, logs, flags, field, message):
    assert message in ask(logs / "olmo.log", *flags, code=2)[field]


def test_a_path_that_is_not_there(ask):
    error = ask("nosuchdir/", code=2)
    assert (error["place"], error["asked"]) == ("nosuchdir/", "no such file or folder")


def test_a_wrong_number_of_steps_needs_no_other_readings(ask, logs):
    claims = ("--corpus", "698 samples", "--global-batch", "32", "--steps", "5")
    assert len(ask(logs / "trainer_state.json", *claims, code=1)["readings"]) == 1


def test_one_step_made_twice(tell, tmp_path):
    line = " iteration {0:8d}/     350 | consumed samples: {1} | global batch size: 8 | lm loss: 1.0E+00 |\n"
    path = tmp_path / "run.log"
    path.write_text("".join(line.format(step, step * 8) for step in (1, 2, 1)))
    assert "1 step made twice" in tell(path)


RECORDS = sorted(path.name for path in (Path(__file__).parents[1] / "readers" / "logs").iterdir())


@pytest.mark.parametrize("name", [name for name in RECORDS if name not in ("README.md", "git_lfs_pointer.json")])
def test_a_run_fits_a_terminal(logs, name, monkeypatch):
    monkeypatch.chdir(logs)
    claims = read_claims({"devices": "8", "steps": "7", "mfu": "30%", "tokens": "300B"})
    found = audit_run(read_finished_run(Path(name)), claims)
    lines = audit_text(found).splitlines()
    assert len(lines) <= 24
    assert lines[0].split()[0].rstrip(":") in ("CONSISTENT", "INCONSISTENT", "UNDERDETERMINED")
    full = audit_text(found, full=True)
    assert max(map(len, (*lines, *full.splitlines()))) <= 80
    assert all(note in " ".join(full.split()) for note in found.notes)
    assert audit_markdown(found).startswith(f"### {name.split('_')[0]}")
