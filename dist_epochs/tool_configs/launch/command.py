"""The command line of `accelerate launch`: written for a recipe, and read where a run finds itself launched."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from dist_epochs.errors import InputError
from dist_epochs.settings.located import read_text
from dist_epochs.tool_configs.launch.launch import Launch
from dist_epochs.tool_configs.readers.accelerate import read_accelerate_file

__all__ = ["asked_processes", "is_accelerate_launch", "is_batch_script", "launch_command", "processes_command"]


def launch_command(launch: Launch, recipe: Path | None) -> str:
    """The command that works, once the file has no findings: on the first machine, where there are several.

    Args:
        launch: The launch.
        recipe: The recipe's file; None where flags alone were planned.
    """
    file = launch.file
    if file.is_script:
        words = ["sbatch" if is_batch_script(file.path) else "bash", str(file.path)]
        if RECIPE_AND_RUN in read_text(file.path):
            words += ["RECIPE" if recipe is None else str(recipe), "RUN"]
        return shlex.join(words)
    options = ["--config_file", str(file.path)]
    if file.processes is None and launch.planned is not None:
        options += ["--num_processes", str(launch.planned)]
    if file.machines > 1 and not file.is_by_mpirun:
        options += ["--machine_rank", "0"]
    batch = launch.plan.recipe.batch
    settings = []
    if batch.global_batch is None and not launch.states_devices and batch.devices is not None:
        settings = ["--set", f"batch.devices={batch.devices}"]
    return _written(options, "RECIPE" if recipe is None else str(recipe), settings, on_cpu=file.on_cpu)


RECIPE_AND_RUN = "\nexport recipe=${1"
"""How a script begins a line that takes the recipe and the run directory as arguments, as launch/slurm.sbatch does."""


def is_batch_script(path: Path) -> bool:
    """Whether a launch script is submitted to Slurm."""
    return "\n#SBATCH" in read_text(path)


def processes_command(processes: int, *, on_cpu: bool) -> str:
    """A launch of this package's trainer that gives so many connected ranks on one machine."""
    if processes == 1:
        return "python -m dist_epochs.train RECIPE --out RUN"
    return _written(["--multi_gpu", "--num_processes", str(processes)], "RECIPE", [], on_cpu=on_cpu)


def _written(options: Sequence[str], recipe: str, settings: Sequence[str], *, on_cpu: bool) -> str:
    words = ["accelerate", "launch", *options, "-m", "dist_epochs.train", recipe, "--out", "RUN", *settings]
    return f"{'ACCELERATE_USE_CPU=true ' if on_cpu else ''}{shlex.join(words)}"


def is_accelerate_launch(words: Sequence[str]) -> bool:
    """Whether a command line is `accelerate launch`, in any of its spellings.

    Examples:
        >>> is_accelerate_launch(["/bin/python", "/bin/accelerate-launch", "--cpu"])
        True
    """
    names = [Path(word).name for word in words[:4]]
    modules = ("accelerate.commands.launch", "accelerate/commands/launch.py")
    return (
        "accelerate-launch" in names
        or ("accelerate" in names and "launch" in words)
        or any(word.endswith(modules) for word in words[:4])
    )


def asked_processes(words: Sequence[str], default_file: Path) -> int | None:
    """The number of processes on one machine that an `accelerate launch` command line, or its file, asks for.

    Args:
        words: The command line.
        default_file: The file that the launcher reads where none is named; with `--cpu` it reads none.

    Returns:
        The processes; None if they are left open, or on several machines.

    Examples:
        >>> line = ["accelerate", "launch", "--cpu", "--num_processes", "2", "-m", "dist_epochs.train"]
        >>> asked_processes(line, Path("none.yaml"))
        2
    """
    options: dict[str, str] = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        options.setdefault(name.lstrip("-").replace("-", "_"), value if equals else following)
    stated: int | None = None
    machines = 1
    path = Path(options["config_file"]) if "config_file" in options else default_file
    if path.is_file() and ("config_file" in options or "cpu" not in options):
        try:
            file = read_accelerate_file(path)
        except InputError:  # the launcher took it, or there would be no run
            return None
        stated, machines = file.processes, file.machines
    processes, on_machines = options.get("num_processes", str(stated)), options.get("num_machines", str(machines))
    return int(processes) if processes.isdigit() and on_machines == "1" else None
