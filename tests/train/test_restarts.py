"""Jobs that are started again: what is recorded, and what is refused because it would never get anywhere."""

import json
import shutil

import pytest
from accelerate.state import AcceleratorState
from click.testing import CliRunner

from dist_epochs.errors import error_text
from dist_epochs.ledger.saves import Saves, read_saves
from dist_epochs.train.__main__ import main
from dist_epochs.train.restarts import Attempt, slow_checkpoint, this_attempt, time_limit_error

FIXES = (
    "a longer --time",
    "shorter checkpoints.time or checkpoints.steps",
    "more seconds between the stop signal and the end (Slurm: --signal=B:TERM@SECONDS)",
)
FIRST = {"job": "slurm 7"}
SECOND = Attempt(job="slurm 7", slurm_restarts=1)


def test_a_launch_of_torchrun_keeps_its_name_when_it_starts_its_ranks_again():
    attempts = [this_attempt({"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": count}) for count in "01"]
    assert attempts[0].job == attempts[1].job
    assert attempts[1].follows(attempts[0].facts())
    assert not attempts[0].follows(attempts[0].facts())


@pytest.mark.parametrize(
    ("saves", "attempt"),
    [
        (Saves(facts=FIRST), Attempt(job="slurm 8", slurm_restarts=1)),  # another job
        (Saves(facts=FIRST), Attempt(job="slurm 7")),  # started by hand in the same job
        (Saves(facts=FIRST, checkpoints=1), SECOND),
        (Saves(facts=FIRST, status="failed"), SECOND),  # an error that has a reason of its own
        (Saves(facts={**FIRST, "slurm_restarts": 1}), SECOND),
        (Saves(), Attempt()),
    ],
)
def test_other_starts_are_not_refused(tmp_path, saves, attempt):
    assert time_limit_error(saves, attempt, 0.0, tmp_path) is None


@pytest.mark.parametrize("status", ["no end", "stopped"])
def test_a_restart_after_a_segment_that_saved_nothing(tmp_path, status):
    error = time_limit_error(Saves(facts=FIRST, status=status), SECOND, 0.0, tmp_path)
    assert error.asked == "Slurm's job 7 was restarted and no step had been saved"
    assert error.rule == "the time limit (or what ends it) is too short for start-up and a checkpoint"
    assert error.fixes == FIXES


@pytest.mark.parametrize(("left", "refused"), [(100, False), (99, True), (-5, True)])
def test_too_little_time_for_a_checkpoint_like_the_last_one(tmp_path, left, refused):
    saves = Saves(facts=FIRST, checkpoints=1, checkpoint_seconds=60.0, first_step_seconds=40.0)
    error = time_limit_error(saves, Attempt(job="slurm 8", ends=1000.0 + left), 1000.0, tmp_path)
    assert (error is not None) == refused
    if error:
        needed = f"the job ends in {max(left, 0)} s, and this run needs 100 s for start-up and a checkpoint"
        assert error.asked == needed
        assert error.rule == "its last start took 40 s up to the first step, its last checkpoint 60 s"


def test_a_checkpoint_that_takes_too_long_is_said():
    launched = Attempt(job="torchrun a", torchrun_restarts=0)
    assert slow_checkpoint(29.0, launched, 0.0) is None
    assert slow_checkpoint(41.0, Attempt(), 0.0) is None
    said = slow_checkpoint(41.0, launched, 0.0)
    assert said.startswith("a checkpoint took 41 s, and torchrun or accelerate launch ends its ranks 30 s after a stop")
    said = slow_checkpoint(41.0, Attempt(job="slurm 7", ends=20.0), 0.0)
    assert said == "a checkpoint took 41 s, and the job ends in 20 s: no other one can be saved before"


@pytest.fixture
def train(tmp_path, store, write_recipe, monkeypatch):
    recipe = write_recipe(store.path, checkpoints={"steps": 4})

    def run(*words, **environment):
        AcceleratorState._reset_state(reset_partial_state=True)
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            return CliRunner().invoke(main, [str(recipe), "--out", str(tmp_path / "run"), *words])

    yield run
    AcceleratorState._reset_state(reset_partial_state=True)


def test_the_ledger_has_the_times_and_a_restart_without_progress_is_refused(tmp_path, train):
    assert train(SLURM_JOB_ID="7").exit_code == 0
    ledger = tmp_path / "run" / "ledger.jsonl"
    saves = read_saves(ledger)
    assert (saves.facts["job"], saves.status, saves.checkpoints) == ("slurm 7", "finished", 3)
    assert saves.checkpoint_seconds > 0
    assert saves.first_step_seconds > 0

    lines = ledger.read_text().splitlines(keepends=True)  # as if it had been killed around its first checkpoint
    first = next(at for at, line in enumerate(lines) if json.loads(line)["event"] == "checkpoint")

    def refused(length, **environment):
        ledger.write_text("".join(lines[:length]))
        before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
        result = train("--resume", **environment)
        assert result.exit_code == 2
        assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
        return result.stderr

    assert f"error: {tmp_path}/run: the job ends in 0 s, and this run needs " in refused(
        first + 1, SLURM_JOB_ID="8", SLURM_JOB_END_TIME="1000"
    )
    error = time_limit_error(Saves(facts=FIRST), SECOND, 0.0, tmp_path / "run")
    assert refused(first, SLURM_JOB_ID="7", SLURM_RESTART_COUNT="1") == error_text(error) + "\n"
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert train("--resume", SLURM_JOB_ID="8").exit_code == 0
