"""What the HF Trainer takes where a file or a command of a tool that stands on it is silent."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from dist_epochs.settings.section import Section
from dist_epochs.tool_configs.passes import Given
from dist_epochs.tool_configs.stated import LaunchSettings
from dist_epochs.tool_configs.tool_values import by_default

__all__ = ["with_trainer_defaults"]

TRAINER = "the Trainer"


def with_trainer_defaults(top: Section, stated: LaunchSettings, given: Given) -> LaunchSettings:
    """Settings with the Trainer's 8 samples of a device and 3 passes, each with a note, where nothing else is known.

    Args:
        top: The file, or the flags of the command.
        stated: What it states.
        given: What flags and recipe state.
    """
    batch = given.batch
    if all(one is None for one in (stated.per_device, stated.global_batch, batch.per_device, batch.global_batch)):
        stated = replace(stated, per_device=by_default(top, "per_device_train_batch_size", 8, TRAINER))
    if stated.steps is None and stated.epochs is None and not given.has_length:
        stated = replace(stated, epochs=by_default(top, "num_train_epochs", Fraction(3), TRAINER))
    return stated
