"""The command that resumes a run is the one that was typed, with every launcher."""

import pytest

from dist_epochs.train.command import SAME_COMMAND, resume_command

TRAIN = ["r.yaml", "--out", "runs/my run"]


def process(folder, words, **environment):
    """What `/proc` shows of a launcher."""
    (folder / "cmdline").write_text("".join(f"{word}\0" for word in words))
    (folder / "environ").write_text("".join(f"{name}={value}\0" for name, value in environment.items()))
    return folder


def test_without_a_launcher():
    assert resume_command(TRAIN, {}) == "python -m dist_epochs.train r.yaml --out 'runs/my run' --resume"


@pytest.mark.parametrize("flag", ["--resume", "--replan"])
def test_a_command_that_resumes_already_is_left_as_it_is(flag):
    assert resume_command([*TRAIN, flag], {}).count("--re") == 1


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["/bin/python3", "/bin/accelerate", "launch", "--num_processes", "2"], "accelerate launch --num_processes 2"),
        (["/bin/python3", "/bin/torchrun", "--nproc-per-node", "2"], "torchrun --nproc-per-node 2"),
        (["python", "-m", "accelerate.commands.launch"], "python -m accelerate.commands.launch"),
    ],
)
def test_a_launcher(tmp_path, words, shown):
    typed = process(tmp_path, [*words, "-m", "dist_epochs.train", *TRAIN], ACCELERATE_USE_CPU="true", HOME="/root")
    found = resume_command(TRAIN, {"RANK": "0"}, typed)
    assert found == f"ACCELERATE_USE_CPU=true {shown} -m dist_epochs.train r.yaml --out 'runs/my run' --resume"


@pytest.mark.parametrize(
    ("name", "arguments", "shown"),
    [
        ("dist-epochs", [*TRAIN, "--resume"], "the same job script"),
        ("dist-epochs", TRAIN, "the same job script, with --resume in it"),
        ("bash", TRAIN, "python -m dist_epochs.train r.yaml --out 'runs/my run' --resume"),
    ],
)
def test_a_job_of_slurm(name, arguments, shown):
    assert resume_command(arguments, {"SLURM_JOB_NAME": name}) == shown


def test_a_parent_that_is_no_launcher(tmp_path):
    assert resume_command(TRAIN, {"RANK": "0"}, process(tmp_path, ["slurmstepd: [7.0]"])) == SAME_COMMAND
    assert resume_command(TRAIN, {"RANK": "0"}, tmp_path / "nowhere") == SAME_COMMAND
