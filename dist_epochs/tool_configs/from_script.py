"""What the command of a launch script states: its launcher's devices, and its program's flags as keys and values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated, plain_value
from dist_epochs.tool_configs.kinds import TRAINING_ARGUMENTS, kind_of_file, unknown_file
from dist_epochs.tool_configs.launchers import launched
from dist_epochs.tool_configs.other_tools import FAIRSEQ
from dist_epochs.tool_configs.passes import Given
from dist_epochs.tool_configs.readers.llama_factory import LLAMA_FACTORY
from dist_epochs.tool_configs.readers.megatron import MEGATRON
from dist_epochs.tool_configs.readers.torchtitan import TORCHTITAN
from dist_epochs.tool_configs.readers.training_arguments import training_arguments_settings
from dist_epochs.tool_configs.readers.trl import GRPO, TRL
from dist_epochs.tool_configs.references import known_file
from dist_epochs.tool_configs.script import Arguments, read_script
from dist_epochs.tool_configs.stated import LaunchSettings, merge
from dist_epochs.tool_configs.tool import Tool
from dist_epochs.tool_configs.trainer_defaults import with_trainer_defaults

__all__ = ["script_settings"]

BY_FLAGS: tuple[Tool, ...] = (MEGATRON, TORCHTITAN, GRPO, LLAMA_FACTORY)
"""Tools whose programs take flags, beside TrainingArguments."""


def hf_program_rules(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    """What flags of a program state that takes TrainingArguments; what they leave out is the Trainer's own.

    Raises:
        InputError: As `training_arguments_settings`.
    """
    stated = with_trainer_defaults(top, training_arguments_settings(top), given)
    length = top.count("block_size")
    if length is not None:
        told = f"rows are packed into blocks of {length.value:,}: N is blocks, not rows"
        top.note(
            "block_size", f"{told}; corpus.packing: group_texts makes those of run_clm.py and run_mlm.py of a store"
        )
    packing = None if length is None else Stated("group_texts", length.where)
    return replace(stated, sequence_length=length, packing=packing)


HF_PROGRAM = Tool(TRAINING_ARGUMENTS.name, lambda _: True, rules=hf_program_rules, framework="transformers")
"""A program that takes TrainingArguments, and says nothing else of itself."""


def script_settings(path: Path, given: Given, read: Callable[[Path], LaunchSettings]) -> LaunchSettings:
    """What the command of a script that trains states.

    Args:
        path: The script.
        given: What flags of `plan` and recipe state.
        read: Reads a configuration that the launcher is given.

    Raises:
        InputError: If no command trains, or several do, its program is of no tool that is read, or a value cannot be
            used.
    """
    arguments = read_script(path)
    known_flags = known_file(arguments.flags)
    flags = known_flags.top
    launch = launched(arguments, read)
    if given.batch.devices is not None and arguments.launcher == "python":
        launch = replace(launch, devices=None)  # what is given is known better than that nothing is launched
    known = merge([given.batch, LaunchSettings(devices=launch.devices)])
    settings = merge([_tool(arguments, flags).read(flags, replace(given, batch=known)), launch])
    told = (*_defaults(arguments, flags), *known_flags.notes())
    own = (*arguments.launching.remarks.notes, *settings.notes, *told)
    return replace(settings, notes=tuple(dict.fromkeys(own)))


def _tool(arguments: Arguments, flags: Section) -> Tool:
    """The tool whose flags these are."""
    values = plain_value(flags.values)
    tool = next((tool for tool in BY_FLAGS if tool.is_its(values)), None)
    if tool is not None:
        return tool
    if arguments.program == "trl":
        return TRL
    if arguments.program == "fairseq-train":
        raise FAIRSEQ.refusal(flags)
    kind, _ = kind_of_file(flags, values)
    if kind is not TRAINING_ARGUMENTS:
        raise unknown_file(flags)
    return HF_PROGRAM


def _defaults(arguments: Arguments, flags: Section) -> list[str]:
    """Notes on variables whose default was taken, where they were read."""
    read = {key for section in (arguments.launching, flags) for _, key in section.remarks.read}
    return [note for key, note in arguments.defaults.items() if key in read]
