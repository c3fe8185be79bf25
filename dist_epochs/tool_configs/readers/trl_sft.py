"""TRL's supervised and preference training: TrainingArguments with other defaults, and keys for `accelerate launch`.

Read in its code of 2026 (`trainer/base_config.py`, `trl/cli`). bf16 and activation checkpointing are on unless they are
turned off, and what TRL does not know itself it hands on to the launcher, so that `num_processes` may stand here.
"""

from __future__ import annotations

from dataclasses import replace

from dist_epochs.errors import Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.readers.training_arguments import training_arguments_settings
from dist_epochs.tool_configs.stated import LaunchSettings
from dist_epochs.tool_configs.tool import Given, Tool, Top, have

__all__ = ["TRL"]

NAME = "TRL"
BY_DEFAULT = Origin(f"{NAME}, by default")


def _is_its(top: Top) -> bool:
    return (
        have(top, 1, "dataset_name", "dataset_mixture", "datasets")
        and have(
            top, 1, "max_length", "assistant_only_loss", "completion_only_loss", "dataset_text_field",
            "max_prompt_length", "eos_token", "packing_strategy", "padding_free", "loss_type",
        )
        and have(top, 1, "per_device_train_batch_size", "num_train_epochs", "output_dir", "max_steps")
        and not have(
            top, 1, "num_generations", "generation_batch_size", "steps_per_generation", "reward_funcs", "base_model",
        )
    )  # fmt: skip


def trl_settings(top: Section, given: Given) -> LaunchSettings:
    """What a file for TRL's SFT, DPO, KTO or reward training states.

    Raises:
        InputError: As `training_arguments_settings`.
    """
    stated = training_arguments_settings(top)
    packs = top.is_true("packing")
    processes = top.count("num_processes")
    if processes is not None:
        top.note("num_processes", f"{NAME} hands it on to accelerate launch")
    if stated.precision is None:
        top.note("bf16", "not stated: on, as TRL takes it")
    own = replace(
        stated,
        devices=processes,
        precision=stated.precision or Stated("bf16", BY_DEFAULT),
        activation_checkpointing=stated.activation_checkpointing or Stated(True, BY_DEFAULT),
        sequence_length=(top.count("max_length") or Stated(1024, BY_DEFAULT)) if packs else None,
    )
    return replace(own, notes=tuple(dict.fromkeys(top.remarks.notes)), ignored=tuple(top.remarks.ignored))


TRL = Tool(NAME, _is_its, trl_settings)
