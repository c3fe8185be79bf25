"""A DeepSpeed configuration: batch sizes and accumulation, precision, ZeRO, and the devices that share a model.

`train_batch_size` = `train_micro_batch_size_per_gpu` × `gradient_accumulation_steps` × data-parallel devices
(deepspeed.ai/docs/config-json); which of them may be left out is settled in `complete`, when the devices are known.
"""

from __future__ import annotations

from dataclasses import replace

from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.sharding import zero_stage
from dist_epochs.tool_configs.stated import LaunchSettings, Precision
from dist_epochs.tool_configs.tool_values import precision_of

__all__ = ["OPEN", "deepspeed_settings"]

OPEN = "auto"
"""Stands for a value that Transformers or Accelerate fills in."""

BATCH = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
NOTES = (
    ("curriculum_learning", "curriculum learning: with sequence lengths, the tokens of a step change during the run"),
    ("data_efficiency.data_sampling.curriculum_learning", "curriculum learning: samples are not drawn in equal passes"),
    ("data_efficiency.data_sampling.dynamic_batching", "dynamic batching: the samples of a step change during the run"),
    ("data_efficiency.dynamic_batching", "dynamic batching: the samples of a step change during the run"),
    ("amp", "Apex decides the precision; steps may be skipped on overflow, as with fp16"),
)
"""Notes on features that bear on the count, where they are enabled."""


def deepspeed_settings(top: Section) -> LaunchSettings:
    """What a DeepSpeed configuration states.

    Args:
        top: The file, or the part of another file, with `OPEN` as its open word.

    Raises:
        InputError: If a value cannot be used, or fp16 and bf16 are both enabled.
    """
    elastic = top.section("elasticity").is_on("enabled")
    if elastic:
        top.note("elasticity", "elastic training: DeepSpeed chooses the batch, and it may change with the devices")
        for key in BATCH:
            top.ignore(key)
    for path, remark in NOTES:
        _note_if_enabled(top, path.split("."), remark)
    batch, per_device, accumulation = (None if elastic else top.count(key) for key in BATCH)
    tensor, expert = top.section("tensor_parallel").count("autotp_size", least=0), top.section("expert_parallel")
    if tensor is not None and tensor.value > 1 and batch is not None:
        top.note(BATCH[0], "DeepSpeed checks it against all devices, those that share a layer included")
    drops = top.flag("dataloader_drop_last")
    settings = LaunchSettings(
        global_batch=batch,
        per_device=per_device,
        gradient_accumulation=accumulation,
        precision=_precision(top),
        tensor_parallel=tensor and Stated(max(tensor.value, 1), tensor.where),  # 0 turns it off
        pipeline_parallel=top.section("pipeline").count("stages"),
        context_parallel=top.count("sequence_parallel_size"),
        expert_parallel=expert.count("autoep_size") if expert.is_on("enabled") else None,
        zero_stage=zero_stage(top.section("zero_optimization"), "stage"),
        warmup_steps=top.section("scheduler").section("params").count("warmup_num_steps", least=0),
        uneven=Stated("drop", drops.where) if drops and drops.value else None,
    )
    remarks, prefix = top.remarks, top.prefix
    here = (key for key in remarks.quoted if key.name == top.origin.name and key.key.startswith(prefix))
    quoted = tuple(dict.fromkeys(here))
    remarks.notes += [f"{where}: a number in quotes is text, with which DeepSpeed cannot compute" for where in quoted]
    return replace(settings, quoted=quoted, ignored=tuple(remarks.ignored), notes=tuple(dict.fromkeys(remarks.notes)))


def _note_if_enabled(top: Section, path: list[str], remark: str) -> None:
    """Note a feature where it and everything that leads to it is enabled."""
    for depth, key in enumerate(path, 1):
        section = top.section(key)
        if not section.is_on("enabled"):
            return
        if depth == len(path):
            top.note(key, remark)
        top = section


def _precision(top: Section) -> Stated[Precision] | None:
    parts = [top.section("fp16"), top.section("bf16" if top.states("bf16") else "bfloat16")]  # the latter is older
    fp16, bf16 = (part.flag("enabled") for part in parts)
    found = precision_of(fp16, bf16, "DeepSpeed trains in one of fp16 and bf16, and stops at its start")
    is_open = any(part.states("enabled") for part, flag in zip(parts, (fp16, bf16), strict=True) if flag is None)
    return None if found is not None and found.value == "fp32" and is_open else found
