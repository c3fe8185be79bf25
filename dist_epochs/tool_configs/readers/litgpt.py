"""litgpt: YAML of its pretraining and finetuning commands.

Read in its code of 2026 (`litgpt/args.py`, `litgpt/pretrain.py`, `litgpt/finetune/lora.py`). The stated global batch is
divided by the devices and then into micro-batches, rounding down each time, so the real one may be smaller. Windows
run on across passes.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.adapters import litgpt_adapter
from dist_epochs.tool_configs.keys import SEED, count, marks, number, precision
from dist_epochs.tool_configs.passes import Given, ends, pass_of
from dist_epochs.tool_configs.stated import LaunchSettings
from dist_epochs.tool_configs.tool import Tool
from dist_epochs.tool_configs.tool_values import assumed, by_default, product

__all__ = ["LITGPT"]

NAME = "litgpt"
LOOP = f"{NAME}'s loop"


def litgpt_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """Devices, the batch as it really is, and the length of pretraining or finetuning."""
    train = top.section("train")
    finetunes = top.states("checkpoint_dir") or (train.states("epochs") and not train.states("max_tokens"))
    devices = product(top, "devices", "num_nodes") or own.devices
    if devices is None and finetunes and not top.states("devices"):
        devices = by_default(top, "devices", 1, NAME)
    whole = own.global_batch or by_default(train, "global_batch_size", 16 if finetunes else 512, NAME)
    each = own.per_device or by_default(train, "micro_batch_size", 1 if finetunes else 4, NAME)
    assert whole is not None and each is not None  # noqa: PT018
    own = replace(
        own,
        devices=devices,
        global_batch=whole,
        per_device=each,
        zero_stage=Stated(3, Origin(f"{NAME}, on several devices")) if devices and devices.value > 1 else None,
        activation_checkpointing=Stated(True, Origin(f"{NAME}, in finetuning")) if finetunes else None,
        **litgpt_adapter(top),
    )
    own = own if devices is None else _with_real_batch(train, own, devices, whole, each)
    return _finetuning(train, own, given) if finetunes else _pretraining(train, own, given)


def _with_real_batch(
    train: Section, own: LaunchSettings, devices: Stated[int], stated: Stated[int], each: Stated[int]
) -> LaunchSettings:
    """The batch as it really is: ⌊⌊batch ÷ devices⌋ ÷ micro-batch⌋ micro-steps."""
    of_device = stated.value // devices.value
    accumulation = of_device // each.value
    if not accumulation:
        asked = f"global_batch_size {stated.value} on {devices.value} devices with {each.value} samples each"
        rule = f"⌊⌊{stated.value} ÷ {devices.value}⌋ ÷ {each.value}⌋ micro-steps are none, and {NAME} stops"
        fixes = (f"a global_batch_size of {devices.value * each.value}", "a smaller micro_batch_size")
        raise InputError(asked, rule=rule, fixes=fixes, origin=stated.where)
    real = accumulation * each.value * devices.value
    told = {} if real == stated.value else {"stated_global_batch": stated}
    if told:
        rounded = f"⌊{stated.value} ÷ {devices.value}⌋ = {of_device}, ⌊{of_device} ÷ {each.value}⌋ = {accumulation}"
        train.note("global_batch_size", f"rounded down twice: {rounded} micro-steps: {real} samples a step")
    follows = Origin(f"÷ of {stated.where}, {devices.where}, {each.where}")
    return replace(own, global_batch=None, gradient_accumulation=Stated(accumulation, follows), told=told)


def _finetuning(train: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """Micro-steps of all passes ÷ accumulation, rounded down once; `max_steps` may end it earlier."""
    cap = own.steps
    own = replace(own, epochs=own.epochs or assumed(NAME, Fraction(5)), **ends(LOOP, "pad", "carry"))
    found = pass_of(replace(own, steps=None), given)
    if found is None:
        return own
    filled = -(-found.samples // found.size) * found.size
    if short := -filled % found.round:
        less = f"its last micro-batches are short: {short:,} less than planned"
        train.note("epochs", f"a pass draws {filled:,} samples, and {less}")
    micro_steps = -(-filled // found.round)
    made = int(found.epochs.value * micro_steps) // found.accumulation
    scheduled = int(found.epochs.value * (micro_steps // found.accumulation))
    told = {"micro_steps_per_pass": micro_steps, "schedule_steps": scheduled}
    if made != scheduled:
        train.note("epochs", f"windows run on across passes: {made:,} steps, {scheduled:,} in the schedule")
    steps = cap if cap is not None and cap.value < made else None
    own = replace(own, steps=steps)
    return replace(own, told={**own.told, **{name: Stated(value, Origin(LOOP)) for name, value in told.items()}})


def _pretraining(train: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """⌊⌊⌊tokens ÷ devices⌋ ÷ (micro-batch × length)⌋ ÷ accumulation⌋ steps; `max_steps` is not used."""
    key, tokens = "max_tokens", train.count("max_tokens")
    train.ignore("max_steps")
    train.ignore("epochs")
    length = own.sequence_length.value if own.sequence_length else given.sequence_length
    own = replace(own, steps=None, epochs=None)
    if given.has_length:
        return own
    tokens = tokens or by_default(train, key, 3 * 10**12, NAME)
    assert tokens is not None
    if own.devices is None or own.gradient_accumulation is None or own.per_device is None or length is None:
        train.note(key, f"{tokens.value:,} tokens make steps once devices and length are known")
        return own
    each, where = own.per_device.value * length, train.where(key)
    micro_steps = tokens.value // own.devices.value // each
    steps, rest = divmod(micro_steps, own.gradient_accumulation.value)
    if steps < 1:
        train.refuse(key, "the tokens of a step at least")
    rule = f"⌊⌊{tokens.value:,} ÷ {own.devices.value}⌋ ÷ {each:,}⌋ = {micro_steps:,} micro-steps make {steps:,} steps"
    train.note(key, rule + (f"; the last {rest:,} make none" if rest else ""))
    return replace(own, steps=Stated(steps, where), told={**own.told, "micro_steps": Stated(micro_steps, where)})


LITGPT = Tool(
    NAME,
    marks(
        (2, "train.global_batch_size train.micro_batch_size"),
        (1, "checkpoint_dir model_name eval devices out_dir"),
        never="train.train_iters",
    ),
    {
        "global_batch": count("train.global_batch_size"),
        "per_device": count("train.micro_batch_size"),
        "sequence_length": count("train.max_seq_length"),
        "precision": precision("precision", bf16="bf16-true bf16-mixed", fp16="16-true 16-mixed", fp32="32-true"),
        "seed": SEED,
        "epochs": number("train.epochs"),
        "steps": count("train.max_steps"),
    },
    litgpt_rules,
)
