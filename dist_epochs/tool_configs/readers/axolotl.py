"""Axolotl, a front of the HF Trainer: YAML.

Read in its code of 2026 (`utils/config/__init__.py`, `utils/trainer.py`). It counts the steps of the whole run itself,
⌈samples × epochs ÷ batch⌉, and hands them to the Trainer, whose own count would take whole passes. Passes end as the
Trainer's. With packing a sample is a pack of `sequence_len` tokens.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.adapters import partly_trained_settings
from dist_epochs.tool_configs.complete import complete
from dist_epochs.tool_configs.readers.deepspeed import OPEN, deepspeed_settings
from dist_epochs.tool_configs.sharding import fsdp_stage
from dist_epochs.tool_configs.stated import LaunchSettings, Precision, merge
from dist_epochs.tool_configs.tool import (
    NOT_TAKEN_OFF,
    Given,
    Tool,
    Top,
    counted,
    factor,
    have,
    note_overridden,
)

__all__ = ["AXOLOTL"]

NAME = "Axolotl"


def _is_its(top: Top) -> bool:
    return have(top, 1, "base_model", "sequence_len") and have(
        top, 2, "base_model", "sequence_len", "micro_batch_size", "num_epochs", "datasets", "sample_packing", "adapter"
    )


def axolotl_settings(top: Section, given: Given) -> LaunchSettings:
    """What an Axolotl file states.

    Raises:
        InputError: If a value cannot be used, or its batch is that of reinforcement learning.
    """
    method = top.text("rl")
    if method is not None and method.value in ("grpo", "gdpo"):
        raise InputError(
            f"{method.where} is {method.value}: its batch counts completions, and is not read",
            rule="a step takes per-device batch × accumulation × devices ÷ trl.num_generations prompts",
            fixes="flags: --corpus 'N samples', with N completions, and --per-device, --devices, --steps",
        )
    _check_batch_size(top)
    steps = _steps(top)
    epochs = top.number("num_epochs", "a number above zero") or Stated(Fraction(1), Origin(f"{NAME}, by default"))
    note_overridden(top, "num_epochs", steps)
    is_packed = top.is_on("sample_packing")
    batch = LaunchSettings(
        devices=given.batch.devices,
        per_device=factor(top, "micro_batch_size", given.batch.per_device, 1, NAME),
        gradient_accumulation=factor(top, "gradient_accumulation_steps", given.batch.gradient_accumulation, 1, NAME),
        tensor_parallel=top.count("tensor_parallel_size"),
        context_parallel=top.count("context_parallel_size") or top.count("sequence_parallel_degree"),
    )
    _note_switches(top, is_packed=is_packed)
    samples = given.samples if is_packed else _left_for_training(top, given.samples)
    own = replace(
        batch,
        precision=_precision(top),
        sequence_length=top.count("sequence_len") or Stated(512, Origin(f"{NAME}, by default")),
        zero_stage=_fsdp(top),
        activation_checkpointing=_checkpointing(top),
        seed=top.count("seed", least=0),
        steps=steps,
        epochs=None if steps else epochs,
        uneven=None if is_packed else Stated("pad", Origin(f"{NAME}'s Trainer")),
        last_window=None if is_packed else Stated("flush", Origin(f"{NAME}'s Trainer")),
        corpus_samples=None if samples in (None, given.samples) else Stated(samples, top.where("val_set_size")),
        counted_steps=_counted(batch, samples, given.passes(epochs, steps), is_packed=is_packed),
        **partly_trained_settings(top),
    )
    engine = _deepspeed(top)
    remarks = LaunchSettings(ignored=tuple(top.remarks.ignored), notes=tuple(top.remarks.notes))
    return merge([own, engine, remarks])


def _steps(top: Section) -> Stated[int] | None:
    stated = top.number("max_steps", "a number of steps above zero, or -1", least=-1)
    return None if stated is None or stated.value <= 0 else top.count("max_steps")


def _counted(
    batch: LaunchSettings, samples: int | None, epochs: Stated[Fraction] | None, *, is_packed: bool
) -> Stated[int] | None:
    """⌈samples × epochs ÷ batch⌉; of packs whole batches of each pass."""
    total = complete(batch).global_batch
    if epochs is None or samples is None or total is None:
        return None
    passes, size = epochs.value, total.value
    if is_packed:
        rule = f"{float(passes):g} × ⌊{samples:,} packs ÷ {size:,}⌋"
        return counted(int(passes * (samples // size)), rule, epochs, NAME)
    return counted(ceil(samples * passes / size), f"⌈{samples:,} × {float(passes):g} ÷ {size:,}⌉", epochs, NAME)


def _left_for_training(top: Section, samples: int | None) -> int | None:
    """The samples without those that `val_set_size` holds out: a share up to 1, else rows."""
    held_out = top.number("val_set_size", "a share, or a number of rows")
    if held_out is None or not held_out.value:
        return samples
    if samples is None:
        top.note("val_set_size", NOT_TAKEN_OFF)
        return None
    rows = ceil(held_out.value * samples) if held_out.value <= 1 else int(held_out.value)
    if rows >= samples:
        top.refuse("val_set_size", f"less than the {samples:,} samples of the corpus")
    top.note("val_set_size", f"{rows:,} of {samples:,} samples are held out: {samples - rows:,} are trained on")
    return samples - rows


def _note_switches(top: Section, *, is_packed: bool) -> None:
    if is_packed:
        top.note("sample_packing", "a sample is a pack of up to sequence_len tokens: N is packs, not rows")
    for key in ("streaming", "pretraining_dataset"):
        if top.is_true(key) or (key == "pretraining_dataset" and top.states(key)):
            top.note(key, "a stream has no number of rows: max_steps says how long the run is")


def _check_batch_size(top: Section) -> None:
    """`batch_size` counts the steps and does not set the accumulation, so that the two may part."""
    whole, each = top.count("batch_size"), top.count("micro_batch_size")
    if whole is None:
        return
    count = "" if each is None or whole.value % each.value else f" {whole.value // each.value}"
    raise InputError(
        f"batch_size {whole.value} is not read",
        rule=f"{NAME} counts its steps with it, and accumulates gradient_accumulation_steps, 1 by default",
        fixes=f"gradient_accumulation_steps:{count} in its place",
        origin=whole.where,
    )


def _precision(top: Section) -> Stated[Precision] | None:
    """`auto` is bf16 where the device has it, else fp16."""
    off: Stated[Precision] | None = None
    for precision, keys in (("bf16", ("bf16", "bfloat16")), ("fp16", ("fp16", "float16"))):
        for key in keys:
            word = top.text(key)
            if word is not None and word.value == "auto":
                top.note(key, "auto: bf16 where the device has it, fp16 otherwise; bf16 is planned")
            if word is not None and word.value.lower() in ("auto", "true", "full"):
                return Stated("bf16" if precision == "bf16" else "fp16", word.where)
            if word is not None and off is None:
                off = Stated("fp32", word.where)
    return off


def _checkpointing(top: Section) -> Stated[bool] | None:
    word = top.text("gradient_checkpointing")
    return None if word is None else Stated(word.value.lower() not in ("false", "no", "off"), word.where)


def _fsdp(top: Section) -> Stated[int] | None:
    config, version = top.section("fsdp_config"), top.count("fsdp_version")
    if not config.values and not top.states("fsdp"):
        return None
    stated = fsdp_stage(config, prefix="fsdp_", version=version.value if version else 1)
    return stated or Stated(3, top.where("fsdp_config" if config.values else "fsdp"))


def _deepspeed(top: Section) -> LaunchSettings:
    """What its DeepSpeed file states; the ones that Axolotl ships with are often not there."""
    try:
        inner = top.opened("deepspeed", OPEN)
    except InputError:
        top.note("deepspeed", "no such file here, so its ZeRO stage is not known: --zero-stage")
        return LaunchSettings()
    return deepspeed_settings(inner) if inner.values else LaunchSettings()


AXOLOTL = Tool(NAME, _is_its, axolotl_settings)
