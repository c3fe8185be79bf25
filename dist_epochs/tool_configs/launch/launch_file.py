"""An Accelerate configuration as `accelerate launch` takes it, contradictions included.

`plan.foreign.accelerate` refuses what cannot be counted; here all of it is kept, since what is wrong with it is the
question. Read as the launcher of Accelerate 1.15 does (`commands/launch.py`, `commands/config/config_args.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from dist_epochs.errors import InputError
from dist_epochs.settings.section import Section, read_section
from dist_epochs.settings.value import PlainText, Value
from dist_epochs.tool_configs.readers.deepspeed import OPEN, deepspeed_settings, zero_stage
from dist_epochs.tool_configs.sharding import SIZES, fsdp_stage
from dist_epochs.tool_configs.stated import LaunchSettings

__all__ = ["KINDS", "LaunchFile", "read_launch_file", "reads_as_false"]

DDP = (
    "MULTI_GPU", "MULTI_NPU", "MULTI_MLU", "MULTI_SDAA", "MULTI_MUSA", "MULTI_XPU", "MULTI_HPU", "MULTI_NEURON",
)  # fmt: skip
BY_TORCHRUN = (*DDP, "FSDP", "DEEPSPEED", "MEGATRON_LM")
"""Kinds for which the launcher starts `num_processes` processes, through torchrun."""
KINDS = (*BY_TORCHRUN, "NO", "MULTI_CPU", "XLA")
"""All kinds that Accelerate 1.15 knows."""
FALSE = ("no", "off", "false")


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchFile:
    """What an Accelerate configuration asks for.

    Attributes:
        path: The file.
        top: Its keys, for lines.
        kind: `distributed_type`; empty if none is stated.
        processes: Of all machines together; None if left to the command line.
        machines: Machines.
        machine_rank: Which of them this file is for.
        use_cpu: Whether training is to run on the CPU.
        precision: `mixed_precision`: `no`, `fp16`, `bf16`, `fp8`, or what stands there instead.
        gpu_ids: Devices of a machine that may be used; None for all.
        fsdp_version: Version of FSDP, 1 where none is stated.
        stage: ZeRO stage that shards as much as this launch: 0 for DDP; None where it is not known.
        sizes: Parallel sizes by name (`tp_size`), 1 where none is stated.
        deepspeed: What DeepSpeed's section and file state; empty without DeepSpeed.
    """

    path: Path
    top: Section
    kind: str
    processes: int | None
    machines: int
    machine_rank: int
    use_cpu: bool
    precision: str
    gpu_ids: tuple[str, ...] | None
    fsdp_version: int
    stage: int | None
    sizes: Mapping[str, int]
    deepspeed: LaunchSettings

    def line(self, *keys: str) -> str:
        """`path:line` of a key, or of one inside a section; of what holds it, where it is absent."""
        place, values = self.top.place, self.top.values
        for key in keys:
            if key not in values:
                break
            found = values[key]
            place, values = found.line, found.value if isinstance(found.value, Mapping) else {}
        return place

    def raw(self, key: str) -> Value:
        """What stands at a key of the top; None if nothing does."""
        return self.top.values[key].value if key in self.top.values else None

    @property
    def is_ddp(self) -> bool:
        """Whether it is plain data parallelism on several devices, which the launcher calls `multi_gpu`."""
        return self.kind in DDP

    @property
    def is_by_torchrun(self) -> bool:
        """Whether the launcher starts as many processes as it is told."""
        return self.kind in BY_TORCHRUN

    @property
    def is_by_mpirun(self) -> bool:
        """Whether mpirun starts the processes: the one way in which a launch that is not torchrun's has several."""
        return not self.is_by_torchrun and self.top.section("mpirun_config").states("mpirun_hostfile")

    @property
    def is_local(self) -> bool:
        """Whether it is a launch on one's own machines, not on SageMaker."""
        return not self.top.states("ec2_instance_type") and self.raw("compute_environment") in (None, "LOCAL_MACHINE")

    @property
    def on_cpu(self) -> bool:
        """Whether the ranks are meant to train on the CPU."""
        return self.use_cpu or self.kind == "MULTI_CPU"

    @property
    def shared(self) -> int:
        """Processes that see the same samples: tensor × context × sequence parallel."""
        return prod(self.sizes[name] for name in ("tp_size", "cp_size", "sp_size"))

    @property
    def data_parallel_size(self) -> int | None:
        """Processes that see different data; None where processes are not stated or do not divide."""
        if self.processes is None or self.processes % self.shared:
            return None
        return self.processes // self.shared


def read_launch_file(path: Path) -> LaunchFile:
    """Read an Accelerate configuration.

    Raises:
        InputError: If it cannot be read, is no such configuration, or holds a value that no launcher could take.
    """
    top = read_section(path)
    if not {"distributed_type", "num_processes", "compute_environment", "num_machines"} & top.values.keys():
        raise InputError(
            f"{top.place}: no Accelerate configuration: it has none of distributed_type, num_processes, num_machines, "
            "compute_environment. Nothing was checked. `accelerate config` writes one; --from reads other tools' files."
        )
    kind = _kind(top)
    fsdp = top.section("fsdp_config")
    version = fsdp.count("fsdp_version" if fsdp.states("fsdp_version") else "version")
    deepspeed = _deepspeed(top) if kind == "DEEPSPEED" else LaunchSettings()
    return LaunchFile(
        path=path,
        top=top,
        kind=kind,
        processes=_processes(top),
        machines=_whole(top, "num_machines", 1),
        machine_rank=_whole(top, "machine_rank", 0),
        use_cpu=top.is_on("use_cpu"),
        precision=_precision(top),
        gpu_ids=_gpu_ids(top),
        fsdp_version=version.value if version else 1,
        stage=_stage(top, kind, deepspeed),
        sizes=_sizes(top),
        deepspeed=deepspeed,
    )


def reads_as_false(value: Value) -> bool:
    """Whether Accelerate's reader, which follows YAML 1.1, takes a value for false: an unquoted `no` among them.

    Examples:
        >>> reads_as_false(PlainText("no")), reads_as_false("no")
        (True, False)
    """
    return value is False or (isinstance(value, PlainText) and value.lower() in FALSE)


def _kind(top: Section) -> str:
    stated = top.text("distributed_type")
    if stated is None:
        return ""
    return "NO" if reads_as_false(top.values["distributed_type"].value) else stated.value


def _processes(top: Section) -> int | None:
    stated = top.number("num_processes", "a whole number of at least 1, or -1 to leave it to the launch", least=-1)
    if stated is None or stated.value == -1:
        return None
    return _whole(top, "num_processes", 1)


def _whole(top: Section, key: str, default: int) -> int:
    found = top.count(key, least=0 if key == "machine_rank" else 1)
    return default if found is None else found.value


def _precision(top: Section) -> str:
    stated = top.text("mixed_precision")
    if stated is None:  # an old file may hold `fp16: true` instead
        return "fp16" if "mixed_precision" not in top.values and top.is_on("fp16") else "no"
    return "no" if reads_as_false(top.values["mixed_precision"].value) else stated.value.lower()


def _gpu_ids(top: Section) -> tuple[str, ...] | None:
    value = top.values["gpu_ids"].value if "gpu_ids" in top.values else None
    if isinstance(value, tuple):
        return tuple(str(item.value) for item in value)
    stated = top.text("gpu_ids")
    if stated is None or stated.value == "all":
        return None
    return tuple(name.strip() for name in stated.value.split(","))


def _sizes(top: Section) -> Mapping[str, int]:
    section = top.section("parallelism_config")
    found = {name: section.count(f"parallelism_config_{name}") for name in SIZES}
    return {name: size.value if size else 1 for name, size in found.items()}


def _stage(top: Section, kind: str, deepspeed: LaunchSettings) -> int | None:
    if kind == "DEEPSPEED":
        return deepspeed.zero_stage.value if deepspeed.zero_stage else None
    if kind == "FSDP":
        stated = fsdp_stage(top.section("fsdp_config"), prefix="fsdp_", version=1)
        return stated.value if stated else 3
    return 0 if kind in DDP else None


def _deepspeed(top: Section) -> LaunchSettings:
    """The section's own keys, and beside them what its file states."""
    section = top.opened("deepspeed_config", OPEN)
    named = section.text("deepspeed_config_file")
    if named is None or named.value == "none":
        accumulation = section.count("gradient_accumulation_steps")
        return LaunchSettings(
            gradient_accumulation=accumulation,
            zero_stage=zero_stage(section, "zero_stage"),
            ignored=tuple(top.remarks.ignored),
        )
    return deepspeed_settings(section.section_or_file("deepspeed_config_file"))
