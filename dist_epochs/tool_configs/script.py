"""Argument lists in launch scripts: the launcher's flags give the devices, the program's flags are keys and values.

The script is read and never run. Flags before the program's name are the launcher's, those after it the program's. The
command with the most flags is taken; where several train, none is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.flag_words import flags_section
from dist_epochs.settings.located import read_text
from dist_epochs.settings.section import Section
from dist_epochs.settings.shell_word import Word
from dist_epochs.settings.shell_words import Command, read_commands
from dist_epochs.settings.slurm import asked_of_slurm, slurm_variables
from dist_epochs.settings.value import printable
from dist_epochs.tool_configs.launcher_words import LAUNCHERS, launcher_of, program_index

__all__ = ["Arguments", "looks_like_script", "read_launching", "read_script"]

SUFFIXES = (".sh", ".bash", ".slurm", ".sbatch", ".sub")
TRAINS = re.compile(
    "--?(per_device_train_batch_size|per_gpu_train_batch_size|num_train_epochs|max_steps|micro_batch_size|"
    "global_batch_size|train_iters|train_samples|max_tokens|max_sentences|training[.].+|deepspeed|train_batch_size)"
)
"""Flags of a program that trains."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """The command of a script that trains.

    Attributes:
        launcher: `torchrun`, `accelerate`, `deepspeed`, `srun`, `python`, or the program itself.
        launching: The launcher's flags.
        program: The program's name.
        flags: The program's flags, with `-` as `_`; those with dots lead into sections.
        environment: Variables that are set in front of the command.
        batch_system: What `#SBATCH` lines state, by long names.
        defaults: Notes on variables whose default was taken, by the flag that has them.
        on_all_nodes: Whether `srun` in front of it starts it on each node of the job; None where that is not told, as
            where a function is started, or by other means.
    """

    launcher: str
    launching: Section
    program: str
    flags: Section
    environment: dict[str, Word]
    batch_system: dict[str, str]
    defaults: dict[str, str]
    on_all_nodes: bool | None


def looks_like_script(path: Path, text: str) -> bool:
    """Whether a file is a shell script, by its name or its first line.

    Examples:
        >>> looks_like_script(Path("train"), "#!/bin/bash"), looks_like_script(Path("a.yaml"), "a: 1")
        (True, False)
    """
    first = text.lstrip("\ufeff").split("\n", 1)[0]
    return path.name.lower().endswith(SUFFIXES) or (first.startswith("#!") and "python" not in first)


def read_script(path: Path) -> Arguments:
    """The command of a script that trains.

    Raises:
        InputError: If it cannot be read, none of its commands trains, or several do.
    """
    missing = InputError(
        "none of the commands of this script trains by flags that are known here",
        rule="looked for --per_device_train_batch_size, --micro-batch-size, --training.steps and the like",
        fixes="flags, such as --devices, --per-device, --gradient-accumulation and --steps",
    )
    return _read(path, lambda words: any(TRAINS.match(_key(word.text)) for word in words), missing)


def read_launching(path: Path) -> Arguments:
    """The command of a script that starts the processes of a run, whatever its program is.

    Raises:
        InputError: If it cannot be read, none of its commands launches, or several do.
    """
    missing = InputError(
        "none of the commands of this script launches a program",
        rule="looked for torchrun, accelerate launch, deepspeed, and Python below srun",
        fixes="an Accelerate configuration, or a script with such a command",
    )

    def launches(words: Sequence[Word]) -> bool:
        launcher, at = launcher_of(words)
        if launcher == "python":  # of other programs it is not known that they train
            return any(word.text == "dist_epochs.train" for word in words)
        return launcher in LAUNCHERS and program_index(words, at) < len(words)

    return _read(path, launches, missing)


def _read(path: Path, is_it: Callable[[Sequence[Word]], bool], missing: InputError) -> Arguments:
    """The one command of a script that something is true of."""
    text = read_text(path)
    origin = Origin(printable(str(path)))
    if (torn := _TORN.search(text)) is not None:
        raise InputError(
            "a space stands behind the backslash, so that the command ends in this line",
            rule="the shell takes the next line for a command of its own, and its flags are lost",
            fixes="removing the space at the end of the line",
            origin=Origin(origin.name, text.count("\n", 0, torn.start()) + 1),
        )
    batch_system = asked_of_slurm(text)
    found = [command for command in read_commands(text, slurm_variables(batch_system)) if is_it(command.words)]
    if not found:
        raise InputError(missing.asked, rule=missing.rule, fixes=missing.fixes, origin=origin)
    if len(found) > 1:
        lines = ", ".join(str(command.words[0].line) for command in found)
        raise InputError(
            f"{len(found)} commands of this script train, in lines {lines}",
            rule="each is a run of its own",
            fixes="a script with one of them",
            origin=origin,
        )
    return _arguments(path, origin, found[0], batch_system, may_spread=_SPREADS.search(text) is not None)


def _key(flag: str) -> str:
    """A flag with `-` as `_` after its first two characters."""
    name, equals, value = flag.partition("=")
    return name[:2] + name[2:].replace("-", "_") + equals + value


_TORN = re.compile(r"^[^#\n]*\\[ \t]+\r?$", re.MULTILINE)
"""A line that was meant to go on."""
_SPREADS = re.compile(r"^[^#\n]*\b(?:srun|ssh|pdsh|clush|parallel|mpirun|mpiexec)\b", re.MULTILINE)
"""What starts a program on other machines."""
_OF_SOME_NODES = re.compile(r"-[Nnwr].*|--(?:nodes|ntasks|nodelist|relative|exclude).*")
"""Flags of `srun` that choose among the nodes of a job."""


def _on_all_nodes(before: Sequence[Word], may_spread: bool) -> bool | None:
    """Whether the words in front of a launcher start it on each node."""
    if not may_spread:
        return False
    srun = next((index for index, word in enumerate(before) if word.text == "srun"), None)
    if srun is None or any(_OF_SOME_NODES.fullmatch(word.text) for word in before[srun + 1 :]):
        return None
    return True


def _arguments(
    path: Path, origin: Origin, command: Command, batch_system: dict[str, str], *, may_spread: bool
) -> Arguments:
    words = list(command.words)
    launcher, at = launcher_of(words)
    end = program_index(words, at)
    flags_end = end - 1 if end > at and words[end - 1].text == "-m" else end  # it is no value of the flag before it
    line = Origin(origin.name, words[0].line)
    defaults: dict[str, str] = {}
    return Arguments(
        launcher=launcher,
        launching=flags_section(path, line, words[at:flags_end], defaults),
        program=words[end].text if end < len(words) else launcher,
        flags=flags_section(path, line, words[end + 1 :], defaults),
        environment=command.environment,
        batch_system=batch_system,
        defaults=defaults,
        on_all_nodes=_on_all_nodes(words[:at], may_spread),
    )
