"""nanoGPT: a Python file of assignments, which its own `configurator.py` executes and which is only parsed here.

Read in its code of 2024 (`train.py`). `gradient_accumulation_steps` counts the micro-steps of all devices together
since 2023-03. The loop makes one update more than `max_iters`, at random places of the data: there are no passes.
"""

from __future__ import annotations

from dataclasses import replace

from dist_epochs.errors import Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.keys import count, marks, precision
from dist_epochs.tool_configs.passes import Given
from dist_epochs.tool_configs.stated import LaunchSettings
from dist_epochs.tool_configs.tool import Tool

__all__ = ["NANOGPT"]

NAME, ACCUMULATION = "nanoGPT", "gradient_accumulation_steps"


def nanogpt_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """The micro-steps are those of all devices, and so give the batch; the loop makes one update more."""
    each, micro_steps, stated = own.per_device, own.gradient_accumulation, own.steps
    assert each is not None and micro_steps is not None and stated is not None  # noqa: PT018
    top.note(ACCUMULATION, f"of all devices together: {micro_steps.value} ÷ the devices on each")
    if own.devices is not None and micro_steps.value < own.devices.value:
        top.note(ACCUMULATION, "before 2023-03 it counted one device; this file may be that old")
    more = f"{stated.value + 1:,} updates, one more than it states"
    top.note("max_iters", f"the loop makes {more}; places are random: no passes")
    if not top.states("dtype"):
        top.note("dtype", "bfloat16 where the device has it, float16 otherwise")
    batch, told = Stated(micro_steps.value * each.value, micro_steps.where), {"stated_steps": stated}
    if own.sequence_length is not None:
        told["tokens_per_step"] = Stated(batch.value * own.sequence_length.value, batch.where)
    steps, draws = Stated(stated.value + 1, stated.where), Stated(True, Origin(f"{NAME}'s loop"))
    return replace(own, gradient_accumulation=None, global_batch=batch, replacement=draws, steps=steps, told=told)


NANOGPT = Tool(
    NAME,
    marks((2, f"batch_size block_size {ACCUMULATION} max_iters")),
    {
        "per_device": count("batch_size", default=12),
        "gradient_accumulation": count(ACCUMULATION, default=40),
        "steps": count("max_iters", default=600_000),
        "sequence_length": count("block_size", default=1024),
        "precision": precision("dtype", bf16="bfloat16", fp16="float16", fp32="float32", default="bf16"),
    },
    nanogpt_rules,
)
