"""What goes wrong at a launch. Each rule is a function; its docstring is the page that `dist-epochs explain` shows.

A rule looks at a launch and yields what it finds. Findings make the exit code 1, notes only inform; what only this
package's trainer minds is a note where the recipe cannot be trained by it anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from dist_epochs.rules import rule_name
from dist_epochs.tool_configs.launch.launch import Finding, Launch
from dist_epochs.tool_configs.launch.rules.batch import batch_beyond_the_launch, batch_of_one_device, loader_options
from dist_epochs.tool_configs.launch.rules.deepspeed import (
    accumulation_from_the_launch,
    deepspeed_auto,
    deepspeed_batch,
    deepspeed_file_beside_keys,
    deepspeed_quoted_number,
)
from dist_epochs.tool_configs.launch.rules.gpus import gpu_ids_repeated, gpus_idle, one_gpu_id, too_few_gpu_ids
from dist_epochs.tool_configs.launch.rules.keys import (
    dynamo_backend_unknown,
    launch_type_unknown,
    launch_value_type,
    repeated_launch_key,
    unknown_launch_keys,
    unread_sections,
)
from dist_epochs.tool_configs.launch.rules.machines import (
    launcher_in_each_task,
    machine_rank_missing,
    machine_rank_outside,
    main_process_not_reachable,
    main_process_port,
    nodes_left_alone,
    processes_not_divisible,
    total_processes,
)
from dist_epochs.tool_configs.launch.rules.parallel import (
    megatron_context_parallel,
    nothing_to_shard,
    only_data_parallel,
    parallel_sizes,
)
from dist_epochs.tool_configs.launch.rules.precision import (
    bf16_not_there,
    fp16_on_cpu,
    launch_precision,
    precision_disagrees,
)
from dist_epochs.tool_configs.launch.rules.processes import (
    cpu_by_environment,
    devices_disagree,
    one_process,
    processes_known_at_launch,
    processes_not_stated,
    tasks_alone,
)
from dist_epochs.tool_configs.launch.rules.sharding import (
    does_not_fit_as_launched,
    fsdp_loading,
    fsdp_on_cpu,
    fsdp_version_1,
    sharding_by_recipe,
    sharding_disagrees,
)
from dist_epochs.tool_configs.launch.rules.trainer import launch_not_supported, recipe_not_trainable

__all__ = ["FINDINGS", "NOTES", "check"]

Rule = Callable[[Launch], Iterator[Finding]]

FINDINGS: tuple[Rule, ...] = (
    unknown_launch_keys,
    launch_type_unknown,
    launch_value_type,
    dynamo_backend_unknown,
    launch_not_supported,
    processes_not_stated,
    one_process,
    tasks_alone,
    devices_disagree,
    batch_beyond_the_launch,
    processes_not_divisible,
    machine_rank_outside,
    machine_rank_missing,
    launcher_in_each_task,
    nodes_left_alone,
    main_process_not_reachable,
    main_process_port,
    one_gpu_id,
    too_few_gpu_ids,
    gpu_ids_repeated,
    launch_precision,
    precision_disagrees,
    fp16_on_cpu,
    bf16_not_there,
    only_data_parallel,
    parallel_sizes,
    nothing_to_shard,
    fsdp_version_1,
    fsdp_on_cpu,
    fsdp_loading,
    sharding_by_recipe,
    sharding_disagrees,
    does_not_fit_as_launched,
    accumulation_from_the_launch,
    deepspeed_batch,
    deepspeed_file_beside_keys,
    deepspeed_quoted_number,
    unread_sections,
)
"""Rules for what goes wrong."""

NOTES: tuple[Rule, ...] = (
    repeated_launch_key,
    megatron_context_parallel,
    cpu_by_environment,
    processes_known_at_launch,
    total_processes,
    gpus_idle,
    batch_of_one_device,
    deepspeed_auto,
    loader_options,
    recipe_not_trainable,
)
"""Rules that only inform."""


def check(launch: Launch) -> tuple[Finding, ...]:
    """All that is found, what goes wrong first."""
    told = [_named(found, rule, launch) for rule in (*FINDINGS, *NOTES) for found in rule(launch)]
    return tuple(sorted(told, key=lambda found: found.is_note))


def _named(found: Finding, rule: Rule, launch: Launch) -> Finding:
    """A finding with the name of its rule, or the note that it is here."""
    if found.is_of_trainer and launch.missing:
        return replace(found, rule=rule_name(rule), is_note=True, fix=f"for dist_epochs.train: {found.fix}")
    return replace(found, rule=rule_name(rule), is_note=rule in NOTES)
