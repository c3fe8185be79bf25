"""How many processes a launcher starts, by its own flags: of a machine or in all, which differs between launchers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dist_epochs.errors import Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.slurm import gpus_of_a_node
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.references import known_file
from dist_epochs.tool_configs.script import Arguments
from dist_epochs.tool_configs.stated import LaunchSettings, Precision, merge

__all__ = ["launched"]

PRECISIONS: dict[str, Precision] = {"no": "fp32", "fp16": "fp16", "bf16": "bf16"}


def launched(arguments: Arguments, read: Callable[[Path], LaunchSettings]) -> LaunchSettings:
    """What the launcher's part of a command states.

    Args:
        arguments: The command.
        read: Reads a configuration that the launcher is given.

    Raises:
        InputError: If a value cannot be used.
    """
    launching = known_file(arguments.launching).top
    match arguments.launcher:
        case "torchrun":
            return LaunchSettings(devices=_product(launching, "nproc_per_node", "nnodes"))
        case "deepspeed":
            return LaunchSettings(devices=_by_deepspeed(launching))
        case "accelerate":
            return _by_accelerate(launching, read)
        case "srun":
            return LaunchSettings(devices=_by_slurm(arguments))
        case "python":
            visible = arguments.environment.get("CUDA_VISIBLE_DEVICES")
            shown = visible.text.count(",") + 1 if visible is not None else 1
            several, fix = (str(shown), f"--devices {shown}") if shown > 1 else ("several", "--devices")
            note = (
                f"one process is planned; with {several} visible devices the Trainer multiplies its micro-batch by them"
            )
            note += f": give {fix}"
            launching.remarks.notes.append(f"{launching.origin}: {note}")
            return LaunchSettings(devices=Stated(1, Origin(launching.origin.name, launching.origin.line)))
    count = arguments.environment.get("NGPU")
    if count is None or not count.text.isdigit():
        launching.remarks.notes.append(f"{launching.origin}: how many processes start is not known: give --devices")
        return LaunchSettings()
    return LaunchSettings(devices=Stated(int(count.text), Origin(launching.origin.name, count.line)))


def _product(launching: Section, each: str, machines: str) -> Stated[int] | None:
    """Processes of a machine × machines, 1 where they are not stated; None where they are left open."""
    counts: list[int] = []
    for key in (each, machines):
        if launching.is_unknown(key):
            launching.note(key, "known at the launch only: give --devices")
            return None
        word = launching.text(key)
        if word is not None and not word.value.isdigit():
            launching.note(key, f"{word.value} is known at the launch only: give --devices")
            return None
        counts.append(1 if word is None else int(word.value))
    if launching.states(each) and counts[1] > 1:
        launching.note(each, f"of each machine: {counts[0]} × {counts[1]} machines")
    return Stated(counts[0] * counts[1], launching.where(each)) if counts[0] * counts[1] else None


def _by_deepspeed(launching: Section) -> Stated[int] | None:
    hosts = launching.text("include")
    if hosts is not None:
        listed = [host.partition(":")[2] for host in hosts.value.split("@")]
        if all(listed):
            return Stated(sum(len(devices.split(",")) for devices in listed), hosts.where)
    if not launching.states("num_gpus"):
        where = f"{launching.origin}: deepspeed starts a process on every device that it finds"
        launching.remarks.notes.append(f"{where}: give --devices")
        return None
    return _product(launching, "num_gpus", "num_nodes")


def _by_accelerate(launching: Section, read: Callable[[Path], LaunchSettings]) -> LaunchSettings:
    """`--num_processes` is the total; flags win over the file of `--config_file`."""
    word = launching.text("mixed_precision")
    own = LaunchSettings(
        devices=launching.count("num_processes"),
        gradient_accumulation=launching.count("gradient_accumulation_steps"),
        precision=Stated(PRECISIONS[word.value], word.where) if word and word.value in PRECISIONS else None,
        zero_stage=launching.count("zero_stage", least=0),
    )
    name = launching.text("config_file")
    if name is not None:
        found = [path for path in (Path(name.value), launching.file.parent / name.value) if path.is_file()]
        if not found:
            launching.note("config_file", "no such file here: what it says is missing, such as the processes")
            return own
        overridden: dict[str, Any] = dict.fromkeys(own.stated())
        return merge([replace(read(found[0]), tools=(), **overridden), own])  # the file is the launcher's alone
    if own.devices is None:
        launching.remarks.notes.append(
            f"{launching.origin}: accelerate starts a process on every device that it finds: give --devices"
        )
    return own


def _by_slurm(arguments: Arguments) -> Stated[int] | None:
    """Tasks that the batch system is asked for; `srun` starts one process for each."""
    asked = arguments.batch_system
    machines, each = asked.get("nodes", "1"), asked.get("ntasks_per_node") or gpus_of_a_node(asked) or ""
    origin = arguments.launching.origin
    if not (machines.isdigit() and each.isdigit()):
        arguments.launching.remarks.notes.append(f"{origin}: srun starts what #SBATCH asks for: give --devices")
        return None
    arguments.launching.remarks.notes.append(f"{origin}: #SBATCH asks for {each} on each of {machines} machines")
    return Stated(int(machines) * int(each), Origin(f"{origin.name} #SBATCH"))
