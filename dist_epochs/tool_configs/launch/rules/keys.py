"""Keys and types of the file itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from dist_epochs.errors import Origin, close_matches
from dist_epochs.rules import rule
from dist_epochs.settings.value import key_name
from dist_epochs.tool_configs.accelerate_file import (
    DEEPSPEED_ONLY,
    KINDS,
    KNOWN_KEYS,
    SECTION_OWNERS,
    AccelerateFile,
    reads_as_false,
)
from dist_epochs.tool_configs.launch.launch import Finding, Launch
from dist_epochs.tool_configs.sharding import SIZES

__all__ = [
    "DYNAMO_BACKENDS",
    "LOCAL_KEYS",
    "RETIRED",
    "dynamo_backend_unknown",
    "launch_type_unknown",
    "launch_value_type",
    "repeated_launch_key",
    "unknown_launch_keys",
    "unread_sections",
]

_SAGEMAKER_ONLY = """
additional_args base_job_name ec2_instance_type iam_role_name image_uri profile py_version pytorch_version region
sagemaker_inputs_file sagemaker_metrics_file transformers_version
"""
LOCAL_KEYS = KNOWN_KEYS - frozenset(_SAGEMAKER_ONLY.split())
"""Keys of a launch on the user's own machines."""
_DYNAMO_BACKENDS = """
NO EAGER AOT_EAGER INDUCTOR AOT_TS_NVFUSER NVPRIMS_NVFUSER CUDAGRAPHS OFI FX2TRT ONNXRT TENSORRT
AOT_TORCHXLA_TRACE_ONCE TORCHXLA_TRACE_ONCE TVM HPU_BACKEND NEURON
"""
DYNAMO_BACKENDS = frozenset(_DYNAMO_BACKENDS.split())
RETIRED = frozenset({"ipex_config", "tp_config"})
"""Keys of earlier versions of Accelerate, which this one does not have."""
RENAMED_KINDS = {"TPU": "XLA"}


@rule
def unknown_launch_keys(launch: Launch) -> Iterator[Finding]:
    """The file has keys that Accelerate does not know, so the launcher refuses all of it.

    `accelerate launch` stops with `unknown keys` before anything starts. Training arguments, such as
    `gradient_accumulation_steps` or `per_device_train_batch_size`, belong into the recipe; DeepSpeed's into
    `deepspeed_config`. Accelerate 1.15 is meant; a later version may know more, and earlier ones wrote `ipex_config`
    and `tp_config`, which it no longer takes.

    What to do: correct the spelling, or remove the line.
    """
    file = launch.file
    for key in file.top.values if file.is_local else ():
        if key in LOCAL_KEYS:
            continue
        close = [] if key in RETIRED else close_matches(key, LOCAL_KEYS, likeness=0.75)
        fix = f"{close[0]}: …" if close else "remove the line"
        if key in DEEPSPEED_ONLY:
            fix = f"remove the line: the recipe decides (DeepSpeed's own {key} belongs into deepspeed_config)"
        yield Finding(file.line(key), f"{key_name(key)} is no key of Accelerate 1.15: the launcher stops", fix)


@rule
def launch_type_unknown(launch: Launch) -> Iterator[Finding]:
    """The file has no `distributed_type`, or one that Accelerate does not know.

    The launcher stops before anything starts. TPUs are `XLA` since Accelerate 0.27.

    What to do: `distributed_type: MULTI_GPU`, or `FSDP`; for one process `'NO'`, in quotes; `XLA` for TPUs.
    """
    file = launch.file
    if not file.is_local or file.kind in KINDS:
        return
    message = f"distributed_type {key_name(file.kind)} is unknown" if file.kind else "distributed_type is missing"
    usual = "MULTI_GPU" if file.processes != 1 else "'NO'"
    fix = f"distributed_type: {RENAMED_KINDS.get(file.kind, usual)}"
    yield Finding(file.line("distributed_type"), f"{message}: the launcher stops", fix)


@rule
def repeated_launch_key(launch: Launch) -> Iterator[Finding]:
    """A key stands twice in the launch file, or in a file that it names, with one value.

    The launcher takes the last one, so nothing is wrong yet. Two different values are an error.

    What to do: remove one of the two, before they differ.
    """
    for where in launch.file.top.remarks.repeats:
        message = f"{where.key} stands twice, with one value"
        yield Finding(Origin(where.name, where.line), message, "remove one of the two")


@rule
def launch_value_type(launch: Launch) -> Iterator[Finding]:
    """A value has a type that the launcher fails on, with a traceback that does not name the key.

    The launcher reads YAML 1.1 and uses values as they stand: an unquoted `no` is false and has no `.lower()`, one
    GPU id is a number and has no `.split()`, and a number in quotes is text that cannot be compared or divided.

    What to do: write the value as the line shows.
    """
    file = launch.file
    precision = file.raw("mixed_precision")
    if precision is True or reads_as_false(precision):
        message = (
            "mixed_precision: no without quotes is false in YAML: the launcher fails, 'bool' has no attribute 'lower'"
        )
        yield Finding(file.line("mixed_precision"), message, "mixed_precision: 'no'")
    gpu_ids = file.raw("gpu_ids")
    if isinstance(gpu_ids, tuple | int | Fraction):
        kind = "a list" if isinstance(gpu_ids, tuple) else "a number"
        message = f"gpu_ids is {kind} and must be text: the launcher fails, it has no attribute 'split'"
        yield Finding(file.line("gpu_ids"), message, f"gpu_ids: '{','.join(file.gpu_ids or ())}'")
    for key, number in (("num_processes", file.processes), ("num_machines", file.machines)):
        value = file.raw(key)
        if value is not None and not isinstance(value, int) and _fails(file, key, is_text=isinstance(value, str)):
            message = f"{key} is {'text' if isinstance(value, str) else 'no whole number'}: the launcher fails on it"
            yield Finding(file.line(key), message, f"{key}: {number}")


def _fails(file: AccelerateFile, key: str, *, is_text: bool) -> bool:
    """Whether the launcher computes with a number so that this spelling fails."""
    several = file.machines > 1
    if is_text:
        return key == "num_machines" or several or file.use_cpu or not file.is_by_torchrun
    return file.is_by_torchrun and (key == "num_processes" or several)


@rule
def dynamo_backend_unknown(launch: Launch) -> Iterator[Finding]:
    """The file names a compiler backend that Accelerate does not know, and the launcher stops.

    An unquoted `NO` is false in YAML 1.1 and fails too. DeepSpeed's launcher does not look.

    What to do: `INDUCTOR` compiles; `'NO'` in quotes, or no `dynamo_config`, does not.
    """
    file = launch.file
    section = file.top.section("dynamo_config")
    holders: tuple[str, ...] = ("dynamo_config",)
    if "dynamo_backend" in file.top.values:  # an old spelling, which replaces the section
        section, holders = file.top, ()
    key = "backend" if section.states("backend") else "dynamo_backend"
    stated = section.text(key)
    if stated is None or file.kind == "DEEPSPEED":
        return
    is_bare = reads_as_false(section.values[key].value)
    if is_bare or stated.value.upper() not in DYNAMO_BACKENDS:
        why = "NO without quotes is false in YAML" if is_bare else f"{key_name(stated.value)} is unknown"
        yield Finding(file.line(*holders, key), f"{key}: {why}: the launcher fails", f"{key}: 'NO', or INDUCTOR")


@rule
def unread_sections(launch: Launch) -> Iterator[Finding]:
    """A section or key of the file is not read, since it belongs to another kind of launch.

    `fsdp_config` is read with `distributed_type: FSDP` only, `deepspeed_config` with DEEPSPEED, `megatron_lm_config`
    with MEGATRON_LM: with MULTI_GPU beside them the run is plain DDP, every device holding the whole model.
    `parallelism_config` is not read for a single process, `dynamo_config` not by DeepSpeed's launcher, `fp8_config`
    with `mixed_precision: fp8` only. Keys of `parallelism_config` need their prefix.

    What to do: state the `distributed_type` that reads the section, or remove it.
    """
    file = launch.file
    for key, owner in SECTION_OWNERS.items():
        if _holds(file, key) and file.kind != owner:
            message = f"{key} is read with distributed_type: {owner} only; with {file.kind or 'none'} it is not read"
            yield Finding(file.line(key), message, f"distributed_type: {owner}, or remove {key}")
    for key, is_read, message in (
        ("parallelism_config", file.is_by_torchrun, "is not read for a launch of one process"),
        ("dynamo_config", file.kind != "DEEPSPEED", "is not passed on by DeepSpeed's launcher: nothing is compiled"),
        ("fp8_config", file.precision == "fp8", f"is read with fp8 only; mixed_precision is {file.precision!r}"),
        ("mpirun_config", not file.is_by_torchrun, f"is not read with {file.kind}, which starts through torchrun"),
    ):
        if _holds(file, key) and not is_read:
            yield Finding(file.line(key), f"{key} {message}", f"remove {key}")
    for name in SIZES:
        if file.top.section("parallelism_config").states(name):
            right = f"parallelism_config_{name}"
            where = file.line("parallelism_config", name)
            yield Finding(where, f"{name} is not read: Accelerate reads {right}, 1 by default", f"{right}: …")


def _holds(file: AccelerateFile, key: str) -> bool:
    value = file.raw(key)
    return isinstance(value, Mapping) and any(item.value is not None for item in value.values())
