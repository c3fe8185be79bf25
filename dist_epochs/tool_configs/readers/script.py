"""Argument lists in launch scripts: the launcher's flags give the devices, the program's flags are keys and values.

The script is read and never run. Flags before the program's name are the launcher's, those after it the program's. The
command with the most flags is taken; where several train, none is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.located import read_text
from dist_epochs.settings.scalars import UnknownText, exact_scalar
from dist_epochs.settings.section import Remarks, Section
from dist_epochs.settings.shell_words import Command, Word, read_commands
from dist_epochs.settings.value import Located, RawValue, printable

__all__ = ["Arguments", "gpus_of_a_node", "looks_like_script", "read_launching", "read_script"]

SUFFIXES = (".sh", ".bash", ".slurm", ".sbatch", ".sub")
TRAINS = re.compile(
    "--?(per_device_train_batch_size|per_gpu_train_batch_size|num_train_epochs|max_steps|micro_batch_size|"
    "global_batch_size|train_iters|train_samples|max_tokens|max_sentences|training[.].+|deepspeed|train_batch_size)"
)
"""Flags of a program that trains."""
_FLAG = re.compile(r"--(?P<name>[A-Za-z][\w.\-]*)(=(?P<value>.*))?", re.DOTALL)
_SBATCH = re.compile(
    r"^#SBATCH[ \t]+(?:--(?P<name>[\w-]+)(?:=|[ \t]+)|-(?P<letter>[A-Za-z])[ \t]*)(?P<value>[^\s#]+)", re.MULTILINE
)
_LETTERS = {"N": "nodes", "n": "ntasks"}
_GRES = re.compile(r"gpu(:\w+)?:(?P<count>[0-9]+)")
LAUNCHERS = ("torchrun", "accelerate", "deepspeed", "srun")
_PROGRAM = re.compile(r".+\.py|.+\.sh|(llamafactory-cli|fairseq-train|trl|swift|torchtitan)")


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
    """

    launcher: str
    launching: Section
    program: str
    flags: Section
    environment: dict[str, Word]
    batch_system: dict[str, str]
    defaults: dict[str, str]


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
        launcher, at = _launcher(words)
        if launcher == "python":  # of other programs it is not known that they train
            return any(word.text == "dist_epochs.train" for word in words)
        return launcher in LAUNCHERS and _program(words, at) < len(words)

    return _read(path, launches, missing)


def _read(path: Path, is_it: Callable[[Sequence[Word]], bool], missing: InputError) -> Arguments:
    """The one command of a script that something is true of."""
    text = read_text(path)
    origin = Origin(printable(str(path)))
    batch_system = {
        (found["name"] or _LETTERS.get(found["letter"], found["letter"])).replace("-", "_"): found["value"]
        for found in _SBATCH.finditer(text)
    }
    found = [command for command in read_commands(text, _slurm_variables(batch_system)) if is_it(command.words)]
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
    return _arguments(path, origin, found[0], batch_system)


def gpus_of_a_node(batch_system: Mapping[str, str]) -> str | None:
    """The GPUs of each node that `#SBATCH` lines ask for, without their type; None where they do not say.

    Examples:
        >>> gpus_of_a_node({"gpus_per_node": "a100:8"}), gpus_of_a_node({"gres": "gpu:4"})
        ('8', '4')
    """
    gres = _GRES.fullmatch(batch_system.get("gres", ""))
    return batch_system.get("gpus_per_node", "").rpartition(":")[2] or (gres["count"] if gres else None)


def _slurm_variables(batch_system: dict[str, str]) -> dict[str, str]:
    """Variables that Slurm sets from what the script asks it for."""
    names = {
        "nodes": ("SLURM_NNODES", "SLURM_JOB_NUM_NODES"),
        "ntasks_per_node": ("SLURM_NTASKS_PER_NODE",),
        "gpus_per_node": ("SLURM_GPUS_PER_NODE",),
        "ntasks": ("SLURM_NTASKS", "SLURM_NPROCS"),
    }
    made = {name: batch_system[key] for key, names in names.items() if key in batch_system for name in names}
    gpus = gpus_of_a_node(batch_system)
    return made if gpus is None else {**made, "SLURM_GPUS_ON_NODE": gpus}


def _key(flag: str) -> str:
    """A flag with `-` as `_` after its first two characters."""
    name, equals, value = flag.partition("=")
    return name[:2] + name[2:].replace("-", "_") + equals + value


def _arguments(path: Path, origin: Origin, command: Command, batch_system: dict[str, str]) -> Arguments:
    words = list(command.words)
    launcher, at = _launcher(words)
    end = _program(words, at)
    flags_end = end - 1 if end > at and words[end - 1].text == "-m" else end  # it is no value of the flag before it
    line = Origin(origin.name, words[0].line)
    defaults: dict[str, str] = {}
    return Arguments(
        launcher=launcher,
        launching=_section(path, line, words[at:flags_end], defaults),
        program=words[end].text if end < len(words) else launcher,
        flags=_section(path, line, words[end + 1 :], defaults),
        environment=command.environment,
        batch_system=batch_system,
        defaults=defaults,
    )


def _launcher(words: Sequence[Word]) -> tuple[str, int]:
    """The launcher, and the index of the first word after it; `srun` starts what stands behind it."""
    for index, word in enumerate(words):
        name = Path(word.text).name
        following = words[index + 1].text if index + 1 < len(words) else ""
        if name in ("torchrun", "deepspeed", "accelerate-launch"):
            return name.removesuffix("-launch"), index + 1
        if name == "accelerate" and following == "launch":
            return "accelerate", index + 2
        if re.fullmatch(r"python[0-9.]*", name):
            module = words[index + 2].text if following == "-m" and index + 2 < len(words) else ""
            if module in ("torch.distributed.launch", "torch.distributed.run"):
                return "torchrun", index + 3
            if module in ("accelerate.commands.launch", "deepspeed"):
                return module.split(".")[0], index + 3
            return ("srun" if any(before.text == "srun" for before in words[:index]) else "python"), index + 1
    return "", 0


def _program(words: Sequence[Word], start: int) -> int:
    """The index of the program's name among the words after the launcher: a script, a module, a known command.

    Else it is the first word that is neither a flag nor may be the value of one.
    """
    following = range(start, len(words))
    for index in following:
        if words[index].text in ("-m", "--module") and index + 1 < len(words):
            return index + 1
        if _PROGRAM.fullmatch(Path(words[index].text).name):
            return index
    for index in following:
        is_value = index > start and words[index - 1].text.startswith("-") and "=" not in words[index - 1].text
        if not (is_value or words[index].text.startswith("-")):
            return index
    return len(words)


def _section(path: Path, origin: Origin, words: Sequence[Word], defaults: dict[str, str]) -> Section:
    """Flags as keys and values: without a value true, with several a text of them all."""
    values: dict[str, Located] = {}
    remarks = Remarks()
    index = 0
    while index < len(words):
        found = _FLAG.fullmatch(words[index].text)
        index += 1
        if found is None:
            continue
        stated = [found["value"]] if found["value"] is not None else []
        parts = [words[index - 1]]
        while index < len(words) and not _FLAG.fullmatch(words[index].text):
            if stated and words[index].may_be_several:
                note = f"{words[index].text} is known to the running shell only: flags in it are not read"
                remarks.notes.append(f"{origin.name}:{words[index].line} {printable(note)}")
            else:
                stated.append(words[index].text)
                parts.append(words[index])
            index += 1
        where = Origin(origin.name, parts[0].line)
        name = found["name"].replace("-", "_")
        if not stated and name.startswith("no_"):
            name, stated = name.removeprefix("no_"), ["false"]
        for variable in dict.fromkeys(variable for part in parts for variable in part.defaults):
            defaults[name] = f"{where} {name}: ${variable} is taken as its default, {' '.join(stated)}"
        _put(values, name.split("."), Located(_value(stated, parts), where))
    return Section(file=path, origin=origin, values=values, remarks=remarks)


def _value(stated: Sequence[str], parts: Sequence[Word]) -> RawValue:
    if not stated:
        return True
    if not all(part.is_known for part in parts):
        return UnknownText(" ".join(stated), "the running shell")
    value = exact_scalar(stated[0]) if len(stated) == 1 else " ".join(stated)
    return value == "True" if value in ("True", "False") else value


def _put(values: dict[str, Located], path: Sequence[str], found: Located) -> None:
    for part in path[:-1]:
        inner = values.get(part)
        if inner is None or not isinstance(inner.value, dict):
            inner = values[part] = Located({}, found.origin)
        assert isinstance(inner.value, dict)
        values = inner.value
    values[path[-1]] = found
