"""Hugging Face's `TrainingArguments`, as a JSON or YAML file.

Read as Transformers 5.23 does (`training_args.py`, `trainer.py`); names of version 4 are understood. The number of
devices is not among them. Other keys of the same file, such as a script's own for model and data, are not read.
"""

from __future__ import annotations

from fractions import Fraction

from dist_epochs.arithmetic.loader import Uneven
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.adapters import partly_trained_settings
from dist_epochs.tool_configs.readers.deepspeed import OPEN, deepspeed_settings
from dist_epochs.tool_configs.sharding import fsdp_stage, fsdp_stage_of, parallel_settings
from dist_epochs.tool_configs.stated import LaunchSettings, agree, merge
from dist_epochs.tool_configs.tool_values import precision_of

__all__ = ["training_arguments_settings"]

NOTES = {
    "auto_find_batch_size": "per_device_train_batch_size is halved until it fits: the batch may change at the start",
    "packing": "several documents make one sample: N is the number of packed samples, not of rows",
}
"""Notes on switches that bear on the count, where they are on."""


def training_arguments_settings(top: Section) -> LaunchSettings:
    """What TrainingArguments state, and what their DeepSpeed configuration does.

    Raises:
        InputError: If a value cannot be used, or two keys contradict each other.
    """
    for key in filter(top.is_true, NOTES):
        top.note(key, NOTES[key])
    accelerator = top.section_or_file("accelerator_config")
    accumulation = _accumulation(top, accelerator)
    own = LaunchSettings(
        gradient_accumulation=accumulation,
        precision=precision_of(top.flag("fp16"), top.flag("bf16"), "the Trainer refuses that"),
        zero_stage=_fsdp(top),
        activation_checkpointing=top.flag("gradient_checkpointing"),
        steps=_steps(top),
        epochs=_epochs(top),
        warmup_steps=_warmup(top),
        uneven=_uneven(top, accelerator),
        seed=top.count("seed", least=0),
        **partly_trained_settings(top),
    )
    parallel = parallel_settings(top.section("parallelism_config"), prefix="")
    parts = [own, _batch(top, accelerator, accumulation), parallel, _deepspeed(top, accumulation)]
    return merge([*parts, LaunchSettings(ignored=tuple(top.remarks.ignored), notes=tuple(top.remarks.notes))])


def _batch(top: Section, accelerator: Section, accumulation: Stated[int] | None) -> LaunchSettings:
    """The micro-batch of a device; with `split_batches`, of all devices together."""
    old, new = top.count("per_gpu_train_batch_size"), top.count("per_device_train_batch_size")
    stated = agree("per_device", new, old) if new and old else new or old
    if stated is None or not accelerator.is_on("split_batches"):
        return LaunchSettings(per_device=stated)
    where, split = accelerator.where("split_batches"), f"the {stated.value} samples of {stated.where} are"
    if accumulation is None:
        asked = f"{where.key} is true, and gradient_accumulation_steps is not stated"
        rule = f"{split} then split over all devices, and the global batch is {stated.value} × "
        fixes = "gradient_accumulation_steps: 1, which is the default"
        rule, origin = f"{rule}gradient_accumulation_steps", accelerator.line("split_batches")
        raise InputError(asked, rule=rule, fixes=fixes, origin=origin)
    total = "the Trainer's own total multiplies them by the devices"
    accelerator.note("split_batches", f"{split} those of all devices; {total}")
    follows = Origin(f"{stated.where} × {accumulation.where}, with {where}")
    return LaunchSettings(global_batch=Stated(stated.value * accumulation.value, follows))


def _accumulation(top: Section, accelerator: Section) -> Stated[int] | None:
    """The Trainer takes Accelerate's `num_steps` where its own is 1, and refuses two."""
    own = top.count("gradient_accumulation_steps")
    inner = accelerator.section("gradient_accumulation_kwargs").count("num_steps")
    if own is None or inner is None:
        return own or inner
    return inner if own.value == 1 else agree("gradient_accumulation", own, inner)


def _steps(top: Section) -> Stated[int] | None:
    stated = top.number("max_steps", "a number of steps above zero, or -1", least=-(10**9))
    return None if stated is None or stated.value < 0 else top.count("max_steps")


def _epochs(top: Section) -> Stated[Fraction] | None:
    stated = top.number("num_train_epochs", "a number above zero")
    if stated is not None and stated.value == 0:
        top.refuse("num_train_epochs", "a number above zero")
    return stated


def _warmup(top: Section) -> Stated[int] | None:
    """Warmup in steps. Below 1 it is a share of the steps (Transformers 5), as `warmup_ratio` was."""
    ratio = top.number("warmup_ratio", "a share of the steps")
    stated = top.number("warmup_steps", "a number of steps, or a share below 1")
    if ratio is not None and ratio.value:
        top.note("warmup_ratio", f"the warmup is {float(ratio.value):g} of the steps, unless warmup_steps says more")
    if stated is not None and 0 < stated.value < 1:
        top.note("warmup_steps", f"the warmup is {float(stated.value):g} of the steps, rounded up")
        return None
    is_share = stated is not None and not stated.value and ratio is not None and ratio.value
    return None if is_share else top.count("warmup_steps", least=0)


def _uneven(top: Section, accelerator: Section) -> Stated[Uneven] | None:
    """`dataloader_drop_last` decides; if it is off, `even_batches` pads with duplicates or keeps ranks uneven."""
    drops, even = top.flag("dataloader_drop_last"), accelerator.flag("even_batches")
    if drops is not None and drops.value:
        return Stated("drop", drops.where)
    return Stated("pad" if even.value else "keep", even.where) if even else None


def _fsdp(top: Section) -> Stated[int] | None:
    """`fsdp` is true, or words of which one may be a strategy; what `fsdp_config` states comes first."""
    words = top.words("fsdp")
    if not words or words[0].value == "false":
        return None
    stated = fsdp_stage(top.section_or_file("fsdp_config"), version=2)
    named = [Stated(stage, word.where) for word in words if (stage := fsdp_stage_of(word.value)) is not None]
    return stated or (named[0] if named else Stated(3, words[0].where))


def _deepspeed(top: Section, accumulation: Stated[int] | None) -> LaunchSettings:
    inner = top.opened("deepspeed", OPEN)
    if not inner.values:
        return LaunchSettings()
    if accumulation is not None and accumulation.value > 1 and not inner.states("gradient_accumulation_steps"):
        beside = f'beside {accumulation.value} of {accumulation.where}. Write "{OPEN}" there'
        top.note("deepspeed", f"it has no gradient_accumulation_steps, which Accelerate then takes as 1, {beside}")
    return deepspeed_settings(inner)
