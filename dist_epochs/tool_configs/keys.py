"""Keys of tools' files by the settings that they state, and the marks by which a file is a tool's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.stated import Precision

__all__ = ["SEED", "Key", "Top", "count", "flag", "marks", "number", "precision", "stated_at", "switch", "text", "word"]

Top = Mapping[str, Any]
"""The keys and values of a file, without their lines."""
OFF = ("false", "no", "off")


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a tool's files that says the same as a setting of ours.

    Attributes:
        paths: The key, and older names of it; dots lead into sections. The first that is stated is read.
        read: Reads it from the section that holds it.
        default: What the tool takes where none is stated, which is noted; None if nothing is assumed.
        open: Words that leave the value to the tool or the launch, such as `auto` and `-1`.
    """

    paths: tuple[str, ...]
    read: Callable[[Section, str], Stated[Any] | None]
    default: Any = None
    open: tuple[str, ...] = ()

    def stated(self, top: Section) -> tuple[Section, str] | None:
        """The section and the key of the first path that a file states."""
        return next((found for path in self.paths if (found := stated_at(top, path)) is not None), None)


def stated_at(top: Section, path: str) -> tuple[Section, str] | None:
    """The section and the key at the end of a path, if a file states it; dots lead into sections."""
    *above, key = path.split(".")
    for part in above:
        if not top.holds_keys(part):
            return None
        top = top.section(part)
    top.look_for(key)
    return (top, key) if top.states(key) else None


def count(*paths: str, least: int = 1, default: int | None = None, open: tuple[str, ...] = ()) -> Key:
    """A whole number."""
    return Key(paths, lambda section, key: section.count(key, least=least), default, open)


def number(*paths: str, default: Fraction | None = None) -> Key:
    """A number above zero that need not be whole."""
    return Key(paths, lambda section, key: section.number(key, "a number above zero"), default)


def flag(*paths: str, default: bool | None = None) -> Key:
    """True or false."""
    return Key(paths, lambda section, key: section.flag(key), default)


def switch(*paths: str) -> Key:
    """True or false, where other words name how it is done, so that they are true."""

    def read(section: Section, key: str) -> Stated[bool] | None:
        found = section.text(key)
        return None if found is None else Stated(found.value.lower() not in OFF, found.where)

    return Key(paths, read)


def text(*paths: str) -> Key:
    """A text as it stands."""
    return Key(paths, lambda section, key: section.text(key))


def word(words: Mapping[str, Any], *paths: str, default: Any = None) -> Key:
    """A word that stands for a setting, such as a precision; another one is noted, and nothing is planned of it."""

    def read(section: Section, key: str) -> Stated[Any] | None:
        found = section.text(key)
        if found is None or found.value not in words:
            section.note(key, "no value that is planned here: state it with a flag")
            return None
        return Stated(words[found.value], found.where)

    return Key(paths, read, default)


def precision(*paths: str, default: Precision | None = None, **words: str) -> Key:
    """A precision, by the words that a tool has for `bf16`, `fp16` and `fp32`."""
    return word({each: name for name, listed in words.items() for each in listed.split()}, *paths, default=default)


SEED = count("seed", least=0)


def marks(*needs: tuple[int, str], never: str = "") -> Callable[[Top], bool]:
    """Whether a file's keys show that it is a tool's.

    Args:
        needs: How many keys of each list must be there; dots lead into sections, and `-` is `_`.
        never: Keys that it does not have.

    Examples:
        >>> is_its = marks((2, "lr_decay_style train.steps"), never="epochs")
        >>> is_its({"lr-decay-style": "cosine", "train": {"steps": 1}})
        True
    """
    wanted = [(least, [key.split(".") for key in keys.split()]) for least, keys in needs]
    unwanted = [key.split(".") for key in never.split()]

    def is_its(top: Top) -> bool:
        enough = all(sum(_has(top, path) for path in paths) >= least for least, paths in wanted)
        return enough and not any(_has(top, path) for path in unwanted)

    return is_its


def _has(section: Any, path: list[str]) -> bool:
    if not isinstance(section, Mapping):
        return False
    named = {str(key).replace("-", "_"): value for key, value in section.items()}
    return path[0] in named and (len(path) == 1 or _has(named[path[0]], path[1:]))
