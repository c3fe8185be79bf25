"""The launcher and the program among the words of a command."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dist_epochs.settings.shell_word import Word

__all__ = ["LAUNCHERS", "launcher_of", "program_index"]

LAUNCHERS = ("torchrun", "accelerate", "deepspeed", "srun")
_PROGRAM = re.compile(r".+\.py|.+\.sh|(llamafactory-cli|fairseq-train|trl|swift|torchtitan)")


def launcher_of(words: Sequence[Word]) -> tuple[str, int]:
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


def program_index(words: Sequence[Word], start: int) -> int:
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
