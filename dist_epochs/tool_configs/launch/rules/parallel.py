"""How processes share the model: `parallelism_config`."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from dist_epochs.rules import rule
from dist_epochs.settings.value import KeyOrigin
from dist_epochs.tool_configs.accelerate_file import AccelerateFile
from dist_epochs.tool_configs.launch.launch import Finding, Launch
from dist_epochs.tool_configs.sharding import SIZES

__all__ = ["megatron_context_parallel", "nothing_to_shard", "only_data_parallel", "parallel_sizes"]


def _is_read(file: AccelerateFile) -> bool:
    keys = file.top.section("parallelism_config").values
    return file.is_by_torchrun and any(key.startswith("parallelism_") for key in keys)


@rule
def only_data_parallel(launch: Launch) -> Iterator[Finding]:
    """Tensor, pipeline, context or sequence parallelism is asked for, and this package's trainer has none.

    It trains with DDP or FSDP2, where every device sees its own samples, and stops at the start. Such a run can be
    planned: data-parallel size = devices ÷ (tensor × pipeline × context parallel). Recipe and file must then agree.

    What to do: remove the sizes, or launch a program that shares the model.
    """
    file, batch = launch.file, launch.plan.recipe.batch
    for setting in ("tensor_parallel", "pipeline_parallel", "context_parallel", "expert_parallel"):
        stated, planned = file.sharing(setting), getattr(batch, setting)
        if stated is not None:
            key = stated.where.key.rpartition(".")[2] if isinstance(stated.where, KeyOrigin) else setting
            see = "different" if setting == "expert_parallel" else "the same"
            message = f"{key} is {stated.value}: they see {see} samples, and dist_epochs.train stops"
            if planned != stated.value:
                message += f" (the recipe plans {setting}: {planned})"
            yield Finding(stated.origin, message, f"{key}: 1", is_of_trainer=planned == stated.value)
        elif planned > 1:
            message = f"the recipe plans {setting}: {planned}, which neither the file nor dist_epochs.train has"
            yield Finding(file.line("parallelism_config"), message, f"--set batch.{setting}=1", is_of_trainer=True)


@rule
def parallel_sizes(launch: Launch) -> Iterator[Finding]:
    """The sizes of `parallelism_config` do not multiply to the number of processes, or do not go with the launch.

    Accelerate compares their product (replicate × shard × tensor × context × sequence) with the processes when the
    program makes its `Accelerator`, and raises. Sizes beyond 1 need GPUs and FSDP version 2: with version 1, or on the
    CPU, it raises too, and with MULTI_GPU `dp_shard_size` shards nothing. Sequence parallelism is left to DeepSpeed.
    This package's trainer shards by itself, as the recipe says, and compares the two (`sharding-by-recipe`).

    What to do: `parallelism_config_dp_shard_size` = processes ÷ all other sizes, or no `parallelism_config`.
    """
    file = launch.file
    sizes = {name: file.size(name) for name in SIZES}
    product = prod(sizes.values())
    if not _is_read(file) or product == 1:
        return
    where = file.line("parallelism_config")
    if file.kind == "FSDP" and file.fsdp_version == 1:
        message = "parallelism_config with FSDP version 1: Accelerate raises when the program starts"
        yield Finding(where, message, "fsdp_version: 2 in fsdp_config")
    if file.use_cpu and not launch.shards_itself:
        yield Finding(where, "parallelism_config on the CPU: Accelerate raises when the program starts", "remove it")
    if file.is_ddp and sizes["dp_shard_size"] > 1 and not launch.shards_itself:
        message = f"dp_shard_size {sizes['dp_shard_size']} with {file.kind} shards nothing: the run is plain DDP"
        yield Finding(where, message, "distributed_type: FSDP with fsdp_version: 2, or remove parallelism_config")
    if file.processes in (None, product) or sizes["sp_size"] > 1:
        return
    assert file.processes is not None
    named = " × ".join(str(size) for size in sizes.values())
    rest = product // sizes["dp_shard_size"]
    fix = f"num_processes: {product}"
    if file.processes % rest == 0:
        fix += f", or parallelism_config_dp_shard_size: {file.processes // rest}"
    yield Finding(where, f"the sizes make {named} = {product}, and {file.processes} processes start: it raises", fix)


@rule
def nothing_to_shard(launch: Launch) -> Iterator[Finding]:
    """FSDP version 2 with a `parallelism_config` that leaves it nothing to shard over.

    Where `dp_shard_size` and `cp_size` are both 1 and another size is not, Accelerate raises. Without a
    `parallelism_config`, or with every size 1, it shards over all processes.

    What to do: remove the section, or `parallelism_config_dp_shard_size` = processes.
    """
    file = launch.file
    if file.kind != "FSDP" or file.fsdp_version != 2 or not _is_read(file) or file.use_cpu or launch.shards_itself:
        return
    if file.size("dp_shard_size") > 1 or file.size("cp_size") > 1 or prod(map(file.size, SIZES)) == 1:
        return
    message = "parallelism_config has dp_shard_size 1 and cp_size 1, which leaves FSDP nothing to shard over: it raises"
    fix = "remove parallelism_config"
    if file.processes is not None:
        fix += f", or parallelism_config_dp_shard_size: {file.processes}"
    yield Finding(file.line("parallelism_config"), message, fix)


@rule
def megatron_context_parallel(launch: Launch) -> Iterator[Finding]:
    """Megatron-LM is launched without `megatron_lm_context_parallel_size`, and Accelerate then asks for 2.

    Accelerate 1.15 takes 2 where it finds none in the environment, beside the tensor and pipeline sizes that the file
    states. The plan takes 1, as Megatron-LM itself does.

    What to do: `megatron_lm_context_parallel_size: 1`, which is then what both have.
    """
    if launch.file.asks_for_two_context_parallel:
        message = "no megatron_lm_context_parallel_size: Accelerate 1.15 then asks Megatron-LM for 2; 1 is planned"
        where = launch.file.line("megatron_lm_config")
        yield Finding(where, message, "megatron_lm_context_parallel_size: 1, below megatron_lm_config")
