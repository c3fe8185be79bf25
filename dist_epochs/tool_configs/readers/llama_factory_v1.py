"""LLaMA-Factory's files of version 1: a loop of its own, which is not the HF Trainer's.

Read in its code of 2026 (`v1/core/base_trainer.py`, `v1/core/utils/batching.py`). A step takes `global_batch_size`
samples, or one micro-batch of each device. Each device has its share of a pass, and makes whole batches of it: what is
left over is dropped.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from dist_epochs.errors import Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.keys import SEED, count, flag, marks, number
from dist_epochs.tool_configs.passes import Given, counted, pass_of
from dist_epochs.tool_configs.stated import LaunchSettings
from dist_epochs.tool_configs.tool import Tool

__all__ = ["LLAMA_FACTORY_V1"]

NAME = "LLaMA-Factory's version 1"
KEYS = {
    "per_device": count("micro_batch_size", default=1),
    "global_batch": count("global_batch_size"),
    "context_parallel": count("cp_size", "dist_config.cp_size"),
    "epochs": number("num_train_epochs", default=Fraction(3)),
    "steps": count("max_steps", open=("-1", "0")),
    "activation_checkpointing": flag("enable_activation_checkpointing"),
    "seed": SEED,
}


def llama_factory_v1_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """Epochs × ⌊⌊samples ÷ devices that see different data⌋ ÷ a device's batch⌋ steps."""
    loop = Origin(f"{NAME}'s loop")
    if own.global_batch is None and own.gradient_accumulation is None:
        own = replace(own, gradient_accumulation=Stated(1, loop))
    is_on = top.flag("bf16")
    if is_on is not None:
        own = replace(own, precision=Stated("bf16" if is_on.value else "fp32", is_on.where))
    found = pass_of(own, given)
    if found is None:
        return own
    a_pass = found.samples // found.size // (found.each * found.accumulation)
    rule = f"{float(found.epochs.value):g} × ⌊⌊{found.samples:,} ÷ {found.size:,}⌋ ÷ {found.each * found.accumulation}⌋"
    return replace(
        own,
        counted_steps=counted(int(found.epochs.value * a_pass), rule, found.epochs, NAME),
        told=found.told(a_pass * found.accumulation, a_pass),
        uneven=Stated("drop", loop),
        last_window=Stated("drop", loop),
    )


LLAMA_FACTORY_V1 = Tool(
    NAME,
    marks((2, "train_dataset micro_batch_size"), (1, "cutoff_len dist_config batching_strategy cp_size")),
    KEYS,
    llama_factory_v1_rules,
)
