"""A tool whose configurations are read: how its files are told, and what a reader is given and makes of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.stated import LaunchSettings, Precision

__all__ = [
    "Given",
    "Tool",
    "Top",
    "counted",
    "default",
    "factor",
    "have",
    "note_overridden",
    "precision_word",
]

NOT_TAKEN_OFF = "not taken off: it needs a corpus that is stated in samples"
"""A note on keys that leave out a part of the samples."""

Top = Mapping[str, Any]
"""The keys and values of a file, without their lines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What flags and recipe state, as far as a tool's own rules need it.

    Attributes:
        batch: Factors of the batch.
        samples: Samples of the corpus, of all its sources together; None where they are not stated as such.
        sources: Samples by source, where the corpus has several.
        sequence_length: Positions of a sample, where there is one length.
        epochs: Passes that are asked for, in place of the file's.
        has_length: Whether the length of the run is stated, in whatever unit: the file's is then not used.
    """

    batch: LaunchSettings = field(default_factory=LaunchSettings)
    samples: int | None = None
    sources: Mapping[str, int] = field(default_factory=dict)
    sequence_length: int | None = None
    epochs: Stated[Fraction] | None = None
    has_length: bool = False

    def passes(self, stated: Stated[Fraction] | None, steps: Stated[int] | None) -> Stated[Fraction] | None:
        """The passes that decide how long the run is; None where steps, or something else that is given, do.

        Args:
            stated: The file's passes.
            steps: The file's steps, which win over them.
        """
        if self.has_length:
            return self.epochs
        return None if steps is not None else stated


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool whose configurations are read.

    Attributes:
        name: What to call it.
        is_its: Whether a file's keys show that it is this tool's: two that count, or one that only it has.
        read: What a file states, by the tool's own rules for batch, steps and ends of passes.
    """

    name: str
    is_its: Callable[[Top], bool]
    read: Callable[[Section, Given], LaunchSettings]


def have(top: Top, least: int, *keys: str) -> bool:
    """Whether so many of these keys are there; dots lead into sections, and `-` is `_`.

    Examples:
        >>> have({"lr-decay-style": "cosine", "train": {"steps": 1}}, 2, "lr_decay_style", "train.steps")
        True
    """
    return sum(_find(top, key.split(".")) for key in keys) >= least


def _find(section: Any, path: list[str]) -> bool:
    if not isinstance(section, Mapping):
        return False
    named = {str(key).replace("-", "_"): value for key, value in section.items()}
    return path[0] in named and (len(path) == 1 or _find(named[path[0]], path[1:]))


def default(top: Section, key: str, value: int, tool: str) -> Stated[int]:
    """A tool's own value of a key that is not there, which a note tells."""
    top.note(key, f"not stated: {value:,}, as {tool} takes it")
    return Stated(value, Origin(f"{tool}, by default"))


def factor(top: Section, key: str, given: Stated[int] | None, value: int | None, tool: str) -> Stated[int] | None:
    """A factor of the batch: what the file states, else what is given, else the tool's own value.

    Raises:
        InputError: If the file states no whole number.
    """
    stated = top.count(key) or given
    return stated if stated is not None or value is None else default(top, key, value, tool)


def precision_word(top: Section, key: str, words: Mapping[str, Precision], tool: str = "") -> Stated[Precision] | None:
    """The precision that a tool's word stands for; where it has no such word, that is noted.

    Args:
        top: The file.
        key: The key that holds the word.
        words: Precisions by word.
        tool: The tool, if it takes the first of `words` where none is stated.
    """
    word = top.text(key)
    if word is None:
        return Stated(next(iter(words.values())), Origin(f"{tool}, by default")) if tool else None
    if word.value not in words:
        top.note(key, "no precision that is planned here: --precision")
        return None
    return Stated(words[word.value], word.where)


def note_overridden(top: Section, key: str, steps: Stated[int] | None) -> None:
    """Note that stated steps win over the passes of a key."""
    if steps is not None and top.states(key):
        top.note(key, f"not used: the {steps.value:,} steps of {steps.where} decide how long the run is")


def counted(steps: int, rule: str, passes: Stated[Fraction], tool: str) -> Stated[int]:
    """The steps that a tool's own rule makes of its passes.

    Args:
        steps: The steps.
        rule: The rule with its numbers.
        passes: The passes, with the place that states them.
        tool: The tool.

    Raises:
        InputError: If that is no step at all.
    """
    if steps < 1:
        raise InputError(
            f"{float(passes.value):g} passes make no step in {tool}",
            rule=f"{rule} = 0",
            fixes=("a smaller batch", "more passes"),
            origin=passes.where,
        )
    return Stated(steps, Origin(f"{passes.where}: {tool} makes {rule} = {steps:,} steps"))
