"""Axolotl, a front of the HF Trainer: YAML.

Read in its code of 2026 (`utils/config/__init__.py`, `utils/trainer.py`). It counts the steps of the whole run itself,
⌈samples × epochs ÷ batch⌉, and hands them to the Trainer, whose own count would take whole passes. Passes end as the
Trainer's. With packing a sample is a pack of `sequence_len` tokens.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

from dist_epochs.errors import InputError
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.adapters import partly_trained_settings
from dist_epochs.tool_configs.keys import SEED, count, marks, number, switch
from dist_epochs.tool_configs.passes import Given, ends, held_out, pass_of
from dist_epochs.tool_configs.readers.deepspeed import OPEN, deepspeed_settings
from dist_epochs.tool_configs.sharding import fsdp_stage, replicated
from dist_epochs.tool_configs.stated import LaunchSettings, Precision, merge
from dist_epochs.tool_configs.tool import Tool

__all__ = ["AXOLOTL"]

NAME = "Axolotl"
PRECISIONS: dict[str, Precision] = {"bf16": "bf16", "bfloat16": "bf16", "fp16": "fp16", "float16": "fp16"}
STREAM = "a stream has no number of rows: max_steps says how long the run is"


def axolotl_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """Sharding, what a sample is, and ⌈samples × epochs ÷ batch⌉ steps; of packs, whole batches of a pass.

    Raises:
        InputError: If its batch is that of reinforcement learning, or counts the steps without setting them.
    """
    _refuse_what_is_not_read(top)
    own = replace(
        merge([replace(own, epochs=None), _deepspeed(top)]),
        epochs=own.epochs,
        shard_size=replicated(top, own, "dp_replicate_size", "dp_shard_size"),
        **partly_trained_settings(top),
    )
    is_packed, samples = top.is_on("sample_packing"), given.samples
    if is_packed:
        top.note("sample_packing", "a sample is a pack of up to sequence_len tokens: N is packs, not rows")
    else:
        samples = held_out(top, "val_set_size", samples, largest_share=Fraction(1))
        left = None if samples in (None, given.samples) else Stated(samples, top.where("val_set_size"))
        own = replace(own, corpus_samples=left, **ends(f"{NAME}'s Trainer", "pad", "flush"))
    found = pass_of(own, given, samples)
    if found is None:
        return own
    if is_packed:
        steps = found.samples // found.batch * found.epochs.value
        rule = f"{found.times} × ⌊{found.samples:,} packs ÷ {found.batch:,}⌋"
    else:
        steps = Fraction(ceil(found.samples * found.epochs.value / found.batch))
        rule = f"⌈{found.samples:,} × {found.times} ÷ {found.batch:,}⌉"
    return replace(own, counted_steps=found.counted(steps, rule, NAME))


def _refuse_what_is_not_read(top: Section) -> None:
    """`rl: grpo` counts completions; `batch_size` counts the steps and does not set the accumulation."""
    method, whole, each = top.text("rl"), top.count("batch_size"), top.count("micro_batch_size")
    if method is not None and method.value in ("grpo", "gdpo"):
        asked = f"rl: {method.value}: its batch counts completions, and is not read"
        rule = "a step takes per-device batch × accumulation × devices ÷ trl.num_generations prompts"
        fixes = "flags: --corpus 'N samples', with N completions, and --per-device, --devices, --steps"
        raise InputError(asked, rule=rule, fixes=fixes, origin=method.where)
    if whole is not None:
        number = "" if each is None or whole.value % each.value else f" {whole.value // each.value}"
        rule = f"{NAME} counts its steps with it, and accumulates gradient_accumulation_steps, 1 by default"
        fixes = f"gradient_accumulation_steps:{number} in its place"
        raise InputError(f"batch_size {whole.value} is not read", rule=rule, fixes=fixes, origin=whole.where)


def _precision(top: Section) -> Stated[Precision] | None:
    """`auto` is bf16 where the device has it, else fp16."""
    off: Stated[Precision] | None = None
    for key, precision in PRECISIONS.items():
        word = top.text(key)
        if word is not None and word.value == "auto":
            top.note(key, "auto: bf16 where the device has it, fp16 otherwise; bf16 is planned")
        if word is not None and word.value.lower() in ("auto", "true", "full"):
            return Stated(precision, word.where)
        off = off or (Stated("fp32", word.where) if word is not None else None)
    return off


def _fsdp(top: Section) -> Stated[int] | None:
    config, version = top.section("fsdp_config"), top.count("fsdp_version")
    if not config.values and not top.states("fsdp"):
        return None
    stated = fsdp_stage(config, version=version.value if version else 1)
    return stated or Stated(3, top.where("fsdp_config" if config.values else "fsdp"))


def _deepspeed(top: Section) -> LaunchSettings:
    """What its DeepSpeed file states; the ones that Axolotl ships with are often not there."""
    try:
        inner = top.opened("deepspeed", OPEN)
    except InputError:
        top.note("deepspeed", "no such file here, so its ZeRO stage is not known: --zero-stage")
        return LaunchSettings()
    return deepspeed_settings(inner) if inner.values else LaunchSettings()


AXOLOTL = Tool(
    NAME,
    marks(
        (1, "base_model sequence_len"),
        (2, "base_model sequence_len micro_batch_size num_epochs datasets sample_packing adapter"),
    ),
    {
        "per_device": count("micro_batch_size", default=1),
        "gradient_accumulation": count("gradient_accumulation_steps", default=1),
        "tensor_parallel": count("tensor_parallel_size"),
        "context_parallel": count("context_parallel_size", "sequence_parallel_degree"),
        "sequence_length": count("sequence_len", default=512),
        "precision": _precision,
        "zero_stage": _fsdp,
        "activation_checkpointing": switch("gradient_checkpointing"),
        "seed": SEED,
        "steps": count("max_steps", open=("-1", "0")),
        "epochs": number("num_epochs", default=Fraction(1)),
    },
    axolotl_rules,
    notes={"streaming": STREAM, "pretraining_dataset": STREAM},
)
