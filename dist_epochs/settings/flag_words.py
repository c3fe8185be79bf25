"""Flags of a command as keys and values: `--a-b 4`, `--a_b=4`, `--switch`, `--no_switch`, `--section.key 4`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dist_epochs.errors import Origin
from dist_epochs.settings.scalars import UnknownText, exact_scalar
from dist_epochs.settings.section import Remarks, Section
from dist_epochs.settings.shell_word import Word
from dist_epochs.settings.value import Located, RawValue, printable

__all__ = ["flags_section"]

_FLAG = re.compile(r"--(?P<name>[A-Za-z][\w.\-]*)(=(?P<value>.*))?", re.DOTALL)


def flags_section(path: Path, origin: Origin, words: Sequence[Word], defaults: dict[str, str]) -> Section:
    """Flags as keys and values: without a value true, with several a text of them all.

    Args:
        path: The script.
        origin: Where the command stands.
        words: The flags and their values.
        defaults: Notes on variables whose default was taken, by flag; it is added to.
    """
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
