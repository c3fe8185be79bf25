"""Which tool a settings file belongs to, by its keys; the file's name does not matter.

Tools with rules of their own come first, then those that are refused by name, then the kinds whose keys are counted. No
key that many tools have decides alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.located import read_text
from dist_epochs.settings.section import Section, read_section
from dist_epochs.settings.value import plain_value, printable
from dist_epochs.tool_configs.counting_keys import misspelled, not_read
from dist_epochs.tool_configs.from_script import script_settings
from dist_epochs.tool_configs.kinds import KINDS, kind_of_file
from dist_epochs.tool_configs.other_tools import other_tool
from dist_epochs.tool_configs.passes import Given
from dist_epochs.tool_configs.readers.axolotl import AXOLOTL
from dist_epochs.tool_configs.readers.composer import COMPOSER
from dist_epochs.tool_configs.readers.gpt_neox import GPT_NEOX, joined
from dist_epochs.tool_configs.readers.litgpt import LITGPT
from dist_epochs.tool_configs.readers.llama_factory import LLAMA_FACTORY
from dist_epochs.tool_configs.readers.llama_factory_v1 import LLAMA_FACTORY_V1
from dist_epochs.tool_configs.readers.nanogpt import NANOGPT
from dist_epochs.tool_configs.readers.torchtitan import TORCHTITAN
from dist_epochs.tool_configs.readers.torchtune import TORCHTUNE
from dist_epochs.tool_configs.readers.trl import GRPO, TRL
from dist_epochs.tool_configs.references import known_file
from dist_epochs.tool_configs.script import looks_like_script
from dist_epochs.tool_configs.stated import LaunchSettings
from dist_epochs.tool_configs.tool import Tool

__all__ = ["read_files", "read_settings", "tool_of"]


TOOLS: tuple[Tool, ...] = (
    GPT_NEOX, LITGPT, COMPOSER, TORCHTUNE, TORCHTITAN, AXOLOTL, LLAMA_FACTORY_V1, LLAMA_FACTORY, GRPO, TRL,
)  # fmt: skip
"""Tools with rules of their own; the first whose file it is is taken, before the kinds above."""

REFUSED = (
    (
        {"log_history", "global_step"},
        "what a Trainer did so far (trainer_state.json), not what it was told: it has neither the devices nor the "
        "accumulation",
        "the TrainingArguments as JSON or YAML",
    ),
    ({"corpus", "batch"}, "a recipe of dist-epochs", "giving it as the RECIPE"),
    ({"model_type", "architectures"}, "a model's configuration, which states no batch", "the launch's files"),
)


def read_settings(path: Path, given: Given | None = None) -> LaunchSettings:
    """Read a configuration of another tool, with the files it names.

    Args:
        path: The file.
        given: What flags and recipe state, which a tool's own rules need.

    Raises:
        InputError: If it cannot be read, belongs to no tool that is read, seems to be of several, or holds a value that
            cannot be used.
    """
    if looks_like_script(path, read_text(path)):
        return script_settings(path, given or Given(), read_settings)
    _refuse_python_of_torchtitan(path)
    return _settings(read_section(path), given or Given())


def tool_of(path: Path) -> str | None:
    """The tool whose configuration a file is, read here or not; None if it is of none, or cannot be read."""
    try:
        if looks_like_script(path, read_text(path)):
            return "a launch script"
        top = known_file(read_section(path)).top
        values = plain_value(top.values)
        is_python = path.suffix.lower() == ".py"
        tool = next((each for each in ((NANOGPT,) if is_python else TOOLS) if each.is_its(values)), None)
        if (found := tool or other_tool(values)) is not None:
            return f"a configuration of {found.name}"
        return kind_of_file(top, values)[0].name
    except InputError:
        return None


def read_files(paths: Sequence[Path], given: Given) -> list[LaunchSettings]:
    """What several configurations of one run state; those of GPT-NeoX are one of its own.

    Raises:
        InputError: As `read_settings`, and if two files of GPT-NeoX have one key.
    """
    parts = _parts_of_gpt_neox(paths) if len(paths) > 1 else {}
    if len(parts) < 2:
        return [read_settings(path, given) for path in paths]
    whole = _settings(joined([*parts.values()]), given)
    return [whole, *(read_settings(path, given) for path in paths if path not in parts)]


def _parts_of_gpt_neox(paths: Sequence[Path]) -> dict[Path, Section]:
    """Files of GPT-NeoX, if one shows that it is: all that are no other tool's, since it is given nothing else."""
    files = [path for path in paths if path.suffix.lower() in (".yml", ".yaml", ".json")]
    tops = {path: read_section(path) for path in files if not looks_like_script(path, read_text(path))}
    values = {path: plain_value(top.values) for path, top in tops.items()}
    its = [path for path in tops if GPT_NEOX.is_its(values[path])]
    return {path: tops[path] for path in tops if path in its or not _is_of_another(values[path])} if its else {}


def _is_of_another(values: Mapping[str, object]) -> bool:
    """Whether a file is of a tool other than GPT-NeoX and DeepSpeed, whose keys it has too."""
    kinds = [kind for kind in KINDS if kind.open_word is None and kind.marks(values)]
    return bool(kinds) or other_tool(values) is not None or any(tool.is_its(values) for tool in TOOLS)


def _settings(section: Section, given: Given) -> LaunchSettings:
    """What the keys of a file state, by the tool that has them."""
    path, file = section.file, known_file(section)
    top = file.top
    for keys, what, fix in REFUSED:
        if keys <= top.values.keys():
            raise InputError(f"this is {what}", fixes=fix, origin=top.origin)
    values = plain_value(top.values)
    tools = (NANOGPT,) if path.suffix.lower() == ".py" else TOOLS
    tool = next((tool for tool in tools if tool.is_its(values)), None)
    if tool is not None:
        settings = tool.read(top, given)
        return replace(settings, notes=(*settings.notes, *file.notes()))
    if (other := other_tool(values)) is not None:
        raise other.refusal(top)
    kind, strays = kind_of_file(top, values)
    settings = kind.read(replace(top, open_word=kind.open_word))
    known = frozenset().union(*(each.keys for each in KINDS))
    notes = dict.fromkeys((*settings.notes, *strays, *misspelled(top, known), *not_read(top, kind.name), *file.notes()))
    return replace(settings, tools=(kind.name,), framework=kind.framework, notes=tuple(notes))


def _refuse_python_of_torchtitan(path: Path) -> None:
    """Since 2026-02 torchtitan's configurations are Python, of which a file holds several.

    Raises:
        InputError: If a file is one.
    """
    if path.suffix.lower() != ".py":
        return
    lines = read_text(path).splitlines()
    line = next((number for number, text in enumerate(lines, 1) if "TrainingConfig(" in text), None)
    if line is not None:
        raise InputError(
            "this is a configuration of torchtitan in Python, which is not read here",
            rule="a file holds several, and what is not stated is in the code",
            fixes=(
                "the JSON that torchtitan saves of a run",
                "flags: --per-device (local_batch_size), --global-batch, --sequence-length (seq_len), --steps",
            ),
            origin=Origin(printable(str(path)), line),
        )
