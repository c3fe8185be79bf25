"""An Accelerate configuration, as `accelerate config` writes it and `accelerate launch --config_file` reads it.

Read as the launcher of Accelerate 1.15 does (`commands/launch.py`, `commands/config/config_args.py`): `num_processes`
counts all machines together, sections apply to their own `distributed_type` only, and some combinations start fewer
processes than they say.
"""

from __future__ import annotations

from dist_epochs.errors import InputError
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.readers.deepspeed import OPEN, deepspeed_settings, zero_stage
from dist_epochs.tool_configs.sharding import SIZES, fsdp_stage, parallel_settings
from dist_epochs.tool_configs.stated import LaunchSettings, Precision, merge

__all__ = ["accelerate_settings"]

KINDS = (
    "NO", "MULTI_CPU", "MULTI_GPU", "MULTI_NPU", "MULTI_MLU", "MULTI_SDAA", "MULTI_MUSA", "MULTI_XPU", "MULTI_HPU",
    "MULTI_NEURON", "DEEPSPEED", "FSDP", "XLA", "TPU", "MEGATRON_LM",
)  # fmt: skip
ONE_PROCESS = ("NO", "MULTI_CPU")
"""Kinds that the launcher starts as one process, whatever `num_processes` says; with a hostfile, mpirun starts more."""
SECTIONS = {"deepspeed_config": "DEEPSPEED", "fsdp_config": "FSDP", "megatron_lm_config": "MEGATRON_LM"}
PRECISIONS: dict[str, Precision] = {"no": "fp32", "false": "fp32", "fp16": "fp16", "bf16": "bf16"}
_KNOWN = """
additional_args base_job_name command_file commands compute_environment debug deepspeed_config distributed_type
downcast_bf16 dynamo_backend dynamo_config ec2_instance_type enable_cpu_affinity fp16 fp8_config fsdp_config gpu_ids
iam_role_name image_uri machine_rank main_process_ip main_process_port main_training_function megatron_lm_config
mixed_precision mpirun_config num_machines num_processes parallelism_config profile py_version pytorch_version
rdzv_backend region sagemaker_inputs_file sagemaker_metrics_file same_network tpu_env tpu_name tpu_use_cluster
tpu_use_sudo tpu_vm tpu_zone transformers_version use_cpu
"""
KNOWN = frozenset(_KNOWN.split())
"""Keys at the top; the launcher refuses a file with others."""
DEEPSPEED_ONLY = ("gradient_accumulation_steps", "zero_stage", "gradient_clipping")


def accelerate_settings(top: Section) -> LaunchSettings:
    """What an Accelerate configuration states, and what its DeepSpeed file does.

    Raises:
        InputError: If a value cannot be used, processes and machines do not go together, or a key of a section stands
            outside of it.
    """
    kind = _kind(top)
    _check_keys(top)
    devices, machines = _devices(top, kind), top.count("num_machines")
    if devices is not None and machines is not None and kind not in (*ONE_PROCESS, "XLA", "TPU"):
        _check_machines(top, devices, machines)
    if devices is not None and devices.value > 1:
        _note_processes(top, kind, devices.value)
    parts = [LaunchSettings(devices=devices, machines=machines, precision=_precision(top))]
    for key, owner in SECTIONS.items():
        if kind != owner and top.states(key):
            _ignore_all(top.section(key))
    if kind == "DEEPSPEED":
        parts += _deepspeed(top, top.opened("deepspeed_config", OPEN))
    elif kind == "FSDP":
        stage = fsdp_stage(top.section("fsdp_config"), prefix="fsdp_", version=1)
        parts.append(LaunchSettings(zero_stage=stage or Stated(3, f"{top.where('distributed_type')} FSDP")))
    elif kind == "MEGATRON_LM":
        parts.append(_megatron(top, top.section("megatron_lm_config")))
    parts.append(_parallelism(top, kind))
    remarks = LaunchSettings(ignored=tuple(top.remarks.ignored), notes=tuple(top.remarks.notes))
    return merge([*parts, remarks])


def _kind(top: Section) -> str | None:
    stated = top.text("distributed_type")
    if top.states("ec2_instance_type"):
        top.note("ec2_instance_type", "the instances decide how many processes start; give the devices")
        return None
    if stated is None:
        top.note("distributed_type", "Accelerate refuses a configuration without it")
        return None
    if stated.value not in KINDS:
        top.refuse("distributed_type", f"one of {', '.join(KINDS)}")
    return stated.value


def _check_keys(top: Section) -> None:
    for key in top.values:
        if key in DEEPSPEED_ONLY:
            raise InputError(
                f"{top.where(key)} stands at the top, where Accelerate knows no such key and refuses the file. It "
                "belongs into deepspeed_config, with distributed_type: DEEPSPEED; without DeepSpeed the script sets it."
            )
        if key not in KNOWN:
            top.note(key, "Accelerate 1.15 knows no such key and refuses the file")


def _devices(top: Section, kind: str | None) -> Stated[int] | None:
    if top.states("ec2_instance_type"):
        return None
    stated = top.number("num_processes", "a whole number of at least 1, or -1 to leave it to the launch", least=-1)
    if stated is not None and stated.value != -1:
        return top.count("num_processes")
    if stated is None and kind == "NO":
        return Stated(1, f"{top.where('distributed_type')} NO")
    top.note("num_processes", "left to the launch (--num_processes): give the devices")
    top.ignore("num_processes")
    return None


def _check_machines(top: Section, devices: Stated[int], machines: Stated[int]) -> None:
    each, rest = divmod(devices.value, machines.value)
    if rest or not each:
        fits = " or ".join(str(count * machines.value) for count in (each, each + 1) if count)
        raise InputError(
            f"{devices.where} is {devices.value}, over {machines.value} machines ({machines.where}). Accelerate starts "
            f"{devices.value} // {machines.value} = {each} on each, {each * machines.value} in all, and every count "
            f"would be off. Use {fits} processes in all, or other machines."
        )
    if machines.value > 1:
        top.note("num_processes", f"{devices.value} is the total: {each} on each of {machines.value} machines")


def _note_processes(top: Section, kind: str | None, processes: int) -> None:
    """Combinations that start something else than `num_processes` ranks of one run."""
    by_mpi = kind == "MULTI_CPU" and top.section("mpirun_config").states("mpirun_hostfile")
    if kind in ONE_PROCESS and not by_mpi:
        top.note(
            "num_processes",
            f"`accelerate launch` starts ONE process with distributed_type: {kind}, not {processes}: the global batch "
            f"would be 1/{processes} of this one. On GPUs use MULTI_GPU; on CPUs torchrun with ACCELERATE_USE_CPU=1.",
        )
    elif kind not in ONE_PROCESS and top.is_on("use_cpu"):
        top.note(
            "use_cpu",
            f"on a machine without GPUs this starts {processes} separate runs, each rank 0 of 1: the launcher does not "
            "pass use_cpu on. Set ACCELERATE_USE_CPU=true in the environment.",
        )


def _precision(top: Section) -> Stated[Precision] | None:
    stated = top.text("mixed_precision")
    if stated is None:  # an old file may hold `fp16: true` instead
        half = top.flag("fp16")
        return Stated("fp16", half.where) if half is not None and half.value else None
    if stated.value == "fp8":
        top.note("mixed_precision", "fp8 is no precision of a recipe; state bf16 for its steps")
        return None
    if stated.value not in PRECISIONS:
        top.refuse("mixed_precision", "no, fp16, bf16 or fp8")
    return Stated(PRECISIONS[stated.value], stated.where)


def _ignore_all(section: Section) -> None:
    for key in section.values:
        section.ignore(key)


def _deepspeed(top: Section, section: Section) -> list[LaunchSettings]:
    own = LaunchSettings(
        gradient_accumulation=section.count("gradient_accumulation_steps"),
        zero_stage=zero_stage(section, "zero_stage"),
    )
    name = section.text("deepspeed_config_file")
    if name is None or name.value == "none":
        return [own]
    for outside, key in ((top, "mixed_precision"), *((section, key) for key in DEEPSPEED_ONLY)):
        if outside.states(key):
            outside.note(key, "Accelerate refuses this beside a deepspeed_config_file: state it there only")
    inner = section.section_or_file("deepspeed_config_file")
    read = deepspeed_settings(inner)
    if not inner.states("gradient_accumulation_steps"):
        absent = Stated(1, f"{inner.place} (no gradient_accumulation_steps, which Accelerate takes as 1)")
        return [own, read, LaunchSettings(gradient_accumulation=absent)]
    return [own, read]


def _megatron(top: Section, section: Section) -> LaunchSettings:
    prefix = "megatron_lm_"
    _note_unread(section, prefix, ("tp_degree", "pp_degree", "num_micro_batches", "context_parallel_size"))
    context = section.count(prefix + "context_parallel_size")
    if context is None:
        top.note(
            "megatron_lm_config", "no context_parallel_size: Accelerate 1.15 then asks Megatron-LM for 2; state it"
        )
    elif context.value > 1:
        section.note(
            prefix + "context_parallel_size",
            f"Accelerate's own global batch leaves it out and is {context.value} times this one",
        )
    shards = section.flag(prefix + "use_distributed_optimizer")
    return LaunchSettings(
        tensor_parallel=section.count(prefix + "tp_degree"),
        pipeline_parallel=section.count(prefix + "pp_degree"),
        context_parallel=context,
        expert_parallel=section.count(prefix + "expert_model_parallel_size"),
        gradient_accumulation=section.count(prefix + "num_micro_batches"),
        zero_stage=shards and Stated(int(shards.value), shards.where),
    )


def _parallelism(top: Section, kind: str | None) -> LaunchSettings:
    section = top.section("parallelism_config")
    prefix = "parallelism_config_"
    _note_unread(section, prefix, SIZES)
    if kind in ONE_PROCESS:
        _ignore_all(section)
        return LaunchSettings()
    return parallel_settings(section, prefix=prefix)


def _note_unread(section: Section, prefix: str, names: tuple[str, ...]) -> None:
    for name in names:
        if section.states(name):
            section.note(name, f"not read: Accelerate reads {prefix}{name}")
