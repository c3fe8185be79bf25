"""Checks that the launcher started the processes that were asked for: launchers may start others without an error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from accelerate import Accelerator
from accelerate.commands.config.config_args import default_config_file

from dist_epochs.errors import InputError
from dist_epochs.tool_configs.launch.command import asked_processes, is_accelerate_launch, processes_command
from dist_epochs.train.command import launcher_texts

__all__ = ["LaunchError", "check_environment", "check_launch"]


class LaunchError(InputError):
    """The launcher did not start the processes that were asked for."""


def check_environment(environment: Mapping[str, str], *, precision: str) -> None:
    """Refuse settings of the launch that contradict the recipe; call before `Accelerator()`.

    Args:
        environment: The process environment.
        precision: The precision of the recipe: `fp32`, `bf16` or `fp16`.

    Raises:
        LaunchError: If the environment sets gradient accumulation, compiling or another precision.
    """
    asked = environment.get("ACCELERATE_MIXED_PRECISION", "no")
    if asked not in ("no", "fp32", precision):
        raise LaunchError(
            f"the launch asks for mixed precision {asked}, and the recipe for {precision}",
            rule="the recipe decides",
            fixes=("launching with --mixed_precision no", f"precision: {asked} in the recipe"),
        )
    compiler = environment.get("ACCELERATE_DYNAMO_BACKEND", "no")
    if compiler.lower() != "no":
        raise LaunchError(
            f"the launch asks to compile the model with {compiler}",
            rule="the recipe decides",
            fixes=("launching with --dynamo_backend no", "compile: true in the recipe"),
        )
    name = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"
    if name in environment:
        raise LaunchError(
            f"{name}={environment[name]} is set",
            rule="Accelerate would let it override the recipe, whose global batch decides the micro-steps",
            fixes="unsetting it, and batch.global_batch or batch.per_device in the recipe",
        )


def check_launch(accelerator: Accelerator, *, planned: int | None, environment: Mapping[str, str]) -> None:
    """Compare the processes that run with those that were asked for.

    Args:
        accelerator: The accelerator, after it has connected the processes.
        planned: Data-parallel devices of the recipe, if it states them.
        environment: The process environment.

    Raises:
        LaunchError: If ranks are missing or not connected, or the number of devices is not the recipe's.
    """
    found, on_cpu = accelerator.num_processes, accelerator.device.type == "cpu"
    world = int(environment.get("WORLD_SIZE", "1"))
    if world != found:
        raise LaunchError(
            f"the launcher started {world} processes, but each of them is alone (rank 0 of {found})",
            rule="without GPUs, Accelerate connects processes only if ACCELERATE_USE_CPU is set",
            consequence=f"they would train {world} separate models on the same data",
            fixes=processes_command(world, on_cpu=True),
        )
    launcher = launcher_texts("cmdline")  # the only trace of processes that were not started
    asked = asked_processes(launcher, Path(default_config_file)) if is_accelerate_launch(launcher) else None
    if asked is not None and asked != found:
        raise LaunchError(
            f"`accelerate launch` was asked for {asked} processes and started {found}",
            rule="with --cpu, or a MULTI_CPU file, it starts a single process",
            fixes=processes_command(asked, on_cpu=True),
        )
    if planned is not None and planned != found:
        raise LaunchError(
            f"the recipe plans {planned} devices and this launch has {found}",
            consequence="micro-steps, time and memory would not be the planned ones",
            fixes=(
                processes_command(planned, on_cpu=on_cpu),
                f"--set batch.devices={found}, which plans for this launch",
            ),
        )
