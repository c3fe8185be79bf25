"""Keys and values of a settings file, each read as the type that it must have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.located import keys_and_values, read_located
from dist_epochs.settings.scalars import PlainText, UnknownText
from dist_epochs.settings.value import (
    KeyOrigin,
    Located,
    RawValue,
    Stated,
    key_name,
    kind_of,
    plain_value,
    printable,
    refuse_repeat,
)

__all__ = ["Remarks", "Section", "read_section"]

YAML_1_1_FLAGS = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}
_QUOTED_NUMBER = re.compile("0|[1-9][0-9]{0,18}")
"""A number in quotes that is read: "8", not "012"."""
LARGEST_NUMBER = 10**15
"""More than any count of a run."""
MOST_SHOWN = 10**40
LONGEST_ECHO = 60
"""Characters of a value that a message repeats."""
LONGEST_PATH = 400
"""Characters of a file's name that a message repeats."""


@dataclass(slots=True)
class Remarks:
    """Remarks on the keys that were read, in order.

    Attributes:
        ignored: Where keys stand that bear on the count and are not used.
        notes: What to know about a key, after its place.
        repeats: Where keys stand a second time, with the value that they had.
        quoted: Where numbers stand in quotes.
        read: Keys whose values were looked at, each as the file and the dotted name.
    """

    ignored: list[Origin] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    repeats: list[KeyOrigin] = field(default_factory=list)
    quoted: list[KeyOrigin] = field(default_factory=list)
    read: set[tuple[str, str]] = field(default_factory=set)

    def on_repeat(self, key: str, first: Located, second: Located) -> None:
        """Remark a key that stands twice with one value; the tools take the last.

        Raises:
            InputError: If the values differ.
        """
        if plain_value(first.value) != plain_value(second.value):
            refuse_repeat(key, first, second)
        where = KeyOrigin(second.origin.name, second.origin.line, key=key_name(key))
        self.repeats.append(where)
        self.notes.append(f"{where}: it stands twice, with one value; the first is at {first.origin}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A mapping of a settings file. An absent key and `null` are the same: nothing is stated.

    Attributes:
        file: The file; the files that it names are looked up in its folder too.
        origin: Where the mapping stands.
        values: Its values.
        prefix: Dotted keys that lead to it, with a dot at the end.
        open_word: Text that leaves a value open, such as DeepSpeed's "auto"; such keys are remarked as ignored.
        remarks: Where remarks go.
    """

    file: Path
    origin: Origin
    values: Mapping[str, Located]
    prefix: str = ""
    open_word: str | None = None
    remarks: Remarks = field(default_factory=Remarks)

    def where(self, key: str) -> KeyOrigin:
        """The line and the dotted name of a key; the line of the section where it is absent."""
        origin = self.line(key)
        return KeyOrigin(origin.name, origin.line, key=key_name(self.prefix + key))

    def line(self, key: str) -> Origin:
        """The line of a key, or of the section where it is absent."""
        return self.values[key].origin if key in self.values else self.origin

    def states(self, key: str) -> bool:
        """Whether a key has a value, even one that `open_word` leaves open."""
        return key in self.values and self.values[key].value is not None

    def holds_keys(self, key: str) -> bool:
        """Whether keys and values stand under a key."""
        return key in self.values and isinstance(self.values[key].value, Mapping)

    def is_unknown(self, key: str) -> bool:
        """Whether only something that does not run here knows what a key holds."""
        return key in self.values and isinstance(self.values[key].value, UnknownText)

    def was_read(self, key: str) -> bool:
        """Whether the value of a key was looked at."""
        return (self.line(key).name, self.prefix + key) in self.remarks.read

    def look_for(self, key: str) -> None:
        """Remember that a key was asked for, whether it is there or not."""
        self.remarks.read.add((self.line(key).name, self.prefix + key))

    def note(self, key: str, remark: str) -> None:
        """Say something about a key."""
        self.remarks.notes.append(f"{self.where(key)}: {remark}")

    def ignore(self, key: str) -> None:
        """Remark that a key bears on the count and is not used, if it is there."""
        self.look_for(key)
        if self.states(key):
            self.remarks.ignored.append(self.where(key))

    def count(self, key: str, *, least: int = 1) -> Stated[int] | None:
        """A whole number.

        Raises:
            InputError: If it is something else, or below `least`.
        """
        number = self.number(key, f"a whole number of at least {least}", least=least)
        if number is None:
            return None
        if number.value.denominator != 1:
            self.refuse(key, f"a whole number of at least {least}")
        return Stated(int(number.value), number.where)

    def number(self, key: str, wanted: str, *, least: int = 0) -> Stated[Fraction] | None:
        """An exact number.

        Raises:
            InputError: If it is something else, below `least`, or above 10¹⁵.
        """
        value = self._value(key)
        if value is None:
            return None
        if isinstance(value, int | Fraction) and value > LARGEST_NUMBER:
            self.refuse(key, f"at most {LARGEST_NUMBER:,}")
        if isinstance(value, str) and not isinstance(value, PlainText) and _QUOTED_NUMBER.fullmatch(value):
            value = int(value)
            self.remarks.quoted.append(self.where(key))
        if isinstance(value, bool) or not isinstance(value, int | Fraction) or value < least:
            self.refuse(key, wanted)
        return Stated(Fraction(value), self.where(key))

    def flag(self, key: str) -> Stated[bool] | None:
        """True or false; unquoted in YAML also `yes`, `no`, `on`, `off`, which these tools read by YAML 1.1.

        Raises:
            InputError: If it is something else.
        """
        value = self._value(key)
        if isinstance(value, PlainText):
            value = YAML_1_1_FLAGS.get(value.lower(), value)
        if value is None:
            return None
        if not isinstance(value, bool):
            self.refuse(key, "true or false")
        return Stated(value, self.where(key))

    def is_on(self, key: str) -> bool:
        """Whether a flag is stated and true."""
        stated = self.flag(key)
        return stated is not None and stated.value

    def is_true(self, key: str) -> bool:
        """Whether a key holds true; it may hold anything else."""
        return self._value(key) is True

    def raw(self, key: str) -> RawValue:
        """The value of a key as it stands; None if it is absent."""
        return self._value(key)

    def text(self, key: str) -> Stated[str] | None:
        """Text; a flag or a number as it is written.

        Raises:
            InputError: If it is a list or a mapping.
        """
        value = self._value(key)
        if value is None:
            return None
        if isinstance(value, tuple | Mapping):
            self.refuse(key, "a word")
        return Stated(str(value).lower() if isinstance(value, bool) else str(value), self.where(key))

    def words(self, key: str) -> tuple[Stated[str], ...]:
        """The words of a text or a list; a flag is `true` or `false`.

        Raises:
            InputError: If it is something else.
        """
        value = self._value(key)
        if not isinstance(value, tuple):
            text = self.text(key)
            return tuple(Stated(word, text.where) for word in text.value.split()) if text else ()
        if not all(isinstance(item.value, str) for item in value):
            self.refuse(key, "words")
        return tuple(Stated(str(item.value), self.where(key)) for item in value)

    def section(self, key: str) -> Section:
        """The mapping under a key; an empty one if it is absent.

        Raises:
            InputError: If it is something else.
        """
        value = self._value(key)
        if value not in (None, "") and not isinstance(value, Mapping):
            self.refuse(key, "keys and values")
        inner = value if isinstance(value, Mapping) else {}
        return replace(self, origin=self.line(key), values=inner, prefix=f"{self.prefix}{key}.")

    def section_or_file(self, key: str) -> Section:
        """The mapping under a key, or in the file that it names.

        As in the tools, a relative name is looked up in the current folder, then in the folder of this file.

        Raises:
            InputError: If it is neither, or there is no such file.
        """
        value = self._value(key)
        if value is None or value == "" or isinstance(value, Mapping):
            return self.section(key)
        if not isinstance(value, str) or value.startswith("{"):
            self.refuse(key, "keys and values, or the name of a file with them")
        return read_section(self._named_file(key, value), open_word=self.open_word, remarks=self.remarks)

    def opened(self, key: str, word: str) -> Section:
        """The mapping under a key or in its file, where `word` leaves a value open."""
        return replace(self, open_word=word).section_or_file(key)

    def refuse(self, key: str, wanted: str) -> NoReturn:
        """Stop: the value of this key is not what it must be.

        Raises:
            InputError: Always.
        """
        where = self.where(key)
        raise InputError(f"{where.key} must be {wanted}, not {_shown(self.values[key].value)}", origin=self.line(key))

    def _value(self, key: str) -> RawValue:
        self.look_for(key)
        value = self.values[key].value if key in self.values else None
        if isinstance(value, UnknownText):
            raise InputError(
                f"{self.where(key).key} is {_shown(value)}, which only {value.known_to} knows",
                rule="the file is read, and nothing in it is run",
                fixes=("writing the value there", "the value as a flag of plan, with the line removed"),
                origin=self.line(key),
            )
        if self.open_word is not None and value == self.open_word:
            self.ignore(key)
            return None
        return value

    def _named_file(self, key: str, name: str) -> Path:
        for candidate in (Path(name), self.file.parent / name):
            try:
                if candidate.is_file():
                    return candidate
            except (OSError, ValueError):  # a name that no file can have
                break
        shown = printable(name) if len(name) <= LONGEST_PATH else "something too long for a name"
        raise InputError(
            f"{self.where(key).key} names {shown}, and there is no such file",
            rule=f"it is looked for in the current folder and in {printable(str(self.file.parent))}",
            consequence="what it says about the batch is missing",
            fixes="correcting the name",
            origin=self.line(key),
        )


def _shown(value: RawValue) -> str:
    """A value of a known key, for a message."""
    if isinstance(value, tuple | Mapping):
        return kind_of(value)
    if isinstance(value, Fraction) and abs(value) > MOST_SHOWN:
        return "a number beyond anything that is counted"
    text = str(float(value)) if isinstance(value, Fraction) else str(value)
    text = text.lower() if isinstance(value, bool) else printable(text)
    return text if len(text) <= LONGEST_ECHO else "something longer"


def read_section(path: Path, *, open_word: str | None = None, remarks: Remarks | None = None) -> Section:
    """Read a file that holds keys and values.

    Raises:
        InputError: If it cannot be read, or holds something else.
    """
    remarks = remarks or Remarks()
    top = read_located(path, remarks.on_repeat)
    return Section(file=path, origin=top.origin, values=keys_and_values(top), open_word=open_word, remarks=remarks)
