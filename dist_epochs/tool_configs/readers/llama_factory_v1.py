"""LLaMA-Factory's files of version 1: a loop of its own, which is not the HF Trainer's.

Read in its code of 2026 (`v1/core/base_trainer.py`, `v1/core/utils/batching.py`). A step takes `global_batch_size`
samples, or one micro-batch of each device. Each device has its share of a pass, and makes whole batches of it: what is
left over is dropped.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from dist_epochs.settings.section import Section
from dist_epochs.tool_configs.keys import SEED, Key, count, flag, marks, number
from dist_epochs.tool_configs.passes import Given, ends, pass_of
from dist_epochs.tool_configs.stated import LaunchSettings
from dist_epochs.tool_configs.tool import Tool
from dist_epochs.tool_configs.tool_values import once, precision_of

__all__ = ["LLAMA_FACTORY_V1"]

NAME = "LLaMA-Factory's version 1"


def llama_factory_v1_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """Epochs × ⌊⌊samples ÷ devices that see different data⌋ ÷ a device's batch⌋ steps."""
    own = replace(own, gradient_accumulation=once(own, NAME))
    found = pass_of(own, given)
    if found is None:
        return own
    of_device = found.each * found.accumulation
    a_pass = found.samples // found.size // of_device
    rule = f"{found.times} × ⌊⌊{found.samples:,} ÷ {found.size:,}⌋ ÷ {of_device}⌋"
    steps, told = (
        found.counted(found.epochs.value * a_pass, rule, NAME),
        found.told(a_pass * found.accumulation, a_pass),
    )
    return replace(own, counted_steps=steps, told=told, **ends(f"{NAME}'s loop", "drop", "drop"))


LLAMA_FACTORY_V1 = Tool(
    NAME,
    marks((2, "train_dataset micro_batch_size"), (1, "cutoff_len dist_config batching_strategy cp_size")),
    {
        "per_device": count("micro_batch_size", default=1),
        "global_batch": count("global_batch_size"),
        "context_parallel": count("cp_size", "dist_config.cp_size"),
        "precision": Key(("bf16",), lambda top, key: precision_of(None, top.flag(key), "")),
        "epochs": number("num_train_epochs", default=Fraction(3)),
        "steps": count("max_steps", open=("-1", "0")),
        "activation_checkpointing": flag("enable_activation_checkpointing"),
        "seed": SEED,
    },
    llama_factory_v1_rules,
)
