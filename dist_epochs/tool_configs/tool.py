"""A tool whose configurations are read: its marks, what its keys mean, and the rules that are its own.

A reader is a table of keys (`Key`) and one function for what no table says. What all of them do alike is done here:
places and defaults of keys, the devices and factors that flags state, steps that win over passes, and the notes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil
from typing import Any

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.complete import complete, data_parallel_size
from dist_epochs.tool_configs.counting_keys import not_read
from dist_epochs.tool_configs.stated import BATCH, LaunchSettings

__all__ = [
    "SEED", "Given", "Key", "Pass", "Tool", "Top", "by_default", "count", "counted", "either", "flag",
    "held_out",     "marks", "number", "pass_of", "product", "text", "word",
]  # fmt: skip

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

    def passes(self, own: LaunchSettings) -> Stated[Fraction] | None:
        """The passes that decide how long the run is; None where steps, or something else that is given, do.

        Args:
            own: What the file states; its steps win over its passes.
        """
        if self.has_length:
            return self.epochs
        return None if own.steps is not None else own.epochs


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
        for path in self.paths:
            *above, key = path.split(".")
            section: Section | None = top
            for part in above:
                section = section.section(part) if section and section.holds_keys(part) else None
            if section is not None and section.states(key):
                return section, key
        return None


def count(*paths: str, least: int = 1, default: int | None = None, open: tuple[str, ...] = ()) -> Key:
    """A whole number."""
    return Key(paths, lambda section, key: section.count(key, least=least), default, open)


def number(*paths: str, default: Fraction | None = None) -> Key:
    """A number above zero that need not be whole."""
    return Key(paths, lambda section, key: section.number(key, "a number above zero"), default)


def flag(*paths: str, default: bool | None = None) -> Key:
    """True or false."""
    return Key(paths, lambda section, key: section.flag(key), default)


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


def _as_it_is(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    return own


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool whose configurations are read.

    Attributes:
        name: What to call it.
        is_its: Whether a file's keys show that it is this tool's: two that count, or one that only it has.
        keys: The settings that its keys state.
        rules: What no table says: its rules for batch, steps and ends of passes. It is given the file, what its keys
            state, and what is given.
        counts_passes: Whether its own rule, not the Trainer's, says how many steps passes have.
        framework: What `--like` calls it; None if it has no such name.
        is_trainer: Whether the HF Trainer cuts its passes.
    """

    name: str
    is_its: Callable[[Top], bool]
    keys: Mapping[str, Key] = field(default_factory=dict)
    rules: Callable[[Section, LaunchSettings, Given], LaunchSettings] = _as_it_is
    framework: str | None = None
    is_trainer: bool = False

    def read(self, top: Section, given: Given) -> LaunchSettings:
        """What a file states, by the tool's own rules for batch, steps and ends of passes.

        Raises:
            InputError: If a value cannot be used.
        """
        top = replace(top, values={key.replace("-", "_"): value for key, value in top.values.items()})
        own = self.rules(top, self._keys(top, given), given)
        if own.steps is not None and own.epochs is not None:
            top.remarks.notes.append(
                f"{own.epochs.where}: not used: the {own.steps.value:,} steps of {own.steps.where} decide how long the "
                "run is"
            )
            own = replace(own, epochs=None)
        notes = dict.fromkeys((*own.notes, *top.remarks.notes, *not_read(top, self.name)))
        return replace(own, tools=(self.name,), notes=tuple(notes), ignored=tuple(dict.fromkeys(top.remarks.ignored)))

    def _keys(self, top: Section, given: Given) -> LaunchSettings:
        """What the keys of the table state; factors of the batch that they leave out are those that are given."""
        known: dict[str, Any] = {name: getattr(given.batch, name) for name in BATCH}
        for name, key in self.keys.items():
            found = key.stated(top)
            if found is None:
                known[name] = known.get(name) or by_default(top, key.paths[0], key.default, self.name)
                continue
            section, last = found
            is_open = key.open and str(section.raw(last)) in key.open
            known[name] = known.get(name) if is_open else key.read(section, last)
        return LaunchSettings(**known)


def by_default(top: Section, key: str, value: Any, tool: str) -> Stated[Any] | None:
    """A tool's own value of a key that is not there, which a note tells; None where it has none."""
    if value is None:
        return None
    shown = ("on" if value else "off") if isinstance(value, bool) else f"{value:,}" if isinstance(value, int) else value
    top.note(key, f"not stated: {shown}, as {tool} takes it")
    return Stated(value, Origin(f"{tool}, by default"))


def either(tool: str, *stated: Stated[Any] | None) -> None:
    """Refuse two ways of saying how long a run is, of which a tool takes one.

    Raises:
        InputError: If several are stated.
    """
    found = [str(one.where) for one in stated if one is not None]
    if len(found) > 1:
        raise InputError(
            f"{' and '.join(found)} are both stated",
            rule=f"{tool} takes one of them, and stops at its start",
            fixes="removing one",
        )


def product(top: Section, each: str, machines: str) -> Stated[int] | None:
    """Devices of a machine × machines, which are 1 where they are not stated; None where the launch decides.

    Raises:
        InputError: If one is no number.
    """
    word = top.text(each)
    if word is None or word.value in ("auto", "-1"):
        return None
    devices, several = top.count(each), top.count(machines)
    assert devices is not None
    if several is None or several.value == 1:
        return devices
    top.note(each, f"of each machine: {devices.value} × {several.value} of {machines}")
    return Stated(devices.value * several.value, devices.where)


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass that a tool's own rule cuts into steps, where all that it needs is known.

    Attributes:
        samples: Samples of the corpus.
        size: Devices that see different data.
        each: Samples of a micro-step of a device.
        accumulation: Micro-steps of a step.
        epochs: The passes that are asked for.
    """

    samples: int
    size: int
    each: int
    accumulation: int
    epochs: Stated[Fraction]

    @property
    def round(self) -> int:
        """Samples of a micro-step, of all devices."""
        return self.each * self.size

    @property
    def batch(self) -> int:
        """Samples of a step."""
        return self.round * self.accumulation

    def told(self, micro_steps: int | None, steps: int) -> dict[str, Stated[int]]:
        """The micro-steps and steps of one pass, by the names under which they are told."""
        where = Origin(f"{self.samples:,} samples on {self.size:,} devices that see different data")
        found = {"micro_steps_per_pass": micro_steps, "steps_per_pass": steps}
        return {name: Stated(value, where) for name, value in found.items() if value is not None}


def pass_of(own: LaunchSettings, given: Given, samples: int | None = None) -> Pass | None:
    """The pass that a rule cuts; None where something that it needs is not known, or steps say how long the run is.

    Args:
        own: What the file states.
        given: What is given.
        samples: Samples of the corpus, where they are not those that are given.

    Raises:
        InputError: If the numbers of the batch contradict each other.
    """
    samples, epochs, whole = samples or given.samples, given.passes(own), complete(own, accumulates_once=False)
    size, each, accumulation = data_parallel_size(whole), whole.per_device, whole.gradient_accumulation
    if samples is None or epochs is None or size is None or each is None or accumulation is None:
        return None
    return Pass(samples, size, each.value, accumulation.value, epochs)


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


def held_out(top: Section, key: str, samples: int | None, *, largest_share: Fraction) -> int | None:
    """The samples that are left for training where a key holds some out: a share, or a number of rows.

    Args:
        top: The file.
        key: The key.
        samples: All samples; None where the corpus is not stated in them, which is then noted.
        largest_share: The largest number that is still a share; the tools differ about 1.

    Raises:
        InputError: If nothing would be left.
    """
    stated = top.number(key, "a share, or a number of rows")
    if stated is None or not stated.value:
        return samples
    if samples is None:
        top.note(key, "not taken off: it needs a corpus that is stated in samples")
        return None
    rows = ceil(stated.value * samples) if stated.value <= largest_share else int(stated.value)
    if rows >= samples:
        top.refuse(key, f"less than the {samples:,} samples that there are")
    top.note(key, f"holds {rows:,} of {samples:,} rows out: {samples - rows:,} are trained on")
    return samples - rows
