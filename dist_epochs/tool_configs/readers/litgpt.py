"""litgpt: YAML of its pretraining and finetuning commands.

Read in its code of 2026 (`litgpt/args.py`, `litgpt/pretrain.py`, `litgpt/finetune/lora.py`). The stated global batch is
divided by the devices and then into micro-batches, rounding down each time, so the real one may be smaller. Windows
run on across passes.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.adapters import litgpt_adapter
from dist_epochs.tool_configs.stated import LaunchSettings, Precision
from dist_epochs.tool_configs.tool import (
    Given,
    Tool,
    Top,
    default,
    factor,
    have,
    note_overridden,
    precision_word,
)

__all__ = ["LITGPT"]

NAME = "litgpt"
PRECISIONS: dict[str, Precision] = {
    "bf16-true": "bf16", "bf16-mixed": "bf16", "16-true": "fp16", "16-mixed": "fp16", "32-true": "fp32",
}  # fmt: skip


def _is_its(top: Top) -> bool:
    return (
        have(top, 2, "train.global_batch_size", "train.micro_batch_size")
        and have(top, 1, "checkpoint_dir", "model_name", "eval", "devices", "out_dir")
        and not have(top, 1, "train.train_iters")
    )


def litgpt_settings(top: Section, given: Given) -> LaunchSettings:
    """What a litgpt file states.

    Raises:
        InputError: If a value cannot be used, or the batch is smaller than one micro-batch on each device.
    """
    train = top.section("train")
    finetunes = top.states("checkpoint_dir") or (train.states("epochs") and not train.states("max_tokens"))
    devices = _devices(top) or given.batch.devices
    if devices is None and finetunes and not top.states("devices"):
        devices = default(top, "devices", 1, NAME)
    stated = train.count("global_batch_size") or default(train, "global_batch_size", 16 if finetunes else 512, NAME)
    each = factor(train, "micro_batch_size", given.batch.per_device, 1 if finetunes else 4, NAME)
    assert each is not None
    batch = LaunchSettings(devices=devices, global_batch=stated, per_device=each)
    if devices is not None:
        batch = _real_batch(train, devices, stated, each)
    own = replace(
        batch,
        precision=precision_word(top, "precision", PRECISIONS),
        sequence_length=train.count("max_seq_length"),
        zero_stage=Stated(3, Origin(f"{NAME}, on several devices")) if devices and devices.value > 1 else None,
        activation_checkpointing=Stated(True, Origin(f"{NAME}, in finetuning")) if finetunes else None,
        seed=top.count("seed", least=0),
        **litgpt_adapter(top),
    )
    own = _finetuning(train, own, given) if finetunes else _pretraining(train, own, given)
    return replace(own, notes=tuple(top.remarks.notes), ignored=tuple(top.remarks.ignored))


def _devices(top: Section) -> Stated[int] | None:
    """`devices` of a machine × `num_nodes`; -1 and `auto` are those that are there."""
    word, machines = top.text("devices"), top.count("num_nodes")
    if word is None or word.value in ("auto", "-1"):
        return None
    each = top.count("devices")
    assert each is not None
    if machines is not None and machines.value > 1:
        top.note("devices", f"of each machine: {each.value} × {machines.value} of num_nodes")
    return Stated(each.value * (machines.value if machines else 1), each.where)


def _real_batch(train: Section, devices: Stated[int], stated: Stated[int], each: Stated[int]) -> LaunchSettings:
    """The batch as it really is: ⌊⌊batch ÷ devices⌋ ÷ micro-batch⌋ micro-steps."""
    of_device = stated.value // devices.value
    accumulation = of_device // each.value
    if not accumulation:
        raise InputError(
            f"global_batch_size {stated.value} on {devices.value} devices with {each.value} samples each",
            rule=f"⌊⌊{stated.value} ÷ {devices.value}⌋ ÷ {each.value}⌋ micro-steps are none, and {NAME} stops",
            fixes=(f"a global_batch_size of {devices.value * each.value}", "a smaller micro_batch_size"),
            origin=stated.where,
        )
    real = accumulation * each.value * devices.value
    if real != stated.value:
        train.note(
            "global_batch_size",
            f"rounded down twice: ⌊{stated.value} ÷ {devices.value}⌋ = {of_device}, ⌊{of_device} ÷ {each.value}⌋ = "
            f"{accumulation} micro-steps: {real} samples a step",
        )
    follows = Origin(f"÷ of {stated.where}, {devices.where}, {each.where}")
    return LaunchSettings(devices=devices, per_device=each, gradient_accumulation=Stated(accumulation, follows))


def _finetuning(train: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """Micro-steps of all passes ÷ accumulation, rounded down once; `max_steps` may end it earlier."""
    epochs = train.number("epochs", "a number of passes") or Stated(Fraction(5), Origin(f"{NAME}, by default"))
    steps, accumulation, size = train.count("max_steps"), own.gradient_accumulation, own.devices
    own = replace(
        own,
        epochs=epochs,
        uneven=Stated("pad", Origin(f"{NAME}'s loop")),
        last_window=Stated("carry", Origin(f"{NAME}'s loop")),
    )
    passes = given.passes(epochs, None)
    if given.samples is None or accumulation is None or size is None or own.per_device is None or passes is None:
        if steps is not None:
            note_overridden(train, "epochs", steps)
        return replace(own, steps=steps, epochs=None if steps else epochs)
    filled, round_ = ceil(Fraction(given.samples, size.value)) * size.value, own.per_device.value * size.value
    if filled % round_:
        train.note(
            "epochs",
            f"a pass draws {filled:,} samples, and its last micro-batches are short: {-filled % round_:,} less than "
            "planned",
        )
    micro_steps = ceil(Fraction(ceil(Fraction(given.samples, size.value)), own.per_device.value))
    made = int(passes.value * micro_steps) // accumulation.value
    scheduled = int(passes.value * (micro_steps // accumulation.value))
    if made != scheduled:
        train.note("epochs", f"windows run on across passes: {made:,} steps, {scheduled:,} in the schedule")
    if steps is not None and steps.value < made:
        note_overridden(train, "epochs", steps)
        return replace(own, steps=steps, epochs=None)
    return own


def _pretraining(train: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """⌊⌊⌊tokens ÷ devices⌋ ÷ (micro-batch × length)⌋ ÷ accumulation⌋ steps; `max_steps` is not used."""
    tokens = train.count("max_tokens")
    train.ignore("max_steps")
    train.ignore("epochs")
    length = own.sequence_length.value if own.sequence_length else given.sequence_length
    if given.has_length:
        return own
    if tokens is None:
        tokens = default(train, "max_tokens", 3 * 10**12, NAME)
    if own.devices is None or own.gradient_accumulation is None or own.per_device is None or length is None:
        train.note("max_tokens", f"{tokens.value:,} tokens make steps once devices and length are known")
        return own
    each = own.per_device.value * length
    micro_steps = tokens.value // own.devices.value // each
    steps = micro_steps // own.gradient_accumulation.value
    if steps < 1:
        train.refuse("max_tokens", "the tokens of a step at least")
    train.note(
        "max_tokens",
        f"⌊⌊{tokens.value:,} ÷ {own.devices.value}⌋ ÷ {each:,}⌋ = {micro_steps:,} micro-steps make {steps:,} steps",
    )
    return replace(own, steps=Stated(steps, train.where("max_tokens")))


LITGPT = Tool(NAME, _is_its, litgpt_settings)
