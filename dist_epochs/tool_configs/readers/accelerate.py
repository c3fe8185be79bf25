"""An Accelerate configuration, as `accelerate config` writes it and `accelerate launch --config_file` takes it.

It is read as the launcher of Accelerate 1.15 does (`commands/launch.py`, `commands/config/config_args.py`), also where
it contradicts itself. `accelerate_settings` makes a plan's settings of it; `tool_configs.launch` finds what goes wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.scalars import PlainText
from dist_epochs.settings.section import Section, read_section
from dist_epochs.settings.value import KeyOrigin, Located, RawValue, Stated
from dist_epochs.tool_configs.readers.deepspeed import OPEN, deepspeed_settings, zero_stage
from dist_epochs.tool_configs.sharding import SIZES, fsdp_stage
from dist_epochs.tool_configs.stated import LaunchSettings

__all__ = [
    "DEEPSPEED_ONLY", "KINDS", "KNOWN_KEYS", "SECTION_OWNERS", "AccelerateFile", "read_accelerate",
    "read_accelerate_file", "reads_as_false",
]  # fmt: skip

DDP = (
    "MULTI_GPU", "MULTI_NPU", "MULTI_MLU", "MULTI_SDAA", "MULTI_MUSA", "MULTI_XPU", "MULTI_HPU", "MULTI_NEURON",
)  # fmt: skip
BY_TORCHRUN = (*DDP, "FSDP", "DEEPSPEED", "MEGATRON_LM")
"""Kinds for which the launcher starts `num_processes` processes, through torchrun."""
ONE_PROCESS = ("NO", "MULTI_CPU")
"""Kinds that the launcher starts as one process, whatever `num_processes` says; with a hostfile, mpirun starts more."""
KINDS = (*ONE_PROCESS, *BY_TORCHRUN, "XLA")
"""All kinds that Accelerate 1.15 knows; it refuses a file with another, such as TPU, which is XLA since 0.27."""
SECTION_OWNERS = {"deepspeed_config": "DEEPSPEED", "fsdp_config": "FSDP", "megatron_lm_config": "MEGATRON_LM"}
"""Sections that are read only with the `distributed_type` that they belong to."""
_KNOWN = """
additional_args base_job_name command_file commands compute_environment debug deepspeed_config distributed_type
downcast_bf16 dynamo_backend dynamo_config ec2_instance_type enable_cpu_affinity fp16 fp8_config fsdp_config gpu_ids
iam_role_name image_uri machine_rank main_process_ip main_process_port main_training_function megatron_lm_config
mixed_precision mpirun_config num_machines num_processes parallelism_config profile py_version pytorch_version
rdzv_backend region sagemaker_inputs_file sagemaker_metrics_file same_network tpu_env tpu_name tpu_use_cluster
tpu_use_sudo tpu_vm tpu_zone transformers_version use_cpu
"""
KNOWN_KEYS = frozenset(_KNOWN.split())
"""Keys at the top; the launcher refuses a file with others."""
DEEPSPEED_ONLY = ("gradient_accumulation_steps", "zero_stage", "gradient_clipping")
"""Keys of `deepspeed_config` that are often written at the top."""
BESIDE_A_FILE = (
    "gradient_accumulation_steps", "gradient_clipping", "zero_stage", "offload_optimizer_device",
    "offload_param_device", "offload_optimizer_nvme_path", "offload_param_nvme_path", "zero3_save_16bit_model",
)  # fmt: skip
"""Keys of `deepspeed_config` that Accelerate refuses beside a `deepspeed_config_file`, and `mixed_precision` with them
(`DeepSpeedPlugin._deepspeed_config_checks`)."""
BY_FLAGS_OF_TORCHRUN = {
    "num_processes": "--nnodes × --nproc-per-node",
    "num_machines": "--nnodes",
    "machine_rank": "--node-rank",
    "main_process_ip": "--rdzv-endpoint",
    "distributed_type": "torchrun",
}
"""Flags of torchrun that say what keys of a configuration do."""
YAML_1_1_FALSE = ("no", "off", "false")
SHARING_SIZES = {"tensor_parallel": ("tp_size",), "context_parallel": ("cp_size", "sp_size")}
"""Sizes of `parallelism_config` whose processes see the same samples, by the setting of a recipe."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AccelerateFile:
    """What an Accelerate configuration asks for.

    Attributes:
        path: The file, or the launch script that is read as one.
        top: Its keys, with their lines.
        kind: `distributed_type`; empty if none is stated.
        processes: Of all machines together; None if they are left to the command line, or to SageMaker.
        machines: Machines.
        machine_rank: Which of them this file is for.
        use_cpu: Whether training is to run on the CPU.
        precision: `mixed_precision`: `no`, `fp16`, `bf16`, `fp8`, or what stands there instead.
        gpu_ids: Devices of a machine that may be used; None for all.
        fsdp_version: Version of FSDP, 1 where none is stated.
        sizes: Stated sizes of `parallelism_config` by name (`tp_size`), where it is read.
        engine: What the sections of DeepSpeed or Megatron-LM state, and before them the file that they name; empty
            for other kinds. They may contradict each other.
        deepspeed_file: The file that `deepspeed_config_file` names; None where it names none, or is not read.
        launcher: `accelerate`, and in a launch script also `torchrun`, `deepspeed`, `srun` or `python`.
        is_script: Whether it is a launch script.
        tasks: Tasks that Slurm is asked to start on each machine; each starts the launcher.
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
    sizes: Mapping[str, Stated[int]]
    engine: tuple[LaunchSettings, ...]
    deepspeed_file: Section | None
    launcher: str = "accelerate"
    is_script: bool = False
    tasks: int = 1

    def named(self, key: str) -> str:
        """What the launcher calls a key: torchrun counts processes of a node, and nodes."""
        return BY_FLAGS_OF_TORCHRUN.get(key, key) if self.launcher == "torchrun" else key

    def setting(self, key: str, value: object) -> str:
        """A line or flag that gives a key another value."""
        return f"{self.named(key)}{'=' if self.launcher == 'torchrun' else ': '}{value}"

    def line(self, *keys: str) -> Origin:
        """Where a key stands, or a key inside a section; if it is absent, where the section does."""
        found = Located(self.top.values, self.top.origin)
        for key in keys:
            if not isinstance(found.value, Mapping) or key not in found.value:
                break
            found = found.value[key]
        return found.origin

    def raw(self, key: str) -> RawValue:
        """The value of a key at the top; None if it is absent."""
        return self.top.values[key].value if key in self.top.values else None

    def size(self, name: str) -> int:
        """A size of `parallelism_config`, 1 where none is stated."""
        return self.sizes[name].value if name in self.sizes else 1

    def sharing(self, setting: str) -> Stated[int] | None:
        """The size of a setting of a recipe, such as `tensor_parallel`: the first stated one above 1."""
        stated = [getattr(part, setting) for part in self.engine]
        stated += [self.sizes.get(name) for name in SHARING_SIZES.get(setting, ())]
        return next((size for size in stated if size is not None and size.value > 1), None)

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
        """Whether it is a launch on the user's own machines, not on SageMaker."""
        return _is_local(self.top)

    @property
    def on_cpu(self) -> bool:
        """Whether the ranks are meant to train on the CPU."""
        return self.use_cpu or self.kind == "MULTI_CPU"

    @property
    def zero_stage(self) -> Stated[int] | None:
        """The ZeRO stage that shards as much as this launch: 0 for DDP; None where it is not known."""
        stated = next((part.zero_stage for part in self.engine if part.zero_stage is not None), None)
        if self.kind == "FSDP":
            stated = fsdp_stage(self.top.section("fsdp_config"), prefix="fsdp_", version=1)
        default = 3 if self.kind == "FSDP" else 0 if self.is_ddp else None
        return stated or (None if default is None else Stated(default, self.top.where("distributed_type")))

    @property
    def refused_beside_a_file(self) -> tuple[KeyOrigin, ...]:
        """Keys for which Accelerate stops, since a DeepSpeed file is named; without a value they count too."""
        if self.deepspeed_file is None:
            return ()
        section = self.top.section("deepspeed_config")
        own = [section.where(key) for key in BESIDE_A_FILE if key in section.values]
        return (*([self.top.where("mixed_precision")] if self.top.states("mixed_precision") else []), *own)

    @property
    def has_file_without_zero(self) -> bool:
        """Whether the DeepSpeed file has no `zero_optimization`, for which Accelerate stops too."""
        return self.deepspeed_file is not None and "zero_optimization" not in self.deepspeed_file.values

    @property
    def asks_for_two_context_parallel(self) -> bool:
        """Whether Megatron-LM is left to Accelerate's default for context parallelism, which is 2 in version 1.15."""
        section = self.top.section("megatron_lm_config")
        return self.kind == "MEGATRON_LM" and not section.states("megatron_lm_context_parallel_size")

    @property
    def shared(self) -> int:
        """Processes that see the same samples: tensor × pipeline × context parallel."""
        sizes = map(self.sharing, ("tensor_parallel", "pipeline_parallel", "context_parallel"))
        return prod(size.value for size in sizes if size is not None)

    @property
    def processes_per_machine(self) -> int | None:
        """Processes that the launcher starts on each machine: it rounds down. None where they are not stated."""
        return None if self.processes is None else self.processes // self.machines

    @property
    def data_parallel_size(self) -> int | None:
        """Processes that see different data; None where processes are not stated or do not divide."""
        if self.processes is None or self.processes % self.shared:
            return None
        return self.processes // self.shared


def read_accelerate_file(path: Path) -> AccelerateFile:
    """Read an Accelerate configuration.

    Raises:
        InputError: If it cannot be read, is no such configuration, or holds a value that no launcher could take.
    """
    top = read_section(path)
    if not {"distributed_type", "num_processes", "compute_environment", "num_machines"} & top.values.keys():
        raise InputError(
            "no Accelerate configuration",
            rule="it has none of distributed_type, num_processes, num_machines, compute_environment",
            fixes=("a file that `accelerate config` writes", "--from, which reads other tools' files"),
            origin=top.origin,
        )
    return read_accelerate(top)


def read_accelerate(top: Section) -> AccelerateFile:
    """Read the keys and values of an Accelerate configuration.

    Raises:
        InputError: If one holds a value that no launcher could take.
    """
    kind = _kind(top)
    fsdp = top.section("fsdp_config")
    version = fsdp.count("fsdp_version" if fsdp.states("fsdp_version") else "version")
    parallelism = top.section("parallelism_config")
    sizes = {name: parallelism.count(f"parallelism_config_{name}") for name in SIZES}
    file = _deepspeed_file(top) if kind == "DEEPSPEED" else None
    return AccelerateFile(
        path=top.file,
        top=top,
        kind=kind,
        processes=_processes(top, kind),
        machines=_whole(top, "num_machines", least=1, default=1),
        machine_rank=_whole(top, "machine_rank", least=0, default=0),
        use_cpu=top.is_on("use_cpu"),
        precision=_precision(top),
        gpu_ids=_gpu_ids(top),
        fsdp_version=version.value if version else 1,
        sizes={name: size for name, size in sizes.items() if size is not None and kind in BY_TORCHRUN},
        engine=_deepspeed(top, file) if kind == "DEEPSPEED" else _megatron(top) if kind == "MEGATRON_LM" else (),
        deepspeed_file=file,
    )


def reads_as_false(value: RawValue) -> bool:
    """Whether Accelerate's reader, which follows YAML 1.1, takes a value for false: an unquoted `no` among them.

    Examples:
        >>> reads_as_false(PlainText("no")), reads_as_false("no")
        (True, False)
    """
    return value is False or (isinstance(value, PlainText) and value.lower() in YAML_1_1_FALSE)


def _is_local(top: Section) -> bool:
    environment = top.text("compute_environment")
    return not top.states("ec2_instance_type") and (environment is None or environment.value == "LOCAL_MACHINE")


def _kind(top: Section) -> str:
    stated = top.text("distributed_type")
    if stated is None:
        return ""
    return "NO" if reads_as_false(top.values["distributed_type"].value) else stated.value


def _processes(top: Section, kind: str) -> int | None:
    """The launcher takes 1 for `'NO'` in quotes alone: unquoted it is false, and not that word."""
    stated = top.number("num_processes", "a whole number of at least 1, or -1 to leave it to the launch", least=-1)
    if not _is_local(top) or (stated is not None and stated.value == -1):
        return None
    count = top.count("num_processes")
    if count is not None:
        return count.value
    is_no = kind == "NO" and not reads_as_false(top.values["distributed_type"].value)
    return 1 if is_no and "num_processes" not in top.values else None


def _whole(top: Section, key: str, *, least: int, default: int) -> int:
    found = top.count(key, least=least)
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
    stated = LaunchSettings(
        tensor_parallel=section.count(prefix + "tp_degree"),
        pipeline_parallel=section.count(prefix + "pp_degree"),
        context_parallel=section.count(prefix + "context_parallel_size"),
        expert_parallel=section.count(prefix + "expert_model_parallel_size"),
        gradient_accumulation=section.count(prefix + "num_micro_batches"),
        zero_stage=shards and Stated(int(shards.value), shards.where),
    )
    return (stated,)
