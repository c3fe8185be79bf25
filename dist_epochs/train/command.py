"""The command that goes on with a run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["SAME_COMMAND", "resume_command"]

SAME_COMMAND = "the same command with --resume"
"""Where the command itself is not known."""

LAUNCH_VARIABLES = ("ACCELERATE_USE_CPU", "CUDA_VISIBLE_DEVICES")
"""Variables that people put before a launch, and that decide which processes it starts."""


def resume_command(arguments: Sequence[str], environment: Mapping[str, str], process: Path | None = None) -> str:
    """What to type to go on with this run: the command it was started with, and `--resume`.

    Args:
        arguments: Of this program, without its name.
        environment: Of this program: where it has a rank, the launcher above it was typed.
        process: Folder of `/proc` that tells of that launcher; by default the one of the parent process.

    Examples:
        >>> resume_command(["r.yaml", "--out", "a run"], {})
        "python -m dist_epochs.train r.yaml --out 'a run' --resume"
    """
    if "RANK" in environment:
        process = process or Path(f"/proc/{os.getppid()}")
        try:
            words = [word.decode() for word in (process / "cmdline").read_bytes().split(b"\0")[:-1]]
            given = dict(
                line.split("=", 1) for line in (process / "environ").read_bytes().decode().split("\0") if "=" in line
            )
        except (OSError, UnicodeDecodeError):
            return SAME_COMMAND
        if len(words) < 2 or words[-len(arguments) :] != list(arguments):
            return SAME_COMMAND
        if not words[1].startswith("-"):  # a script of its own, such as accelerate or torchrun, run by an interpreter
            words = [Path(words[1]).name, *words[2:]]
        before = [f"{name}={shlex.quote(given[name])}" for name in LAUNCH_VARIABLES if name in given]
    else:
        words, before = ["python", "-m", "dist_epochs.train", *arguments], []
    again = [] if {"--resume", "--replan"} & set(arguments) else ["--resume"]
    return " ".join([*before, shlex.join([*words, *again])])
