"""nanoGPT: a Python file of assignments, which its own `configurator.py` executes and which is only parsed here.

Read in its code of 2024 (`train.py`). `gradient_accumulation_steps` counts the micro-steps of all devices together
since 2023-03. The loop makes one update more than `max_iters`, at random places of the data: there are no passes.
"""

from __future__ import annotations

from dataclasses import replace

from dist_epochs.errors import Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.keys import count, marks, word
from dist_epochs.tool_configs.passes import Given
from dist_epochs.tool_configs.stated import LaunchSettings, Precision
from dist_epochs.tool_configs.tool import Tool

__all__ = ["NANOGPT"]

NAME = "nanoGPT"
PRECISIONS: dict[str, Precision] = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
KEYS = {
    "per_device": count("batch_size", default=12),
    "gradient_accumulation": count("gradient_accumulation_steps", default=40),
    "steps": count("max_iters", default=600_000),
    "sequence_length": count("block_size", default=1024),
    "precision": word(PRECISIONS, "dtype", default="bf16"),
}


def nanogpt_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """The micro-steps are those of all devices, and so give the batch; the loop makes one update more."""
    each, micro_steps, stated = own.per_device, own.gradient_accumulation, own.steps
    assert each is not None
    assert micro_steps is not None
    assert stated is not None
    key = "gradient_accumulation_steps"
    top.note(key, f"of all devices together: {micro_steps.value} ÷ the devices on each")
    if own.devices is not None and micro_steps.value < own.devices.value:
        top.note(key, "before 2023-03 it counted one device; this file may be that old")
    top.note(
        "max_iters",
        f"the loop makes {stated.value + 1:,} updates, one more than it states; places are random: no passes",
    )
    if not top.states("dtype"):
        top.note("dtype", "bfloat16 where the device has it, float16 otherwise")
    batch = micro_steps.value * each.value
    told = {"stated_steps": stated}
    if own.sequence_length is not None:
        told["tokens_per_step"] = Stated(batch * own.sequence_length.value, micro_steps.where)
    return replace(
        own,
        gradient_accumulation=None,
        global_batch=Stated(batch, micro_steps.where),
        replacement=Stated(True, Origin(f"{NAME}'s loop")),
        steps=Stated(stated.value + 1, stated.where),
        told=told,
    )


NANOGPT = Tool(NAME, marks((2, "batch_size block_size gradient_accumulation_steps max_iters")), KEYS, nanogpt_rules)
