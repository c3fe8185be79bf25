"""TRL's supervised and preference training: TrainingArguments with other defaults, and keys for `accelerate launch`.

Read in its code of 2026 (`trainer/base_config.py`, `trl/cli`). bf16 and activation checkpointing are on unless they are
turned off, and what TRL does not know itself it hands on to the launcher, so that `num_processes` may stand here.
"""

from __future__ import annotations

from dataclasses import replace

from dist_epochs.errors import Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.keys import by_default, count, marks
from dist_epochs.tool_configs.passes import Given
from dist_epochs.tool_configs.readers.training_arguments import training_arguments_settings
from dist_epochs.tool_configs.stated import LaunchSettings, merge
from dist_epochs.tool_configs.tool import Tool
from dist_epochs.tool_configs.trainer_defaults import with_trainer_defaults

__all__ = ["TRL", "trl_arguments"]

NAME = "TRL"
KEYS = {"devices": count("num_processes")}


def trl_arguments(top: Section, tool: str) -> LaunchSettings:
    """TrainingArguments with TRL's own defaults, which all of its trainers share.

    Raises:
        InputError: As `training_arguments_settings`.
    """
    stated = training_arguments_settings(top)
    saves, precision = stated.activation_checkpointing, stated.precision
    if precision is None:
        top.note("bf16", f"not stated: on, as {tool} takes it")
        precision = Stated("bf16", Origin(f"{tool}, by default"))
    return replace(
        stated,
        precision=precision,
        activation_checkpointing=saves or by_default(top, "gradient_checkpointing", True, tool),
    )


def trl_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """What a file for TRL's SFT, DPO, KTO or reward training states."""
    if top.states("num_processes"):
        top.note("num_processes", f"{NAME} hands it on to accelerate launch")
    length = None
    if top.is_true("packing"):
        length = top.count("max_length") or by_default(top, "max_length", 1024, NAME)
    launch = LaunchSettings(devices=own.devices, sequence_length=length)
    return merge([with_trainer_defaults(top, trl_arguments(top, NAME), given), launch])


TRL = Tool(
    NAME,
    marks(
        (1, "dataset_name dataset_mixture datasets"),
        (1, "max_length assistant_only_loss completion_only_loss dataset_text_field max_prompt_length eos_token "
            "packing_strategy padding_free loss_type"),
        (1, "per_device_train_batch_size num_train_epochs output_dir max_steps"),
        never="num_generations generation_batch_size steps_per_generation reward_funcs base_model",
    ),
    KEYS,
    trl_rules,
    framework="transformers",
)  # fmt: skip
