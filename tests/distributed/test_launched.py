"""The real launcher: what works, and what is stopped."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from dist_epochs.ledger.reading import read_totals
from dist_epochs.ledger.reconcile import read_run
from tests.wandb_files import check_rows, counters_by_segment, offline_files

ROOT = Path(__file__).parent.parent.parent
ACCELERATE = shutil.which("accelerate", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("WANDB", "ACCELERATE", "RANK", "WORLD_SIZE", "LOCAL_RANK", "OMP"))
}
QUIET = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="these launches are wrong only without a GPU")


def launch(launcher, recipe, out, home, *overrides, resume=False, **environment):
    settings = [word for override in overrides for word in ("--set", override)]
    command = [
        str(ACCELERATE),
        "launch",
        *launcher,
        "-m",
        "dist_epochs.train",
        str(recipe),
        "--out",
        str(out),
        *settings,
        *(["--resume"] if resume else []),
    ]
    return subprocess.Popen(
        command, cwd=ROOT, env=CLEAN | {"HOME": str(home)} | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


@NO_GPU
@pytest.mark.parametrize(
    ("launcher", "part"),
    [
        (["--cpu", "--num_processes", "2"], "was asked for 2 processes and started 1"),
        (["--multi_gpu", "--num_processes", "2"], "started 2 processes, but each of them is alone"),
    ],
    ids=["one process in truth", "two lone ranks"],
)
def test_launches_that_go_wrong_quietly_are_stopped(tmp_path, store, write_recipe, launcher, part):
    process = launch([*launcher, *QUIET], write_recipe(store.path), tmp_path / "run", tmp_path)
    _, errors = process.communicate(timeout=240)
    assert process.returncode != 0
    assert part in errors
    assert "ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes 2 -m dist_epochs.train" in errors
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def launched(tmp_path_factory, store):
    """The demo's launch on a short recipe, tracked by wandb without a login."""
    folder = tmp_path_factory.mktemp("launched")
    recipe = folder / "recipe.yaml"
    text = (ROOT / "configs" / "demo.yaml").read_text()
    recipe.write_text(text.replace("../runs/demo-store", str(store.path)))
    short = ["phases.0={steps: 12, sequence_length: 16}", "phases.1={steps: 5, sequence_length: 32}", "log_every=5"]
    process = launch(
        ["--config_file", "launch/two-cpu-processes.yaml"],
        recipe,
        folder / "run",
        folder,
        *short,
        ACCELERATE_USE_CPU="true",
    )
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    return folder / "run", output, errors


def test_the_demo_s_launch_balances(launched):
    run, output, errors = launched
    result = read_run(run)
    assert result.agrees
    assert (result.totals.applied.steps, result.totals.applied.micro_steps) == (17, 34)
    assert result.totals.segments[0].facts["world_size"] == 2
    assert "the ledger equals the plan: 17 steps" in output
    assert "model: " in output
    assert "next: dist-epochs ledger" in output
    assert output.count("wandb: not logged in") == 1
    assert "Writing model shards" not in errors  # one bar, ours
    assert {entry.name for entry in run.iterdir()} == {
        "recipe.yaml", "model.json", "plan.json", "ledger.jsonl", "checkpoints", "model", "wandb",
    }  # fmt: skip


def test_model_and_tokenizer_load_in_transformers(launched):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    run, _, _ = launched
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(run / "model"), AutoTokenizer.from_pretrained(run / "model")
    inputs = tokenizer("the statement is executed", return_tensors="pt")
    assert model(**inputs).logits.shape[-1] == 2048
    assert tokenizer.mask_token == "[MASK]"


def test_the_offline_wandb_file_holds_the_true_counters(launched):
    """Read back by wandb's own inspector; the counters are recomputed from the step lines of the ledger."""
    run, _, _ = launched
    (file,) = offline_files(run)
    rows = file.rows
    trained = [row for row in rows if "train/loss" in row]
    assert [row["ledger/steps"] for row in trained] == [5, 10, 15, 17]
    plan = read_run(run).plan
    planned = {f"planned_{unit}": plan[unit] for unit in ("steps", "samples", "tokens")}
    assert len(check_rows(rows, counters_by_segment(run / "ledger.jsonl")[0], **planned)) == len(rows)
    assert any("evaluation/loss" in row for row in rows)
    result = read_run(run)
    summary = file.summary
    assert file.config["plan"]["tokens"] == summary["plan"]["tokens"] == result.totals.applied.counts.tokens
    assert summary["reconciliation"] == {"agrees": True, "differences": []}
    assert summary["ledger"]["sample_digest"] == result.plan["sample_digest"]
    over_tokens = [(row["ledger/tokens"], row["over_tokens/train/loss"]) for row in trained]
    assert over_tokens == [(row["ledger/tokens"], row["train/loss"]) for row in trained]
    assert file.axes["over_tokens/train/loss"] == file.axes["over_tokens/evaluation/loss"] == "ledger/tokens"
    assert file.axes["over_epochs/train/loss"] == "ledger/epoch"
    (table,) = file.tables
    assert [row[1:] for row in table["data"]] == [[plan[row[0]], plan[row[0]], 0, ""] for row in table["data"]]
    assert all(axis in file.axes for axis in ("ledger/steps", "ledger/tokens", "ledger/epoch", "train/*"))


def wait_for_steps(ledger, steps, process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if ledger.exists() and ledger.read_bytes().count(b'"applied"') >= steps:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    raise AssertionError("the run never got there")


def processes_of(folder):
    """Every process with this folder on its command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if str(folder).encode() in (entry / "cmdline").read_bytes() and int(entry.name) != os.getpid():
                    found.append(int(entry.name))
    return found


LONG = "phases.0.steps=100000"


TWO = ["--config_file", "launch/two-cpu-processes.yaml"]


@pytest.mark.parametrize("ctrl_c", [False, True], ids=["SIGTERM", "Ctrl-C"])
def test_a_stop_signal_saves_and_the_same_command_goes_on(tmp_path, store, write_recipe, ctrl_c):
    recipe, run = write_recipe(store.path, log_every=10), tmp_path / "run"
    steps = "phases.0.steps=200"
    process = launch(TWO, recipe, run, tmp_path, steps, resume=True, ACCELERATE_USE_CPU="true")
    wait_for_steps(run / "ledger.jsonl", 5, process)
    if ctrl_c:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does; the ranks have sessions of their own
    else:
        process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=240)
    result = read_run(run)
    assert result.totals.segments[0].status == "stopped"
    assert result.totals.segments[0].reason in ("SIGTERM", "SIGINT", "another rank was asked to stop")
    assert {difference.cause for difference in result.differences} == {"stopped early"}
    assert result.totals.unfinished == 0
    assert (run / "model" / "model.safetensors").is_file()
    last = result.totals.last_step
    assert [folder.name for folder in (run / "checkpoints").iterdir()] == [f"step-{last:09d}"]
    assert f"The checkpoint after step {last:,} is in {run}/checkpoints/step-{last:09d}; resume with: " in output
    assert (
        "resume with: ACCELERATE_USE_CPU=true accelerate launch --config_file launch/two-cpu-processes.yaml" in output
    )
    process = launch(TWO, recipe, run, tmp_path, steps, resume=True, ACCELERATE_USE_CPU="true")
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert f"resumes after step {last:,} (step-{last:09d})" in output
    result = read_run(run)
    assert result.agrees
    assert (result.totals.replayed.steps, result.goodput) == (0, 1)


def test_a_second_signal_leaves_at_once_and_the_run_says_so(tmp_path, store, write_recipe):
    """One rank is frozen, so that the other waits for it in a collective."""
    run = tmp_path / "run"
    process = launch(TWO, write_recipe(store.path), run, tmp_path, LONG, ACCELERATE_USE_CPU="true")
    wait_for_steps(run / "ledger.jsonl", 5, process)
    (frozen,) = [pid for pid in processes_of(tmp_path) if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes()]
    os.kill(frozen, signal.SIGSTOP)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    reason = "left at once"
    deadline = time.monotonic() + 120
    while reason not in (read_run(run).totals.segments[0].reason or ""):
        assert time.monotonic() < deadline, "it never left"
        time.sleep(0.1)
    os.kill(frozen, signal.SIGCONT)
    output, _ = process.communicate(timeout=240)
    assert "left at once. " in output
    assert f"{run} " in output.rpartition("with: ACCELERATE_USE_CPU=true accelerate launch ")[2]
    assert read_run(run).totals.segments[0].status == "stopped"
    assert not processes_of(tmp_path)


def test_ranks_do_not_outlive_their_launcher(tmp_path, store, write_recipe):
    launcher = ["--config_file", "launch/two-cpu-processes.yaml"]
    process = launch(launcher, write_recipe(store.path), tmp_path / "run", tmp_path, LONG, ACCELERATE_USE_CPU="true")
    wait_for_steps(tmp_path / "run" / "ledger.jsonl", 5, process)
    process.kill()
    process.communicate(timeout=240)
    assert not processes_of(tmp_path)
    segment = read_run(tmp_path / "run").totals.segments[0]
    assert (segment.status, segment.reason) == ("stopped", "the launcher is gone")


def test_wandb_without_a_connection_goes_on_offline(tmp_path, store, write_recipe):
    launcher = ["--config_file", "launch/two-cpu-processes.yaml"]
    environment = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_INIT_TIMEOUT": "3"}
    recipe = write_recipe(store.path, tracking={"wandb": "project"})
    process = launch(launcher, recipe, tmp_path / "run", tmp_path, ACCELERATE_USE_CPU="true", **environment)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    assert "wandb: no connection" in output
    assert read_run(tmp_path / "run").agrees
    assert list((tmp_path / "run").glob("wandb/offline-run-*/run-*.wandb"))


def test_a_kill_leaves_books_that_can_be_read(tmp_path, store, write_recipe):
    launcher = ["--config_file", "launch/two-cpu-processes.yaml"]
    process = launch(launcher, write_recipe(store.path), tmp_path / "run", tmp_path, LONG, ACCELERATE_USE_CPU="true")
    wait_for_steps(tmp_path / "run" / "ledger.jsonl", 5, process)
    for pid in processes_of(tmp_path):  # the launcher gives its ranks sessions of their own
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=240)
    totals = read_totals(tmp_path / "run" / "ledger.jsonl")
    assert totals.applied.steps >= 5
    assert totals.unfinished <= 1
    assert totals.segments[0].status == "no end"
    result = read_run(tmp_path / "run")
    assert {difference.cause for difference in result.differences} == {"not finished"}
    assert result.adds_up
