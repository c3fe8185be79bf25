"""torchtune: a recipe's YAML, whose parts name their Python class as `_component_`.

Read in its code of 2025 (`recipes/full_finetune_distributed.py`). A pass is cut for each device first
(`DistributedSampler`, which fills up), then into full micro-batches and full windows: what is left over is never
stepped. The devices are not in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.adapters import torchtune_adapter
from dist_epochs.tool_configs.complete import data_parallel_size
from dist_epochs.tool_configs.references import resolved
from dist_epochs.tool_configs.stated import LaunchSettings, Precision, merge
from dist_epochs.tool_configs.tool import Given, Tool, Top, counted, factor, have, precision_word

__all__ = ["TORCHTUNE"]

NAME = "torchtune"
PRECISIONS: dict[str, Precision] = {"bf16": "bf16", "fp16": "fp16", "fp32": "fp32"}
REINFORCEMENT = ("num_steps", "ppo_batch_size", "forward_batch_size", "grpo_samples")


def _is_its(top: Top) -> bool:
    components = sum(isinstance(value, Mapping) and "_component_" in value for value in top.values())
    return components >= 2 or (
        components == 1 and have(top, 1, "max_steps_per_epoch", "batch_size", "log_every_n_steps")
    )


def torchtune_settings(top: Section, given: Given) -> LaunchSettings:
    """What a torchtune recipe states.

    Raises:
        InputError: If a value cannot be used, or it is a recipe of reinforcement learning.
    """
    top = resolved(top)
    for key in REINFORCEMENT:
        if top.states(key):
            raise InputError(
                f"{key} belongs to a PPO or GRPO recipe of {NAME}, which is not read",
                rule="its batches are made of trajectories",
                fixes="flags, such as --devices, --per-device, --gradient-accumulation and --steps",
                origin=top.line(key),
            )
    epochs = top.number("epochs", "a number of passes")
    dataset = top.section("dataset") if isinstance(top.raw("dataset"), Mapping) else None
    is_packed = dataset is not None and dataset.is_on("packed")
    if is_packed and dataset is not None:
        dataset.note("packed", "a sample is a pack of tokenizer.max_seq_len tokens: N is packs, not rows")
    reshards = top.flag("fsdp_reshard_after_forward")
    devices = given.batch.devices
    batch = LaunchSettings(
        devices=devices,
        per_device=top.count("batch_size"),
        gradient_accumulation=factor(top, "gradient_accumulation_steps", given.batch.gradient_accumulation, 1, NAME),
        tensor_parallel=top.count("tensor_parallel_dim"),
        context_parallel=top.count("context_parallel_dim"),
    )
    stage = Stated(3, reshards.where if reshards else Origin(f"{NAME}, by default"))
    if reshards is not None and not reshards.value:
        stage = Stated(2, reshards.where)
    own = replace(
        batch,
        precision=precision_word(top, "dtype", PRECISIONS),
        sequence_length=top.section("tokenizer").count("max_seq_len") if is_packed else None,
        zero_stage=stage if devices is not None and devices.value > 1 else None,
        activation_checkpointing=top.flag("enable_activation_checkpointing"),
        seed=top.count("seed", least=0),
        epochs=epochs,
        **torchtune_adapter(top.section("model")),
    )
    own = merge([own, _ends(top, batch, given, given.passes(epochs, None))])
    return replace(own, notes=tuple(top.remarks.notes), ignored=tuple(top.remarks.ignored))


def _ends(top: Section, batch: LaunchSettings, given: Given, epochs: Stated[Fraction] | None) -> LaunchSettings:
    """Steps of the run, and the policies of its passes where they give the same."""
    cap, size = top.count("max_steps_per_epoch"), data_parallel_size(batch)
    each, accumulation = batch.per_device, batch.gradient_accumulation
    if given.samples is None or size is None or each is None or accumulation is None or epochs is None:
        return LaunchSettings()
    micro_steps = -(-given.samples // size) // each.value
    whole = micro_steps // accumulation.value
    steps = min(whole, cap.value) if cap else whole
    rule = (
        f"⌊⌈{given.samples:,} ÷ {size:,}⌉ ÷ {each.value:,}⌋ = {micro_steps:,} micro-steps a pass, "
        f"⌊{micro_steps:,} ÷ {accumulation.value:,}⌋ = {whole:,} steps"
    )
    if cap is not None and cap.value < whole:
        rule += f", of which max_steps_per_epoch keeps {cap.value:,}"
    made = counted(int(epochs.value * steps), f"{rule}, × {float(epochs.value):g}:", epochs, NAME)
    if steps == whole and micro_steps == given.samples // (each.value * size):
        loop = Origin(f"{NAME}'s loop")
        return LaunchSettings(counted_steps=made, uneven=Stated("drop", loop), last_window=Stated("drop", loop))
    return LaunchSettings(counted_steps=made)


TORCHTUNE = Tool(NAME, _is_its, torchtune_settings)
