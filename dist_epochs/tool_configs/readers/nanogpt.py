"""nanoGPT: a Python file of assignments, which its own `configurator.py` executes and which is only parsed here.

Read in its code of 2024 (`train.py`). `gradient_accumulation_steps` counts the micro-steps of all devices together
since 2023-03. The loop makes one update more than `max_iters`, at random places of the data: there are no passes.
"""

from __future__ import annotations

from dataclasses import replace

from dist_epochs.errors import Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.stated import LaunchSettings, Precision
from dist_epochs.tool_configs.tool import Given, Tool, Top, default, factor, have, precision_word

__all__ = ["NANOGPT"]

NAME = "nanoGPT"
PRECISIONS: dict[str, Precision] = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


def _is_its(top: Top) -> bool:
    return have(top, 2, "batch_size", "block_size", "gradient_accumulation_steps", "max_iters")


def nanogpt_settings(top: Section, given: Given) -> LaunchSettings:
    """What a configuration of nanoGPT states.

    Raises:
        InputError: If a value cannot be used.
    """
    each = factor(top, "batch_size", given.batch.per_device, 12, NAME)
    micro_steps = top.count("gradient_accumulation_steps") or default(top, "gradient_accumulation_steps", 40, NAME)
    iterations = top.count("max_iters") or default(top, "max_iters", 600_000, NAME)
    assert each is not None
    top.note("gradient_accumulation_steps", f"of all devices together: {micro_steps.value} ÷ the devices on each")
    devices = given.batch.devices
    if devices is not None and micro_steps.value < devices.value:
        top.note("gradient_accumulation_steps", "before 2023-03 it counted one device; this file may be that old")
    top.note("max_iters", f"the loop makes {iterations.value + 1:,} updates, one more than it states")
    own = LaunchSettings(
        per_device=each,
        global_batch=Stated(micro_steps.value * each.value, micro_steps.where),
        sequence_length=top.count("block_size") or Stated(1024, Origin(f"{NAME}, by default")),
        precision=precision_word(top, "dtype", PRECISIONS, NAME),
        replacement=Stated(True, Origin(f"{NAME}'s loop")),
        steps=Stated(iterations.value + 1, iterations.where),
    )
    return replace(own, notes=tuple(top.remarks.notes), ignored=tuple(top.remarks.ignored))


NANOGPT = Tool(NAME, _is_its, nanogpt_settings)
