"""What an Accelerate configuration asks for, as the launcher of Accelerate 1.15 takes it.

A plan takes its settings from it, and the checks of a launch find what goes wrong with it. Launch scripts are read as
one too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from dist_epochs.errors import Origin
from dist_epochs.settings.scalars import PlainText
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import KeyOrigin, Located, RawValue, Stated
from dist_epochs.tool_configs.sharding import fsdp_stage
from dist_epochs.tool_configs.stated import LaunchSettings

__all__ = [
    "BY_TORCHRUN", "DEEPSPEED_ONLY", "KINDS", "KNOWN_KEYS", "ONE_PROCESS", "SECTION_OWNERS", "AccelerateFile",
    "is_local", "reads_as_false",
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
        nodes: Nodes that Slurm is asked for; None where a script does not say.
        on_all_nodes: Whether the script starts the launcher on each of them; None where that is not told.
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
    nodes: int | None = None
    on_all_nodes: bool | None = None

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
        return is_local(self.top)

    @property
    def on_cpu(self) -> bool:
        """Whether the ranks are meant to train on the CPU."""
        return self.use_cpu or self.kind == "MULTI_CPU"

    @property
    def zero_stage(self) -> Stated[int] | None:
        """The ZeRO stage that shards as much as this launch: 0 for DDP; None where it is not known."""
        stated = next((part.zero_stage for part in self.engine if part.zero_stage is not None), None)
        if self.kind == "FSDP":
            stated = fsdp_stage(self.top.section("fsdp_config"), version=1)
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


def is_local(top: Section) -> bool:
    """Whether a configuration is of the user's own machines, not of SageMaker."""
    environment = top.text("compute_environment")
    return not top.states("ec2_instance_type") and (environment is None or environment.value == "LOCAL_MACHINE")


def reads_as_false(value: RawValue) -> bool:
    """Whether Accelerate's reader, which follows YAML 1.1, takes a value for false: an unquoted `no` among them.

    Examples:
        >>> reads_as_false(PlainText("no")), reads_as_false("no")
        (True, False)
    """
    return value is False or (isinstance(value, PlainText) and value.lower() in YAML_1_1_FALSE)
