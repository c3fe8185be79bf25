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

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.scalars import exact_number
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.references import resolved
from dist_epochs.tool_configs.sharding import fsdp_stage_of
from dist_epochs.tool_configs.stated import LaunchSettings, Precision, merge
from dist_epochs.tool_configs.tool import Given, Tool, Top, counted, have, precision_word

__all__ = ["COMPOSER"]

NAME = "Composer (llm-foundry)"
PRECISIONS: dict[str, Precision] = {"amp_bf16": "bf16", "amp_fp16": "fp16", "fp32": "fp32"}
_DURATION = re.compile(r"(?P<number>[0-9][0-9_]*(\.[0-9]+)?([eE][-+]?[0-9]+)?)(?P<unit>ep|ba|sp|tok|iter|sec|dur)")


def _is_its(top: Top) -> bool:
    return (
        have(top, 1, "global_train_batch_size")
        and have(top, 1, "train_loader", "max_duration", "device_train_microbatch_size", "max_seq_len")
        and not have(top, 1, "model.max_sequence_length")  # then it is OLMo's, in which a bare duration is steps
    )


def composer_settings(top: Section, given: Given) -> LaunchSettings:
    """What a file of llm-foundry states.

    Raises:
        InputError: If a value cannot be used.
    """
    top = resolved(top)
    batch, devices = top.count("global_train_batch_size"), given.batch.devices
    own = LaunchSettings(
        devices=devices,
        global_batch=batch,
        per_device=_micro_batch(top, batch, devices),
        sequence_length=top.count("max_seq_len"),
        precision=precision_word(top, "precision", PRECISIONS, NAME),
        seed=top.count("seed", least=0),
        activation_checkpointing=top.section("fsdp_config").flag("activation_checkpointing"),
        zero_stage=_sharding(top, devices),
    )
    own = merge([own, _length(top, own, given)])
    return replace(own, notes=tuple(top.remarks.notes), ignored=tuple(top.remarks.ignored))


def _micro_batch(top: Section, batch: Stated[int] | None, devices: Stated[int] | None) -> Stated[int] | None:
    """Samples of a micro-batch, at most a device's; None where trying finds them, or the last one is smaller."""
    key = "device_train_microbatch_size"
    word = top.text(key)
    if word is None or word.value == "auto":
        top.note(key, "auto: halved until it fits, so micro-steps are not known; the global batch is")
        return None
    stated = top.count(key)
    if stated is None or batch is None or devices is None or batch.value % devices.value:
        return stated
    of_device = batch.value // devices.value
    if of_device % min(stated.value, of_device):
        count = -(-of_device // stated.value)
        top.note(key, f"{of_device} samples of a device in {count} micro-steps, of which the last is smaller")
        return None
    return Stated(min(stated.value, of_device), stated.where)


def _sharding(top: Section, devices: Stated[int] | None) -> Stated[int] | None:
    """FSDP, which is not used on one device."""
    config = top.section("fsdp_config")
    word = config.text("sharding_strategy")
    stage = fsdp_stage_of(word.value) if word else 3
    if not config.values or stage is None or (devices is not None and devices.value == 1):
        return None
    return Stated(stage, word.where if word else top.where("fsdp_config"))


def _length(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """Steps or passes of `max_duration`."""
    key = "max_duration"
    if given.has_length:
        top.ignore(key)
        return _passes(top, own, given, given.epochs)
    word = top.text(key)
    if word is None:
        return LaunchSettings()
    found = _DURATION.fullmatch(word.value)
    if found is None and not word.value.isdigit():
        top.refuse(key, "a number with ep, ba, sp or tok (20e9tok, not 20Btok), or bare, of passes")
    amount = Fraction(str(exact_number(found["number"] if found else word.value)))
    unit = found["unit"] if found else "ep"
    if unit == "ep":
        return _passes(top, own, given, Stated(amount, word.where))
    if unit not in ("ba", "sp", "tok"):
        raise InputError(
            f"{word.where} is in {unit}",
            rule="how many steps that is depends on the run",
            fixes=("--steps", "ba, sp, tok or ep"),
            origin=top.line(key),
        )
    return LaunchSettings(steps=_steps(own, unit, amount, given, word.where))


def _steps(own: LaunchSettings, unit: str, amount: Fraction, given: Given, where: Origin) -> Stated[int] | None:
    """The first whole batch that reaches an amount of batches, samples or tokens."""
    size = Fraction(1)
    if unit != "ba":
        assert own.global_batch is not None
        size = Fraction(own.global_batch.value)
    if unit == "tok":
        length = own.sequence_length.value if own.sequence_length else given.sequence_length
        if length is None:
            return None
        size *= length
    return Stated(ceil(amount / size), where)


def _passes(top: Section, own: LaunchSettings, given: Given, epochs: Stated[Fraction] | None) -> LaunchSettings:
    """Whole batches of each pass, cut for each device; with the rest as a smaller one, where it is not dropped."""
    loader = top.section("train_loader")
    dataset, drops = loader.section("dataset"), loader.flag("drop_last")
    if dataset.states("packing_ratio"):
        dataset.note("packing_ratio", "a sample is a pack: N is packs, about rows ÷ packing_ratio")
    subset = top.count("train_subset_num_batches")
    batch, devices = own.global_batch, own.devices
    if given.samples is None or epochs is None or batch is None or devices is None or batch.value % devices.value:
        return LaunchSettings(epochs=epochs)
    of_device, streams = batch.value // devices.value, any(map(dataset.states, ("local", "remote", "streams")))
    is_dropped = drops is None or drops.value
    each = -(-given.samples // devices.value) if streams or not is_dropped else given.samples // devices.value
    a_pass = each // of_device if is_dropped else -(-each // of_device)
    if subset is not None:
        a_pass = min(a_pass, subset.value)
    kind = "full batches" if is_dropped else "batches, the last of which may be smaller,"
    rule = f"{a_pass:,} {kind} of {batch.value:,} a pass of {given.samples:,}, × {float(epochs.value):g}"
    made = LaunchSettings(epochs=epochs, counted_steps=counted(ceil(epochs.value * a_pass), rule, epochs, NAME))
    if is_dropped or subset is not None or own.per_device is None:
        return made  # full batches alone, or no micro-steps that are known
    loop = Origin(f"{NAME}'s loader")
    return replace(made, uneven=Stated("pad", loop), last_window=Stated("flush", loop))


COMPOSER = Tool(NAME, _is_its, composer_settings)
