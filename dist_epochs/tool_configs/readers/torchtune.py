"""torchtune: a recipe's YAML, whose parts name their Python class as `_component_`.

Read in its code of 2025 (`recipes/full_finetune_distributed.py`). A pass is cut for each device first
(`DistributedSampler`, which fills up), then into full micro-batches and full windows: what is left over is never
stepped. The devices are not in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dist_epochs.errors import InputError
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.adapters import torchtune_adapter
from dist_epochs.tool_configs.keys import SEED, Top, count, flag, number, precision
from dist_epochs.tool_configs.passes import Given, ends, pass_of
from dist_epochs.tool_configs.sharding import replicated
from dist_epochs.tool_configs.stated import LaunchSettings
from dist_epochs.tool_configs.tool import Tool
from dist_epochs.tool_configs.tool_values import assumed

__all__ = ["TORCHTUNE"]

NAME = "torchtune"
REINFORCEMENT = ("num_steps", "ppo_batch_size", "forward_batch_size", "grpo_samples")
PACKED = "a sample is a pack of tokenizer.max_seq_len tokens: N is packs, not rows"


def _is_its(top: Top) -> bool:
    components = sum(isinstance(value, Mapping) and "_component_" in value for value in top.values())
    own = {"max_steps_per_epoch", "batch_size", "log_every_n_steps"}
    return components >= 2 or (components == 1 and bool(own & top.keys()))


def torchtune_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """What is sharded, what a sample is, and whole windows of each pass.

    Raises:
        InputError: If it is a recipe of reinforcement learning.
    """
    for key in filter(top.states, REINFORCEMENT):
        asked, rule = f"{key} belongs to a PPO or GRPO recipe of {NAME}, which is not read", "its batches are made of "
        fixes = "flags, such as --devices, --per-device, --gradient-accumulation and --steps"
        raise InputError(asked, rule=f"{rule}trajectories", fixes=fixes, origin=top.line(key))
    is_packed = top.holds_keys("dataset") and top.section("dataset").is_on("packed")
    if is_packed:
        top.section("dataset").note("packed", PACKED)
    keeps = top.flag("fsdp_reshard_after_forward")
    stage = assumed(NAME, 3) if keeps is None else Stated(3 if keeps.value else 2, keeps.where)
    own = replace(
        own,
        sequence_length=own.sequence_length if is_packed else None,
        zero_stage=stage if own.devices is not None and own.devices.value > 1 else None,
        shard_size=replicated(top, own, "data_parallel_replicate_dim", "data_parallel_shard_dim"),
        **(torchtune_adapter(top.section("model")) if top.holds_keys("model") else {}),
    )
    return _with_steps(top, own, given)


def _with_steps(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """Steps of the run, and the policies of its passes where they give the same."""
    found, cap = pass_of(own, given), top.count("max_steps_per_epoch")
    if found is None:
        return own
    micro_steps = -(-found.samples // found.size) // found.each
    whole = micro_steps // found.accumulation
    steps = min(whole, cap.value) if cap else whole
    rule = f"⌊⌈{found.samples:,} ÷ {found.size:,}⌉ ÷ {found.each:,}⌋ = {micro_steps:,} micro-steps a pass, "
    rule += f"⌊{micro_steps:,} ÷ {found.accumulation:,}⌋ = {whole:,} steps"
    if steps < whole:
        rule += f", of which max_steps_per_epoch keeps {steps:,}"
    made = found.counted(found.epochs.value * steps, f"{rule}, × {found.times}", NAME)
    own = replace(own, counted_steps=made, told=found.told(micro_steps, steps))
    drops = steps == whole and micro_steps == found.samples // found.round
    return replace(own, **ends(f"{NAME}'s loop", "drop", "drop")) if drops else own


KEYS = {
    "per_device": count("batch_size"),
    "gradient_accumulation": count("gradient_accumulation_steps", default=1),
    "tensor_parallel": count("tensor_parallel_dim"),
    "context_parallel": count("context_parallel_dim"),
    "precision": precision("dtype", bf16="bf16", fp16="fp16", fp32="fp32"),
    "sequence_length": count("tokenizer.max_seq_len"),
    "activation_checkpointing": flag("enable_activation_checkpointing"),
    "seed": SEED,
    "epochs": number("epochs"),
}
TORCHTUNE = Tool(NAME, _is_its, KEYS, torchtune_rules)
