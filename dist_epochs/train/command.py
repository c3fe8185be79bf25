"""The command that resumes a run, and the command line of the launcher above this process."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from dist_epochs.settings.address import without_secrets

__all__ = ["SAME_COMMAND", "launcher_texts", "resume_command"]

SAME_COMMAND = "the same command with --resume"
"""What is shown where the command itself is not known."""

SHELLS = ("interactive", "bash", "sh", "zsh")
"""Names of jobs of Slurm that are a shell (`salloc`, `srun --pty bash`), in which commands can be typed."""

LAUNCH_VARIABLES = ("ACCELERATE_USE_CPU", "CUDA_VISIBLE_DEVICES")
"""Variables that are often set in front of a launch, and that decide which processes it starts."""


def resume_command(arguments: Sequence[str], environment: Mapping[str, str], process: Path | None = None) -> str:
    """What to type to resume this run: the command that started it, and `--resume`.

    Args:
        arguments: The arguments of this program, without its name.
        environment: The environment of this program. If it has a rank, the command was that of a launcher.
        process: The launcher's folder in `/proc`; by default that of the parent process.

    Examples:
        >>> resume_command(["r.yaml", "--out", "a run"], {})
        "python -m dist_epochs.train r.yaml --out 'a run' --resume"
        >>> resume_command(["r.yaml", "--out", "a", "--resume"], {"SLURM_JOB_NAME": "pretraining"})
        'the same job script'
    """
    again = [] if {"--resume", "--replan"} & set(arguments) else ["--resume"]
    if environment.get("SLURM_JOB_NAME", SHELLS[0]) not in SHELLS:
        return "the same job script" + ", with --resume in it" * len(again)
    if "RANK" in environment:
        words, variables = launcher_texts("cmdline", process), launcher_texts("environ", process)
        if len(words) < 2 or not variables or words[-len(arguments) :] != list(arguments):
            return SAME_COMMAND
        given = dict(variable.split("=", 1) for variable in variables if "=" in variable)
        if not words[1].startswith("-"):  # an interpreter runs a script, such as accelerate or torchrun
            words = [Path(words[1]).name, *words[2:]]
        before = [f"{name}={shlex.quote(given[name])}" for name in LAUNCH_VARIABLES if name in given]
    else:
        words, before = ["python", "-m", "dist_epochs.train", *arguments], []
    return " ".join([*before, shlex.join([*map(without_secrets, words), *again])])


def launcher_texts(name: str, process: Path | None = None) -> list[str]:
    """What `/proc` shows of the launcher that started this process; nothing where the system does not show it.

    Args:
        name: `cmdline`, for the words of its command line, or `environ`, for its variables as `NAME=VALUE`.
        process: Its folder in `/proc`; by default that of the parent process.
    """
    try:
        content = ((process or Path(f"/proc/{os.getppid()}")) / name).read_bytes()
    except OSError:
        return []
    return content.decode(errors="replace").split("\0")[:-1]
