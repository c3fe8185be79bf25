"""What devices hold: DDP, FSDP, and the memory that the plan counts on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dist_epochs.plan.cost.memory import Memory, states_bytes
from dist_epochs.plan.warnings.costs import memory_too_small
from dist_epochs.rules import rule
from dist_epochs.tool_configs.launch.launch import Finding, Launch

__all__ = ["does_not_fit_as_launched", "fsdp_loading", "fsdp_on_cpu", "fsdp_version_1", "sharding_disagrees"]

GIB = 2**30


@rule
def fsdp_version_1(launch: Launch) -> Iterator[Finding]:
    """FSDP version 1 is launched, which this package's trainer does not support.

    Where the file does not say `fsdp_version: 2`, the launcher takes 1. The trainer's checkpoints and clipping are
    written for version 2, so it stops at the start.

    What to do: `fsdp_version: 2` in `fsdp_config`; `fsdp_reshard_after_forward` is then its sharding strategy.
    """
    file = launch.file
    if file.kind != "FSDP" or file.fsdp_version == 2 or file.use_cpu:
        return
    stated = any(file.top.section("fsdp_config").states(name) for name in ("fsdp_version", "version"))
    how = "is stated" if stated else "is what the launcher takes where none is stated"
    message = f"FSDP version {file.fsdp_version} {how}: dist_epochs.train stops"
    fix = "fsdp_version: 2 in fsdp_config"
    yield Finding(file.line("fsdp_config", "fsdp_version"), message, fix, is_of_trainer=True)


@rule
def fsdp_on_cpu(launch: Launch) -> Iterator[Finding]:
    """FSDP is asked for on the CPU, where Accelerate silently runs plain DDP.

    Every process then holds the whole model. This package's trainer stops.

    What to do: `distributed_type: MULTI_GPU` with `use_cpu: true` for a trial on the CPU, FSDP on GPUs.
    """
    file = launch.file
    if file.kind == "FSDP" and file.use_cpu:
        message = "FSDP with use_cpu: Accelerate falls back to DDP without a warning, and dist_epochs.train stops"
        yield Finding(file.line("use_cpu"), message, "distributed_type: MULTI_GPU, or use_cpu: false")


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
    """The memory is planned for another sharding than the file launches.

    `hardware.zero_stage` of the recipe says what devices share: 0 nothing (DDP), 1 optimizer states, 2 gradients too,
    3 weights too (FSDP). The launch decides what really happens. Where the recipe states none, the file's is planned.

    What to do: the same in both.
    """
    file, hardware, stage = launch.file, launch.plan.recipe.hardware, launch.zero_stage
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
    yield Finding(file.line("distributed_type"), f"with ZeRO stage {stage} {message}", fix)


def _memory(launch: Launch) -> Memory | None:
    """What a device holds when sharded as the file says."""
    file, plan, stage = launch.file, launch.plan, launch.zero_stage
    size, planned = file.data_parallel_size, plan.cost.memory
    if planned is None or plan.cost.trained is None or stage is None or size is None or file.on_cpu:
        return None
    batch = plan.recipe.batch
    states = states_bytes(
        plan.cost.trained,
        stage,
        size * batch.context_parallel,  # they shard states too
        plan.recipe.arithmetic,
        batch.tensor_parallel * batch.pipeline_parallel,
        frozen_bytes=planned.frozen_bytes,
    )
    return replace(planned, states=states)
