"""Every rank's trouble is told once, all ranks end with an exit code that is not 0, and nothing is left behind."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from socket import gethostname
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent.parent
IMPATIENT = ["--set", "timeout=1 second"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
PROGRAM = [sys.executable, "-m", "dist_epochs.train"]
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("WANDB", "ACCELERATE", "SLURM", "TORCHELASTIC", "RANK", "WORLD_SIZE", "LOCAL_RANK", "OMP"))
}


@pytest.fixture(scope="module")
def forks(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.distributed.troubled"], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=CLEAN | {"HOME": str(home), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    yield process
    process.stdin.close()
    process.wait()
    process.stdout.close()


@pytest.fixture
def launch(forks, store, write_recipe, tmp_path):
    """Start two ranks on two hosts; each may have words, a fault and variables of its own."""
    recipe = write_recipe(store.path)

    def start(*ranks, out=tmp_path / "run"):
        before = sorted(tmp_path.rglob("*"))
        for number, one in enumerate(ranks):
            one.setdefault("rank", number)
            one.setdefault("host", f"node-{'ab'[number % 2]}")
            one.setdefault("fault", "")
            one.setdefault("environment", {})
            words = one.pop("words", [])
            one["arguments"] = [
                str(one.pop("recipe", recipe)), "--out", str(one.pop("out", out)), *words,
            ]  # fmt: skip
        forks.stdin.write(json.dumps(ranks) + "\n")
        forks.stdin.flush()
        ended = SimpleNamespace(**json.loads(forks.stdout.readline()))
        ended.left = [path for path in sorted(tmp_path.rglob("*")) if path not in before]
        return ended

    return start


def check_told_once(ended, *lines, code=2, speaker=0):
    """The speaker prints the lines, the others nothing."""
    assert ended.codes == [code] * len(ended.codes), ended.errors
    assert ended.errors[speaker].splitlines() == list(lines)
    others = [text for rank, text in enumerate(ended.errors) if rank != speaker]
    assert others == [""] * len(others)
    assert ended.left == []


def test_ranks_that_agree_train(launch):
    ended = launch({}, {})
    assert ended.codes == [0, 0], ended.errors
    assert [path for path in ended.left if path.name.startswith(".")] == []


def test_a_recipe_that_is_missing_on_one_host(launch, tmp_path):
    ended = launch({}, {"recipe": tmp_path / "none.yaml"})
    check_told_once(
        ended,
        f"error: {tmp_path}/none.yaml: no such file",
        "  on rank 1 (node-b); the launch has 2 ranks",
        f"  try {tmp_path}/recipe.yaml",
    )


def test_a_recipe_that_is_missing_everywhere_names_no_rank(launch, tmp_path):
    gone = tmp_path / "none.yaml"
    ended = launch({"recipe": gone}, {"recipe": gone})
    check_told_once(ended, f"error: {gone}: no such file", f"  try {tmp_path}/recipe.yaml")


def test_a_store_that_is_missing_where_rank_0_runs(launch, tmp_path):
    ended = launch({"words": ["--set", "corpus.store=nowhere"]}, {})
    (line, where) = ended.errors[0].splitlines()[:2]
    assert "nowhere" in line
    assert where == "  on rank 0 (node-a); the launch has 2 ranks"
    check_told_once(ended, *ended.errors[0].splitlines())


def test_a_rank_that_does_not_come(launch):
    ended = launch({"environment": {"SLURM_JOB_NODELIST": "node-a,node-b"}, "words": IMPATIENT})
    check_told_once(
        ended,
        "error: rank 1 of 2 did not come in 1 s, and nothing came from node-b",
        "  those that came: rank 0 (node-a)",
        "  no rank has begun, and nothing was written",
        "  try the messages of those that are missing (a machine that is down, a Python without this package)",
        "  try a launch with the machines that came",
    )


def test_rank_0_does_not_come(launch):
    ended = launch({"rank": 1, "environment": {"LOCAL_RANK": "0"}, "words": IMPATIENT})
    (line, where, *fixes) = ended.errors[0].splitlines()
    assert line.startswith("error: rank 0 did not open 127.0.0.1:")
    assert line.endswith(" in 1 s")
    assert where == "  waiting for it: rank 1 (node-a) of 2; Connection refused"
    check_told_once(ended, line, where, *fixes)


def test_two_processes_with_one_rank(launch):
    three = {"WORLD_SIZE": "3"}
    ended = launch({"environment": three}, {"environment": three}, {"rank": 1, "host": "node-c", "environment": three})
    check_told_once(
        ended,
        "error: 2 processes say that they are rank 1 of 3",
        "  they run on node-b, node-c",
        "  no rank has begun, and nothing was written",
        "  try a number of its own for each machine (--machine_rank, --node-rank)",
        "  try another port for each launch",
    )


def test_another_code_recipe_and_store_on_one_host(launch, mixed_store):
    ended = launch({}, {"fault": "old code", "words": ["--set", "optimizer.learning_rate=0.5"]})
    code = ended.errors[0].splitlines()[1].split()[4]
    check_told_once(
        ended,
        "error: ranks differ in code and recipe",
        f"  the code of dist_epochs: {code} on rank 0 (node-a); 0ld on rank 1 (node-b)",
        "  recipe: optimizer.learning_rate: 0.001 on rank 0 (node-a); 0.5 on rank 1 (node-b)",
        "  they would train on other data than planned, or wait for each other; nothing was written",
        "  try one Python environment for all machines, on a file system they share, or the same versions on each",
        "  try the same recipe file and the same --set on every machine",
    )
    ended = launch({}, {"fault": "old torch", "words": ["--set", f"corpus.store={mixed_store.path}"]})
    lines = ended.errors[0].splitlines()
    assert lines[0] == "error: ranks differ in code and store"
    assert lines[1].endswith("; 2.0.0 on rank 1 (node-b)")
    assert lines[2].startswith("  the store: ")
    check_told_once(ended, *lines)


def test_a_run_directory_that_is_not_shared(launch, tmp_path):
    (tmp_path / "own").mkdir()
    ended = launch({}, {"out": tmp_path / "own" / "run"})
    check_told_once(
        ended,
        f"error: {tmp_path}/run: rank 1 (node-b) of 2 cannot see what rank 0 writes there",
        "  All ranks write their parts of a checkpoint into one folder",
        "  nothing was written",
        "  try an --out on a file system that all machines share",
    )


def test_a_clock_that_is_wrong(launch):
    ended = launch({}, {"fault": "clock"})
    check_told_once(
        ended,
        "error: the clocks of 1 of 2 hosts are apart from rank 0's",
        "  beside node-a, where rank 0 runs, by more than 30 s:",
        "  node-b is 95 s ahead",
        "  times and rates in the ledger would be wrong after a restart; nothing was written",
        "  try a time service (chrony, ntpd) on these hosts; `chronyc tracking` shows how far a clock is off",
    )


def test_an_error_while_the_others_wait_for_the_rank(launch):
    ended = launch({}, {"fault": "after they met"})
    check_told_once(ended, "error: a.yaml:3: no such plan", "  on rank 1 (node-b); the launch has 2 ranks")


@pytest.mark.parametrize(
    ("fault", "last"), [("device", "RuntimeError: the device is busy"), ("bug", "ZeroDivisionError: a bug")]
)
def test_an_unexpected_error_has_its_traceback_once(launch, fault, last):
    ended = launch({}, {"fault": fault})
    lines = ended.errors[0].splitlines()
    assert lines[:2] == ["error: on rank 1 (node-b) of 2 before training:", "Traceback (most recent call last):"]
    assert lines[-1] == last
    check_told_once(ended, *lines, code=1)


@pytest.mark.parametrize("gone", [0, 1])
def test_a_rank_that_is_killed_before_training(launch, gone):
    ended = launch(
        *({"fault": "killed" if rank == gone else "", "environment": {"LOCAL_RANK": "0"}} for rank in (0, 1))
    )
    assert (ended.codes[gone], ended.errors[gone]) == (-9, "")
    said = ended.errors[1 - gone]
    assert ended.codes[1 - gone] in (1, 2)
    assert ended.left == []
    if gone:
        assert said.startswith("error: rank 1 (node-b) of 2 is gone; on rank 0 (node-a) of 2 before training:\n")
    else:
        assert "error: the connection to rank 0 broke\n  waiting for it: rank 1 (node-b) of 2; RuntimeError: " in said


def test_torchrun_ends_with_the_error_of_one_rank(store, write_recipe, tmp_path):
    """The ranks meet in the store of torchrun's agent. Only rank 0 finds its recipe."""
    write_recipe(store.path).rename(tmp_path / "recipe-0.yaml")
    command = shlex.join([*PROGRAM, f"{tmp_path}/recipe-RANK.yaml", "--out", str(tmp_path / "run")]).replace(
        "RANK", "$RANK"
    )
    result = subprocess.run(
        [*TORCHRUN, "--standalone", "--nproc_per_node", "2", "--no-python", "bash", "-c", command],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=240,
        env=CLEAN | {"HOME": str(tmp_path), "ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip
    assert result.returncode != 0
    told = f"error: {tmp_path}/recipe-1.yaml: no such file\n  on rank 1 ({gethostname()}); the launch has 2 ranks\n"
    assert result.stderr.count(told) == 1
    assert result.stderr.count("no such file") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["recipe-0.yaml"]


def test_a_process_that_was_started_alone_names_the_missing_rank(store, write_recipe, tmp_path):
    place = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    result = subprocess.run(
        [*PROGRAM, str(write_recipe(store.path)), "--out", str(tmp_path / "run"), *IMPATIENT],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=240,
        env=CLEAN | place | {"HOME": str(tmp_path), "ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr.startswith(
        f"error: rank 1 of 2 did not come in 1 s\n  those that came: rank 0 ({gethostname()})\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]
