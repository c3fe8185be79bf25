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
from dist_epochs.tool_configs.keys import SEED, count, flag, marks, word
from dist_epochs.tool_configs.passes import Given, Pass, counted
from dist_epochs.tool_configs.sharding import fsdp_stage_of
from dist_epochs.tool_configs.stated import LaunchSettings, Precision
from dist_epochs.tool_configs.tool import Tool

__all__ = ["COMPOSER"]

NAME = "Composer (llm-foundry)"
PRECISIONS: dict[str, Precision] = {"amp_bf16": "bf16", "amp_fp16": "fp16", "fp32": "fp32"}
_DURATION = re.compile(r"(?P<number>[0-9][0-9_]*(\.[0-9]+)?([eE][-+]?[0-9]+)?)(?P<unit>ep|ba|sp|tok|iter|sec|dur)")
MICRO_BATCH = "device_train_microbatch_size"
KEYS = {
    "global_batch": count("global_train_batch_size"),
    "sequence_length": count("max_seq_len"),
    "precision": word(PRECISIONS, "precision", default="bf16"),
    "seed": SEED,
    "activation_checkpointing": flag("fsdp_config.activation_checkpointing"),
}


def composer_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """The micro-batch, what is sharded, and the length of the run."""
    batch, devices = own.global_batch, own.devices
    of_device = batch.value // devices.value if batch and devices and batch.value % devices.value == 0 else None
    told: dict[str, Stated[Any]] = {}
    if batch is not None and devices is not None and of_device is not None:
        told["device_batch"] = Stated(of_device, Origin(f"÷ of {batch.where}, {devices.where}"))
    each = _micro_batch(top, of_device) or own.per_device
    if each is None:  # a plan needs one, and what Composer finds is not known
        told |= dict.fromkeys(("per_device", "gradient_accumulation"), Stated(None, top.where(MICRO_BATCH)))
    own = replace(own, per_device=each, zero_stage=_zero_stage(top, devices))
    return _with_length(top, replace(own, told=told), given, of_device)


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


def _with_length(top: Section, own: LaunchSettings, given: Given, of_device: int | None) -> LaunchSettings:
    """Steps or passes of `max_duration`."""
    key = "max_duration"
    if given.has_length:
        top.ignore(key)
        return _passes(top, own, given, of_device)
    word = top.text(key)
    if word is None:
        return own
    found = _DURATION.fullmatch(word.value)
    if found is None and not word.value.isdigit():
        top.refuse(key, "a number with ep, ba, sp or tok (20e9tok, not 20Btok), or bare, of passes")
    amount = Fraction(str(exact_number(found["number"] if found else word.value)))
    unit = found["unit"] if found else "ep"
    if unit == "ep":
        return _passes(top, replace(own, epochs=Stated(amount, word.where)), given, of_device)
    if unit not in ("ba", "sp", "tok"):
        raise InputError(
            f"{word.where} is in {unit}",
            rule="how many steps that is depends on the run",
            fixes=("--steps", "ba, sp, tok or ep"),
            origin=top.line(key),
        )
    length = own.sequence_length.value if own.sequence_length else given.sequence_length
    if own.global_batch is None or (unit == "tok" and length is None):
        return own
    # The first whole batch that reaches the amount ends the run.
    size = 1 if unit == "ba" else own.global_batch.value * (length or 1 if unit == "tok" else 1)
    return replace(own, steps=Stated(ceil(amount / size), word.where))


def _passes(top: Section, own: LaunchSettings, given: Given, of_device: int | None) -> LaunchSettings:
    """Whole batches of each pass, cut for each device; with the rest as a smaller one, where it is not dropped."""
    loader, epochs = top.section("train_loader"), given.passes(own)
    dataset, drops = loader.section("dataset"), loader.flag("drop_last")
    if dataset.states("packing_ratio"):
        dataset.note("packing_ratio", "a sample is a pack: N is packs, about rows ÷ packing_ratio")
    subset = top.count("train_subset_num_batches")
    if given.samples is None or epochs is None or own.global_batch is None or own.devices is None or not of_device:
        return own
    streams, is_dropped = any(map(dataset.states, ("local", "remote", "streams"))), drops is None or drops.value
    rows = Fraction(given.samples, own.devices.value)
    each = ceil(rows) if streams or not is_dropped else int(rows)
    a_pass = each // of_device if is_dropped else -(-each // of_device)
    if subset is not None:
        a_pass = min(a_pass, subset.value)
    kind = "full batches" if is_dropped else "batches, the last of which may be smaller,"
    batch, told = (
        own.global_batch.value,
        Pass(given.samples, own.devices.value, of_device, 1, epochs).told(None, a_pass),
    )
    rule = f"{a_pass:,} {kind} of {batch:,} a pass of {given.samples:,}, × {float(epochs.value):g}"
    made = counted(ceil(epochs.value * a_pass), rule, epochs, NAME)
    own = replace(own, counted_steps=made, told={**own.told, **told})
    if is_dropped or subset is not None or own.per_device is None:
        return own  # full batches alone, or no micro-steps that are known
    loop = Origin(f"{NAME}'s loader")
    return replace(own, uneven=Stated("pad", loop), last_window=Stated("flush", loop))


IS_ITS = marks(
    (1, "global_train_batch_size"),
    (1, "train_loader max_duration device_train_microbatch_size max_seq_len"),
    never="model.max_sequence_length",  # then it is OLMo's, in which a bare duration is steps
)
COMPOSER = Tool(NAME, IS_ITS, KEYS, composer_rules)
