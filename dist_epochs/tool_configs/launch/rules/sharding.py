"""What devices hold: DDP, FSDP, and the memory that the plan counts on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dist_epochs.plan.cost.memory import Memory, states_bytes
from dist_epochs.plan.warnings.costs import memory_too_small
from dist_epochs.rules import rule
from dist_epochs.tool_configs.launch.launch import Finding, Launch

__all__ = [
    "does_not_fit_as_launched",
    "fsdp_loading",
    "fsdp_on_cpu",
    "fsdp_version_1",
    "sharding_by_recipe",
    "sharding_disagrees",
]

GIB = 2**30
FULL_SHARD = 3


@rule
def fsdp_version_1(launch: Launch) -> Iterator[Finding]:
    """FSDP version 1 is launched, which this package's trainer does not support.

    Where the file does not say `fsdp_version: 2`, the launcher takes 1. The trainer's checkpoints and clipping are
    written for version 2, so it stops at the start.

    What to do: `fsdp_version: 2` in `fsdp_config`; `fsdp_reshard_after_forward` is then its sharding strategy.
    """
    file = launch.file
    if file.kind != "FSDP" or file.fsdp_version == 2:
        return
    stated = any(file.top.section("fsdp_config").states(name) for name in ("fsdp_version", "version"))
    how = "is stated" if stated else "is what the launcher takes where none is stated"
    message = f"FSDP version {file.fsdp_version} {how}: dist_epochs.train stops"
    fix = "fsdp_version: 2 in fsdp_config"
    yield Finding(file.line("fsdp_config", "fsdp_version"), message, fix, is_of_trainer=True)


@rule
def fsdp_on_cpu(launch: Launch) -> Iterator[Finding]:
    """FSDP is asked for on the CPU, where Accelerate's own is silently plain DDP.

    Every process of such a program then holds the whole model. This package's trainer shards by itself, on the CPU
    too.

    What to do: FSDP on GPUs; `distributed_type: MULTI_GPU` with `use_cpu: true` for a trial on the CPU.
    """
    file = launch.file
    if file.kind == "FSDP" and file.use_cpu and launch.missing:
        message = "FSDP with use_cpu: Accelerate falls back to DDP without a warning"
        yield Finding(file.line("use_cpu"), message, "distributed_type: MULTI_GPU, or use_cpu: false")


@rule
def sharding_by_recipe(launch: Launch) -> Iterator[Finding]:
    """The file sets how FSDP shards, and this package's trainer takes that from the recipe.

    It wraps the model by itself: every layer, then the rest. `hardware.zero_stage: 3` asks for it,
    `hardware.shard_size` for copies of the model that are each sharded over so many devices, and
    `hardware.activation_checkpointing` for fewer activations. Weights are gathered again in the backward pass, and
    nothing is moved to the host's memory. Settings of the file that say something else are not done.

    What to do: remove them, and state in the recipe what it has a key for.
    """
    for keys, message, fix in (*_of_fsdp(launch), *_of_sizes(launch)):
        yield Finding(launch.file.line(*keys), f"{message}: {launch.outcome}", fix, is_of_trainer=True)


def _of_fsdp(launch: Launch) -> Iterator[tuple[tuple[str, str], str, str]]:
    """Settings of `fsdp_config` that are not done: the keys that lead there, what they ask for, and a fix."""
    file, hardware = launch.file, launch.plan.recipe.hardware
    if file.kind != "FSDP" or file.fsdp_version != 2:
        return
    section = file.top.section("fsdp_config")

    def says(key: str, value: bool) -> bool:
        stated = section.flag(key)
        return stated is not None and stated.value is value

    for key, asks, wanted in (
        ("fsdp_offload_params", "asks to keep weights in the host's memory", False),
        ("fsdp_activation_checkpointing_offload", "asks to keep activations in the host's memory", False),
        ("fsdp_reshard_after_forward", "asks to keep gathered weights after the forward pass", True),
    ):
        if says(key, not wanted):
            yield ("fsdp_config", key), f"{key} {asks}, which is not done", f"{key}: {str(wanted).lower()}"
    key = "fsdp_activation_checkpointing"
    if says(key, True) and not (hardware and hardware.activation_checkpointing):
        message = f"{key} is true, and the recipe does not plan it"
        yield ("fsdp_config", key), message, f"--set hardware.activation_checkpointing=true, or {key}: false"


def _of_sizes(launch: Launch) -> Iterator[tuple[tuple[str], str, str]]:
    """Copies of the model that `parallelism_config` asks for and the recipe does not."""
    file, hardware = launch.file, launch.plan.recipe.hardware
    copies, size = file.size("dp_replicate_size"), file.size("dp_shard_size")
    if size == 1 or file.shared > 1 or (launch.missing and copies == 1):
        return
    planned = hardware.shard_size if hardware is not None else None
    if launch.recipe_stage == FULL_SHARD and (size == planned or (planned is None and copies == 1)):
        return
    message = f"parallelism_config asks for {copies} cop{'y' if copies == 1 else 'ies'} of the model, each on {size} "
    message += "devices, and the recipe does not"
    fix = f"--set hardware.zero_stage=3 --set hardware.shard_size={size}, or remove parallelism_config"
    yield ("parallelism_config",), message, fix


@rule
def fsdp_loading(launch: Launch) -> Iterator[Finding]:
    """`fsdp_cpu_ram_efficient_loading` needs `fsdp_sync_module_states`, and the launcher stops without it.

    Only rank 0 loads the weights then, and the others take them from it. Both are true where nothing is stated.

    What to do: leave `fsdp_sync_module_states` out, or turn both off.
    """
    file = launch.file
    section = file.top.section("fsdp_config")
    loading, synced = (section.flag(f"fsdp_{name}") for name in ("cpu_ram_efficient_loading", "sync_module_states"))
    if file.kind != "FSDP" or synced is None or synced.value or (loading is not None and not loading.value):
        return
    message = "fsdp_sync_module_states is false while fsdp_cpu_ram_efficient_loading is true: the launcher stops"
    yield Finding(
        file.line("fsdp_config", "fsdp_sync_module_states"),
        message,
        "fsdp_cpu_ram_efficient_loading: false, or both true",
    )


@rule
def sharding_disagrees(launch: Launch) -> Iterator[Finding]:
    """The recipe plans another sharding than the file launches.

    `hardware.zero_stage` of the recipe says what devices share: 0 nothing (DDP), 1 optimizer states, 2 gradients too,
    3 weights too (FSDP). For this package's trainer the recipe decides, under any launch of several processes; where
    the file asks for FSDP and the recipe does not, it stops. For other programs the launch decides, and where the
    recipe states no stage, the file's is planned.

    What to do: the same in both.
    """
    file, hardware, stage = launch.file, launch.plan.recipe.hardware, launch.zero_stage
    if launch.shards_itself:
        if file.kind == "FSDP" and stage != FULL_SHARD:
            message = f"the file asks for FSDP and the recipe for stage {stage}, which shards nothing: {launch.outcome}"
            yield Finding(
                file.line("distributed_type"), message, "--set hardware.zero_stage=3, or distributed_type: MULTI_GPU"
            )
        return
    if hardware is None or stage is None or hardware.zero_stage == stage:
        return
    message = f"{file.kind} shards as ZeRO stage {stage}, and the recipe plans stage {hardware.zero_stage}"
    planned, launched = launch.plan.cost.memory, _memory(launch)
    if planned is not None and launched is not None:
        message += (
            f": {float(launched.states / GIB):.3g} GiB of states on a device, not {float(planned.states / GIB):.3g}"
        )
    other = "distributed_type: FSDP with fsdp_version: 2" if hardware.zero_stage else "distributed_type: MULTI_GPU"
    yield Finding(file.line("distributed_type"), message, f"--set hardware.zero_stage={stage}, or {other}")


@rule
def does_not_fit_as_launched(launch: Launch) -> Iterator[Finding]:
    """The model does not fit into one device, sharded as the file launches it.

    Weights, gradients and Adam states by the ZeRO stage of the file on its processes, and the smallest estimate of the
    activations. `memory-too-small` has the range; this is its lower end.

    What to do: FSDP, more devices, a smaller `per_device`, or `activation_checkpointing`.
    """
    memory, speed = _memory(launch), launch.plan.cost.speed
    if memory is None or speed is None or speed.device is None or memory.total.low <= speed.device.memories_gb[1] * GIB:
        return
    file, stage = launch.file, launch.zero_stage
    message = memory_too_small(replace(launch.plan, cost=replace(launch.plan.cost, memory=memory)))
    fix = "distributed_type: FSDP with fsdp_version: 2" if not stage else "more num_processes, or --per-device 1"
    if launch.shards_itself and not stage:
        fix = "--set hardware.zero_stage=3"
    yield Finding(file.line("distributed_type"), f"with ZeRO stage {stage} {message}", fix)


def _memory(launch: Launch) -> Memory | None:
    """What a device holds when sharded as the file says."""
    file, plan, stage = launch.file, launch.plan, launch.zero_stage
    size, planned = file.data_parallel_size, plan.cost.memory
    if planned is None or plan.cost.trained is None or stage is None or size is None or file.on_cpu:
        return None
    batch = plan.recipe.batch
    hardware = plan.recipe.hardware
    if launch.shards_itself and hardware is not None and hardware.shard_size is not None:
        size = min(size, hardware.shard_size)
    states = states_bytes(
        plan.cost.trained,
        stage,
        size * batch.context_parallel,  # they shard states too
        plan.recipe.arithmetic,
        batch.tensor_parallel * batch.pipeline_parallel,
        frozen_bytes=planned.frozen_bytes,
    )
    return replace(planned, states=states)
