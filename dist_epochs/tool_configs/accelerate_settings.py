"""What a plan takes from an Accelerate configuration.

`num_processes` counts all machines together, sections are read with their own `distributed_type` only, and some
combinations start fewer processes than that.
"""

from __future__ import annotations

from dist_epochs.errors import InputError
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.accelerate_file import (
    DEEPSPEED_ONLY,
    KINDS,
    KNOWN_KEYS,
    ONE_PROCESS,
    SECTION_OWNERS,
    AccelerateFile,
)
from dist_epochs.tool_configs.readers.accelerate import read_accelerate
from dist_epochs.tool_configs.sharding import SIZES, parallel_settings
from dist_epochs.tool_configs.stated import LaunchSettings, Precision, merge

__all__ = ["accelerate_settings"]

PRECISIONS: dict[str, Precision] = {"no": "fp32", "fp16": "fp16", "bf16": "bf16"}
MEGATRON_COUNTS = ("tp_degree", "pp_degree", "num_micro_batches", "context_parallel_size")


def accelerate_settings(top: Section) -> LaunchSettings:
    """What an Accelerate configuration states, and what its DeepSpeed file does.

    Raises:
        InputError: If a value cannot be used, processes and machines do not go together, or a key of a section stands
            outside of it.
    """
    _check_keys(top)
    file = read_accelerate(top)
    _check_kind(file)
    devices, machines = _devices(file), top.count("num_machines")
    if devices is not None and machines is not None and file.kind not in (*ONE_PROCESS, "XLA"):
        _check_machines(top, devices, machines)
    if devices is not None and devices.value > 1:
        _note_processes(file, devices.value)
    for key, owner in SECTION_OWNERS.items():
        if file.kind != owner and top.states(key):
            _ignore_all(top.section(key))
    if file.kind == "DEEPSPEED":
        _note_what_accelerate_refuses(file)
    elif file.kind == "MEGATRON_LM":
        _note_context_parallel(file)
    parts = [
        LaunchSettings(devices=devices, machines=machines, precision=_precision(file)),
        *file.engine,
        LaunchSettings(zero_stage=file.zero_stage if file.kind == "FSDP" else None),
        _parallelism(file),
    ]
    remarks = LaunchSettings(ignored=tuple(top.remarks.ignored), notes=tuple(top.remarks.notes))
    return merge([*parts, remarks])


def _check_keys(top: Section) -> None:
    for key in top.values:
        if key in DEEPSPEED_ONLY:
            raise InputError(
                f"{key} stands at the top, where Accelerate knows no such key and refuses the file",
                rule="it belongs into deepspeed_config, with distributed_type: DEEPSPEED; without DeepSpeed the script "
                "sets it",
                fixes="removing the line, or writing it below deepspeed_config",
                origin=top.line(key),
            )
        if key not in KNOWN_KEYS:
            top.note(key, "Accelerate 1.15 knows no such key and refuses the file")


def _check_kind(file: AccelerateFile) -> None:
    top = file.top
    if not file.is_local:
        key = "ec2_instance_type" if top.states("ec2_instance_type") else "compute_environment"
        top.note(key, "the instances decide how many processes start; give the devices")
    elif not file.kind:
        top.note("distributed_type", "Accelerate refuses a configuration without it")
    elif file.kind not in KINDS:
        top.refuse("distributed_type", f"one of {', '.join(KINDS)}")


def _devices(file: AccelerateFile) -> Stated[int] | None:
    top = file.top
    if not file.is_local:
        return None
    if file.processes is None:
        top.note("num_processes", "left to the launch (--num_processes): give the devices")
        top.ignore("num_processes")
        return None
    is_stated = top.states("num_processes")
    return Stated(file.processes, top.where("num_processes" if is_stated else "distributed_type"))


def _check_machines(top: Section, devices: Stated[int], machines: Stated[int]) -> None:
    each, rest = divmod(devices.value, machines.value)
    if rest or not each:
        raise InputError(
            f"{devices.value} processes do not divide by {machines.value} machines ({machines.where})",
            rule=f"Accelerate starts {devices.value} // {machines.value} = {each} on each, "
            f"{each * machines.value} in all",
            consequence="every count would be off",
            fixes=[f"num_processes: {count * machines.value}" for count in (each, each + 1) if count],
            origin=devices.where,
        )
    if machines.value > 1:
        top.note("num_processes", f"{devices.value} is the total: {each} on each of {machines.value} machines")


def _note_processes(file: AccelerateFile, processes: int) -> None:
    """Notes on combinations that do not start `num_processes` ranks of one run."""
    if file.kind in ONE_PROCESS and not file.is_by_mpirun:
        file.top.note(
            "num_processes",
            f"`accelerate launch` starts ONE process with distributed_type: {file.kind}, not {processes}: the global "
            f"batch would be 1/{processes} of this one. On GPUs use MULTI_GPU; on CPUs torchrun with "
            "ACCELERATE_USE_CPU=1.",
        )
    elif file.kind not in ONE_PROCESS and file.use_cpu:
        file.top.note(
            "use_cpu",
            f"on a machine without GPUs this starts {processes} separate runs, each rank 0 of 1: the launcher does not "
            "pass use_cpu on. Set ACCELERATE_USE_CPU=true in the environment.",
        )


def _precision(file: AccelerateFile) -> Stated[Precision] | None:
    key = "mixed_precision" if file.top.states("mixed_precision") else "fp16"
    if key == "fp16" and file.precision == "no":
        return None
    if file.precision == "fp8":
        file.top.note(key, "fp8 is no precision of a recipe; state bf16 for its steps")
        return None
    if file.precision not in PRECISIONS:
        file.top.refuse(key, "no, fp16, bf16 or fp8")
    return Stated(PRECISIONS[file.precision], file.top.where(key))


def _ignore_all(section: Section) -> None:
    for key in section.values:
        section.ignore(key)


def _note_what_accelerate_refuses(file: AccelerateFile) -> None:
    remarks = file.top.remarks.notes
    for key in file.refused_beside_a_file:
        remarks.append(f"{key}: Accelerate refuses this beside a deepspeed_config_file: state it there only")
    if file.has_file_without_zero and file.deepspeed_file is not None:
        remarks.append(f"{file.deepspeed_file.origin}: Accelerate refuses a DeepSpeed file without zero_optimization")


def _note_context_parallel(file: AccelerateFile) -> None:
    top = file.top
    section, key = top.section("megatron_lm_config"), "megatron_lm_context_parallel_size"
    _note_unread(section, "megatron_lm_", MEGATRON_COUNTS)
    context = section.count(key)
    if file.asks_for_two_context_parallel:
        top.note(
            "megatron_lm_config", "no context_parallel_size: Accelerate 1.15 then asks Megatron-LM for 2; state it"
        )
    elif context is not None and context.value > 1:
        section.note(key, f"Accelerate's own global batch leaves it out and is {context.value} times this one")


def _parallelism(file: AccelerateFile) -> LaunchSettings:
    section, prefix = file.top.section("parallelism_config"), "parallelism_config_"
    _note_unread(section, prefix, SIZES)
    if file.kind and not file.is_by_torchrun:
        _ignore_all(section)
        return LaunchSettings()
    return parallel_settings(section, prefix=prefix)


def _note_unread(section: Section, prefix: str, names: tuple[str, ...]) -> None:
    for name in names:
        if section.states(name):
            section.note(name, f"not read: Accelerate reads {prefix}{name}")
