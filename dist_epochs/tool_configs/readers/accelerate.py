"""An Accelerate configuration, as `accelerate config` writes it and `accelerate launch --config_file` takes it.

It is read as the launcher of Accelerate 1.15 does (`commands/launch.py`, `commands/config/config_args.py`), also where
it contradicts itself.
"""

from __future__ import annotations

from pathlib import Path

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.section import Section, read_section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.accelerate_file import BY_TORCHRUN, AccelerateFile, is_local, reads_as_false
from dist_epochs.tool_configs.readers.deepspeed import OPEN, deepspeed_settings
from dist_epochs.tool_configs.sharding import SIZES, zero_stage
from dist_epochs.tool_configs.stated import LaunchSettings

__all__ = ["read_accelerate", "read_accelerate_file"]

MARKS = ("distributed_type", "num_processes", "num_machines", "compute_environment")


def read_accelerate_file(path: Path) -> AccelerateFile:
    """Read an Accelerate configuration.

    Raises:
        InputError: If it cannot be read, is no such configuration, or holds a value that no launcher could take.
    """
    top = read_section(path)
    if not any(key in top.values for key in MARKS):
        rule = f"it has none of {', '.join(MARKS)}"
        fixes = ("a file that `accelerate config` writes", "--from, which reads other tools' files")
        raise InputError("no Accelerate configuration", rule=rule, fixes=fixes, origin=top.origin)
    return read_accelerate(top)


def read_accelerate(top: Section) -> AccelerateFile:
    """Read the keys and values of an Accelerate configuration.

    Raises:
        InputError: If one holds a value that no launcher could take.
    """
    kind, machines, rank = _kind(top), top.count("num_machines"), top.count("machine_rank", least=0)
    fsdp, parallelism = top.section("fsdp_config"), top.section("parallelism_config")
    version = fsdp.count("fsdp_version" if fsdp.states("fsdp_version") else "version")
    sizes = {name: parallelism.count(f"parallelism_config_{name}") for name in SIZES}
    file = _deepspeed_file(top) if kind == "DEEPSPEED" else None
    return AccelerateFile(
        path=top.file,
        top=top,
        kind=kind,
        processes=_processes(top, kind),
        machines=machines.value if machines else 1,
        machine_rank=rank.value if rank else 0,
        use_cpu=top.is_on("use_cpu"),
        precision=_precision(top),
        gpu_ids=_gpu_ids(top),
        fsdp_version=version.value if version else 1,
        sizes={name: size for name, size in sizes.items() if size is not None and kind in BY_TORCHRUN},
        engine=_deepspeed(top, file) if kind == "DEEPSPEED" else _megatron(top) if kind == "MEGATRON_LM" else (),
        deepspeed_file=file,
    )


def _kind(top: Section) -> str:
    stated = top.text("distributed_type")
    return "" if stated is None else "NO" if reads_as_false(top.values["distributed_type"].value) else stated.value


def _processes(top: Section, kind: str) -> int | None:
    """The launcher takes 1 for `'NO'` in quotes alone: unquoted it is false, and not that word."""
    stated = top.number("num_processes", "a whole number of at least 1, or -1 to leave it to the launch", least=-1)
    if not is_local(top) or (stated is not None and stated.value == -1):
        return None
    count = top.count("num_processes")
    if count is not None:
        return count.value
    is_no = kind == "NO" and not reads_as_false(top.values["distributed_type"].value)
    return 1 if is_no and "num_processes" not in top.values else None


def _precision(top: Section) -> str:
    stated = top.text("mixed_precision")
    if stated is None:  # an old file may hold `fp16: true` instead
        return "fp16" if "mixed_precision" not in top.values and top.is_on("fp16") else "no"
    return "no" if reads_as_false(top.values["mixed_precision"].value) else stated.value.lower()


def _gpu_ids(top: Section) -> tuple[str, ...] | None:
    value = top.raw("gpu_ids")
    if isinstance(value, tuple):
        return tuple(str(item.value) for item in value)
    stated = top.text("gpu_ids")
    return None if stated is None or stated.value == "all" else tuple(map(str.strip, stated.value.split(",")))


def _deepspeed_file(top: Section) -> Section | None:
    section = top.opened("deepspeed_config", OPEN)
    name = section.text("deepspeed_config_file")
    return None if name is None or name.value == "none" else section.section_or_file("deepspeed_config_file")


def _deepspeed(top: Section, file: Section | None) -> tuple[LaunchSettings, ...]:
    """What DeepSpeed's file states, and what the section that names it does."""
    section = top.opened("deepspeed_config", OPEN)
    own = LaunchSettings(
        gradient_accumulation=section.count("gradient_accumulation_steps"),
        zero_stage=zero_stage(section, "zero_stage"),
        ignored=tuple(top.remarks.ignored),
    )
    if file is None:
        return (own,)
    read = deepspeed_settings(file)
    if file.states("gradient_accumulation_steps"):
        return read, own
    default = Origin(f"{file.origin} (no gradient_accumulation_steps, which Accelerate takes as 1)")
    return read, own, LaunchSettings(gradient_accumulation=Stated(1, default))


def _megatron(top: Section) -> tuple[LaunchSettings, ...]:
    section, prefix = top.section("megatron_lm_config"), "megatron_lm_"
    shards = section.flag(prefix + "use_distributed_optimizer")
    settings = LaunchSettings(
        tensor_parallel=section.count(prefix + "tp_degree"),
        pipeline_parallel=section.count(prefix + "pp_degree"),
        context_parallel=section.count(prefix + "context_parallel_size"),
        expert_parallel=section.count(prefix + "expert_model_parallel_size"),
        gradient_accumulation=section.count(prefix + "num_micro_batches"),
        zero_stage=shards and Stated(int(shards.value), shards.where),
    )
    return (settings,)
