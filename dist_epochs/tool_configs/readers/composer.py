"""Composer, as llm-foundry uses it: YAML with references of OmegaConf.

Read in its code of 2026 (`composer/core/time.py`, `llmfoundry/utils/config_utils.py`). Devices are not in the file, and
divide the global batch. `max_duration` is a number with a unit, or bare passes. Passes end with the last full batch,
where the loader drops the rest.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import Any

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.scalars import exact_number
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.keys import SEED, count, flag, marks, precision
from dist_epochs.tool_configs.passes import Given, Pass, counted, ends
from dist_epochs.tool_configs.sharding import fsdp_stage_of
from dist_epochs.tool_configs.stated import LaunchSettings
from dist_epochs.tool_configs.tool import Tool

__all__ = ["COMPOSER"]

NAME = "Composer (llm-foundry)"
_DURATION = re.compile(r"(?P<number>[0-9][0-9_]*(\.[0-9]+)?([eE][-+]?[0-9]+)?)(?P<unit>ep|ba|sp|tok|iter|sec|dur)")
MICRO_BATCH, LENGTH = "device_train_microbatch_size", "max_duration"


def composer_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """The micro-batch, what is sharded, and the length of the run."""
    batch, devices, of_device = own.global_batch, own.devices, None
    told: dict[str, Stated[Any]] = {}
    if batch is not None and devices is not None and batch.value % devices.value == 0:
        of_device = batch.value // devices.value
        told["device_batch"] = Stated(of_device, Origin(f"÷ of {batch.where}, {devices.where}"))
    each = _micro_batch(top, of_device) or own.per_device
    if each is None:  # a plan needs one, and what Composer finds is not known
        told |= dict.fromkeys(("per_device", "gradient_accumulation"), Stated(None, top.where(MICRO_BATCH)))
    own = replace(own, per_device=each, zero_stage=_zero_stage(top, devices), told=told)
    return _passes(top, _with_length(top, own, given), given, of_device)


def _micro_batch(top: Section, of_device: int | None) -> Stated[int] | None:
    """Samples of a micro-batch, at most a device's; None where trying finds them, or the last one is smaller."""
    word = top.text(MICRO_BATCH)
    if word is None or word.value == "auto":
        most = "" if of_device is None else f", at most {of_device} samples a device"
        top.note(MICRO_BATCH, f"auto: halved until it fits{most}: micro-steps are not known; the global batch is")
        return None
    stated = top.count(MICRO_BATCH)
    if stated is None or of_device is None:
        return stated
    if of_device % min(stated.value, of_device):
        micro_steps = -(-of_device // stated.value)
        top.note(MICRO_BATCH, f"{of_device} samples of a device in {micro_steps} micro-steps, the last one smaller")
        return None
    return Stated(min(stated.value, of_device), stated.where)


def _zero_stage(top: Section, devices: Stated[int] | None) -> Stated[int] | None:
    """FSDP, which is not used on one device."""
    config = top.section("fsdp_config")
    word = config.text("sharding_strategy")
    stage = fsdp_stage_of(word.value) if word else 3
    if not config.values or stage is None or (devices is not None and devices.value == 1):
        return None
    return Stated(stage, word.where if word else top.where("fsdp_config"))


def _with_length(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """Steps or passes of `max_duration`: the first whole batch that reaches it ends the run."""
    if given.has_length:
        top.ignore(LENGTH)
        return own
    word = top.text(LENGTH)
    if word is None:
        return own
    found = _DURATION.fullmatch(word.value)
    if found is None and not word.value.isdigit():
        top.refuse(LENGTH, "a number with ep, ba, sp or tok (20e9tok, not 20Btok), or bare, of passes")
    amount = Fraction(str(exact_number(found["number"] if found else word.value)))
    unit = found["unit"] if found else "ep"
    if unit == "ep":
        return replace(own, epochs=Stated(amount, word.where))
    if unit not in ("ba", "sp", "tok"):
        rule, fixes = "how many steps that is depends on the run", ("--steps", "ba, sp, tok or ep")
        raise InputError(f"{word.where} is in {unit}", rule=rule, fixes=fixes, origin=top.line(LENGTH))
    length = own.sequence_length.value if own.sequence_length else given.sequence_length
    if own.global_batch is None or (unit == "tok" and length is None):
        return own
    size = 1 if unit == "ba" else own.global_batch.value * (length or 1 if unit == "tok" else 1)
    return replace(own, steps=Stated(ceil(amount / size), word.where))


def _passes(top: Section, own: LaunchSettings, given: Given, of_device: int | None) -> LaunchSettings:
    """Whole batches of each pass, cut for each device; with the rest as a smaller one, where it is not dropped."""
    epochs = given.passes(own)
    if own.steps is not None:
        return own
    loader, subset = top.section("train_loader"), top.count("train_subset_num_batches")
    dataset, drops = loader.section("dataset"), loader.flag("drop_last")
    if dataset.states("packing_ratio"):
        dataset.note("packing_ratio", "a sample is a pack: N is packs, about rows ÷ packing_ratio")
    if given.samples is None or epochs is None or own.global_batch is None or own.devices is None or not of_device:
        return own
    streams, is_dropped = any(map(dataset.states, ("local", "remote", "streams"))), drops is None or drops.value
    rows = Fraction(given.samples, own.devices.value)
    each = ceil(rows) if streams or not is_dropped else int(rows)
    a_pass = each // of_device if is_dropped else -(-each // of_device)
    a_pass = a_pass if subset is None else min(a_pass, subset.value)
    kind = "full batches" if is_dropped else "batches, the last of which may be smaller,"
    found = Pass(given.samples, own.devices.value, of_device, 1, epochs)
    rule = f"{a_pass:,} {kind} of {own.global_batch.value:,} a pass of {given.samples:,}, × {found.times}"
    made = counted(ceil(epochs.value * a_pass), rule, epochs, NAME)
    own = replace(own, counted_steps=made, told={**own.told, **found.told(None, a_pass)})
    if is_dropped or subset is not None or own.per_device is None:
        return own  # full batches alone, or no micro-steps that are known
    return replace(own, **ends(f"{NAME}'s loader", "pad", "flush"))


COMPOSER = Tool(
    NAME,
    marks(
        (1, "global_train_batch_size"),
        (1, "train_loader max_duration device_train_microbatch_size max_seq_len"),
        never="model.max_sequence_length",  # then it is OLMo's, in which a bare duration is steps
    ),
    {
        "global_batch": count("global_train_batch_size"),
        "sequence_length": count("max_seq_len"),
        "precision": precision("precision", bf16="amp_bf16", fp16="amp_fp16", fp32="fp32", default="bf16"),
        "seed": SEED,
        "activation_checkpointing": flag("fsdp_config.activation_checkpointing"),
    },
    composer_rules,
)
