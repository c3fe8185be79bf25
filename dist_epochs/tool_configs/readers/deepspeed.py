"""A DeepSpeed configuration: batch sizes and accumulation, precision, ZeRO, and the devices that share a model.

`train_batch_size` = `train_micro_batch_size_per_gpu` × `gradient_accumulation_steps` × data-parallel devices
(deepspeed.ai/docs/config-json); which of them may be left out is settled in `complete`, when the devices are known.
"""

from __future__ import annotations

from dataclasses import replace

from dist_epochs.errors import InputError
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import KeyOrigin, Stated
from dist_epochs.tool_configs.stated import LaunchSettings, Precision

__all__ = ["OPEN", "deepspeed_settings", "precision_of", "zero_stage"]

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
    tensor = top.section("tensor_parallel").count("autotp_size", least=0)
    if tensor is not None and tensor.value > 1 and batch is not None:
        top.note(BATCH[0], "DeepSpeed checks it against all devices, those that share a layer included")
    sequence = top.count("sequence_parallel_size")
    expert = top.section("expert_parallel")
    settings = LaunchSettings(
        global_batch=batch,
        per_device=per_device,
        gradient_accumulation=accumulation,
        precision=_precision(top),
        tensor_parallel=tensor and Stated(max(tensor.value, 1), tensor.where),  # 0 turns it off
        pipeline_parallel=top.section("pipeline").count("stages"),
        context_parallel=sequence,
        expert_parallel=expert.count("autoep_size") if expert.is_on("enabled") else None,
        zero_stage=zero_stage(top.section("zero_optimization"), "stage"),
        warmup_steps=top.section("scheduler").section("params").count("warmup_num_steps", least=0),
        uneven=Stated("drop", drops.where) if (drops := top.flag("dataloader_drop_last")) and drops.value else None,
    )
    quoted = tuple(dict.fromkeys(key for key in top.remarks.quoted if _is_in(key, top)))
    for where in quoted:
        top.remarks.notes.append(f"{where}: a number in quotes is text, with which DeepSpeed cannot compute")
    return replace(
        settings, quoted=quoted, ignored=tuple(top.remarks.ignored), notes=tuple(dict.fromkeys(top.remarks.notes))
    )


def _is_in(key: KeyOrigin, top: Section) -> bool:
    return key.name == top.origin.name and key.key.startswith(top.prefix)


def _note_if_enabled(top: Section, path: list[str], remark: str) -> None:
    """Note a feature where it and everything that leads to it is enabled."""
    *parents, last = path
    section = top
    for key in parents:
        section = section.section(key)
        if not section.is_on("enabled"):
            return
    if section.section(last).is_on("enabled"):
        section.note(last, remark)


def _precision(top: Section) -> Stated[Precision] | None:
    fp16 = top.section("fp16").flag("enabled")
    bf16 = top.section("bf16" if top.states("bf16") else "bfloat16").flag("enabled")  # the latter is the old name
    found = precision_of(fp16, bf16, "DeepSpeed trains in one of fp16 and bf16, and stops at its start")
    is_open = any(top.section(key).states("enabled") for key, flag in (("fp16", fp16), ("bf16", bf16)) if flag is None)
    return None if found is not None and found.value == "fp32" and is_open else found


def precision_of(fp16: Stated[bool] | None, bf16: Stated[bool] | None, rule: str) -> Stated[Precision] | None:
    """The precision that two flags state: fp32 if neither is true, None if neither is stated.

    Raises:
        InputError: If both are true, with the tool's rule about that.
    """
    flags: dict[Precision, Stated[bool] | None] = {"fp16": fp16, "bf16": bf16}
    on = [Stated(name, flag.where) for name, flag in flags.items() if flag is not None and flag.value]
    if len(on) == 2:
        asked = f"{on[0].where} and {on[1].where} are both true"
        raise InputError(asked, rule=rule, fixes="setting one of them to false")
    off = fp16 or bf16
    return on[0] if on else None if off is None else Stated("fp32", off.where)


def zero_stage(section: Section, key: str) -> Stated[int] | None:
    """A ZeRO stage.

    Raises:
        InputError: If it is none of 0 to 3.
    """
    stage = section.count(key, least=0)
    if stage is not None and stage.value > 3:
        section.refuse(key, "0, 1, 2 or 3")
    return stage
