"""What the command of a launch script states: its launcher's devices, and its program's flags as keys and values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dist_epochs.errors import InputError
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import plain_value, printable
from dist_epochs.tool_configs.counting_keys import COUNT
from dist_epochs.tool_configs.kinds import TRAINING_ARGUMENTS, kind_of_file, unknown_file
from dist_epochs.tool_configs.readers.launchers import launched
from dist_epochs.tool_configs.readers.llama_factory import LLAMA_FACTORY
from dist_epochs.tool_configs.readers.megatron import MEGATRON
from dist_epochs.tool_configs.readers.other_tools import FAIRSEQ
from dist_epochs.tool_configs.readers.script import Arguments, UnknownText, read_script
from dist_epochs.tool_configs.readers.torchtitan import TORCHTITAN
from dist_epochs.tool_configs.readers.training_arguments import read_flags
from dist_epochs.tool_configs.readers.trl import GRPO
from dist_epochs.tool_configs.stated import LaunchSettings, merge
from dist_epochs.tool_configs.tool import Given, Tool

__all__ = ["script_settings"]

BY_FLAGS: tuple[Tool, ...] = (MEGATRON, TORCHTITAN, GRPO, LLAMA_FACTORY)
"""Tools whose programs take flags, beside TrainingArguments."""

HF_PROGRAM = Tool(TRAINING_ARGUMENTS.name, lambda _: True, rules=read_flags, framework="transformers", is_trainer=True)
"""A program that takes TrainingArguments, and says nothing else of itself."""

COUNTED_FLAGS = COUNT | {
    "block_size", "expert_model_parallel_size", "pipeline_model_parallel_size", "seq_length",
    "tensor_model_parallel_size",
}  # fmt: skip
"""Flags of programs that change a number."""


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
    flags = _without_unknown(arguments.flags)
    launch = launched(arguments, read)
    if given.batch.devices is not None and arguments.launcher == "python":
        launch = replace(launch, devices=None)  # what is given is known better than that nothing is launched
    known = merge([given.batch, LaunchSettings(devices=launch.devices)])
    settings = merge([_tool(arguments, flags).read(flags, replace(given, batch=known)), launch])
    own = (*arguments.launching.remarks.notes, *settings.notes, *_known_to_the_shell(arguments, flags))
    return replace(settings, notes=tuple(dict.fromkeys(own)))


def _tool(arguments: Arguments, flags: Section) -> Tool:
    """The tool whose flags these are."""
    values = plain_value(flags.values)
    tool = next((tool for tool in BY_FLAGS if tool.is_its(values)), None)
    if tool is not None:
        return tool
    if arguments.program == "fairseq-train":
        raise FAIRSEQ.refusal(flags)
    kind, _ = kind_of_file(flags, values)
    if kind is not TRAINING_ARGUMENTS:
        raise unknown_file(flags)
    return HF_PROGRAM


def _known_to_the_shell(arguments: Arguments, flags: Section) -> list[str]:
    """Notes on defaults of variables that were taken, and on values that only the running shell knows, where read."""
    read = {key for section in (arguments.launching, flags) for _, key in section.remarks.read}
    notes = [note for key, note in arguments.defaults.items() if key in read]
    for key in sorted(read & (arguments.flags.values.keys() - flags.values.keys())):
        notes.append(f"{arguments.flags.where(key)}: its value is known to the running shell only, and is not used")
    return notes


def _without_unknown(flags: Section) -> Section:
    """Flags without those whose values only the running shell knows, where they do not count.

    Raises:
        InputError: If one counts.
    """
    kept = dict(flags.values)
    for key, found in flags.values.items():
        if not isinstance(found.value, UnknownText):
            continue
        if key in COUNTED_FLAGS:
            raise InputError(
                f"--{key} is {printable(found.value)}, which only the running shell knows",
                rule="the script is read, and not run",
                fixes=("writing the number there", "the value as a flag of plan, with the line removed"),
                origin=found.origin,
            )
        del kept[key]
    return replace(flags, values=kept)
