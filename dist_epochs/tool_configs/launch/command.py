"""The command that launches a recipe with a launch file."""

from __future__ import annotations

import shlex
from pathlib import Path

from dist_epochs.tool_configs.launch.launch import Launch

__all__ = ["launch_command"]


def launch_command(launch: Launch, recipe: Path | None) -> str:
    """The command that works, once the file has no findings: on the first machine, where there are several.

    Args:
        launch: The launch.
        recipe: The recipe's file; None where flags alone were planned.
    """
    file = launch.file
    words = ["accelerate", "launch", "--config_file", str(file.path)]
    if file.processes is None and launch.planned is not None:
        words += ["--num_processes", str(launch.planned)]
    if file.machines > 1 and not file.is_by_mpirun:
        words += ["--machine_rank", "0"]
    words += ["-m", "dist_epochs.train", "RECIPE" if recipe is None else str(recipe), "--out", "RUN"]
    batch = launch.plan.recipe.batch
    if batch.global_batch is None and not launch.states_devices and batch.devices is not None:
        words += ["--set", f"batch.devices={batch.devices}"]
    return f"{'ACCELERATE_USE_CPU=true ' if file.on_cpu else ''}{shlex.join(words)}"
