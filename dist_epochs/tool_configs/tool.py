"""A tool whose configurations are read: its marks, what its keys mean, and the rules that are its own.

A reader is a table of keys (`Key`) and one function for what no table says. What all of them do alike is done here:
places and defaults of keys, the devices and factors that flags state, steps that win over passes, and the notes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Stated
from dist_epochs.tool_configs.counting_keys import not_read
from dist_epochs.tool_configs.keys import Key, Top, stated_at
from dist_epochs.tool_configs.passes import Given
from dist_epochs.tool_configs.stated import BATCH, LaunchSettings
from dist_epochs.tool_configs.tool_values import by_default

__all__ = ["Tool"]


def _as_it_is(top: Section, own: LaunchSettings, given: Given) -> LaunchSettings:
    return own


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool whose configurations are read.

    Attributes:
        name: What to call it.
        is_its: Whether a file's keys show that it is this tool's: two that count, or one that only it has.
        keys: The settings that its keys state, each by a key of the same meaning, or by what several keys say.
        rules: What no table says: its rules for batch, steps and ends of passes. It is given the file, what its keys
            state, and what is given.
        framework: What `--like` calls the framework that runs its loop; None if that is known to none.
        notes: What to know about keys that hold something else than false; dots lead into sections.
    """

    name: str
    is_its: Callable[[Top], bool]
    keys: Mapping[str, Key | Callable[[Section], Stated[Any] | None]] = field(default_factory=dict)
    rules: Callable[[Section, LaunchSettings, Given], LaunchSettings] = _as_it_is
    framework: str | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    def read(self, top: Section, given: Given) -> LaunchSettings:
        """What a file states, by the tool's own rules for batch, steps and ends of passes.

        Raises:
            InputError: If a value cannot be used.
        """
        top = replace(top, values={key.replace("-", "_"): value for key, value in top.values.items()})
        for path, remark in self.notes.items():
            found = stated_at(top, path)
            if found is not None and found[0].raw(found[1]) not in (False, 0, ""):
                found[0].note(found[1], remark)
        own = self.rules(top, self._keys(top, given), given)
        if own.steps is not None and own.epochs is not None:
            top.remarks.notes.append(
                f"{own.epochs.where}: not used: the {own.steps.value:,} steps of {own.steps.where} decide how long the "
                "run is"
            )
            own = replace(own, epochs=None)
        notes = dict.fromkeys((*own.notes, *top.remarks.notes, *not_read(top, self.name)))
        return replace(
            own,
            tools=(self.name,),
            framework=self.framework,
            notes=tuple(notes),
            ignored=tuple(dict.fromkeys(top.remarks.ignored)),
        )

    def _keys(self, top: Section, given: Given) -> LaunchSettings:
        """What the keys of the table state; factors of the batch that they leave out are those that are given."""
        known: dict[str, Any] = {name: getattr(given.batch, name) for name in BATCH}
        for name, key in self.keys.items():
            if not isinstance(key, Key):
                known[name] = known.get(name) or key(top)
                continue
            found = key.stated(top)
            if found is None:
                known[name] = known.get(name) or by_default(top, key.paths[0], key.default, self.name)
                continue
            section, last = found
            is_open = key.open and str(section.raw(last)) in key.open
            known[name] = known.get(name) if is_open else key.read(section, last)
        return LaunchSettings(**known)
