"""YAML with line numbers, and errors that use them: all at once, with the nearest key.

Plain scalars follow YAML 1.2: `true`, `false`, `null`, decimal integers and decimal floats (`1e-3`
included) get a type; everything else, `1M` or `3.3B words`, stays text for the field's own parser.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import yaml

from dist_epochs.errors import InputError
from dist_epochs.settings.fields import Place, Problem, read_part

__all__ = ["Document", "RecipeError", "is_text", "load"]

Made = TypeVar("Made")

_WHOLE = r"(0|[1-9][0-9]*(_[0-9]+)*)"
_INTEGER = re.compile(rf"[-+]?{_WHOLE}")
_FLOAT = re.compile(rf"[-+]?(\.[0-9]+|{_WHOLE}(\.[0-9]*|(?=[eE])))([eE][-+]?[0-9]+)?")
_LONGEST_NUMBER = 100
_CUT = re.compile(r"[0-9]{3}(?![0-9])")
"""What stands after a comma of a number; in `{a: 1,022}` YAML takes it for a key."""
DEEPEST = 50
"""Keys and lists inside each other."""
_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}


class RecipeError(InputError):
    """Every problem found in a file, one per line, each starting with `path:line`."""

    @classmethod
    def of(cls, messages: Iterable[str]) -> RecipeError:
        """All messages, by their lines, each once."""
        return cls("\n".join(sorted(set(messages), key=_by_line)))


class WrittenFloat(float):
    """A float that keeps its spelling: `1.8e5` has two digits, 180000.0 has seven."""

    def __new__(cls, text: str) -> WrittenFloat:
        number = super().__new__(cls, text)
        number._text = text
        return number

    _text: str

    def __str__(self) -> str:
        return self._text


class Document:
    """Keys and values that know where each came from: a file, a flag, another tool's file.

    Args:
        name: What to call the document in messages where no line is known.

    Attributes:
        data: The keys and values.
        remarks: What is to be known of files that were read into it.
    """

    def __init__(self, name: str) -> None:
        self.data: dict[str, Any] = {}
        self.remarks: list[str] = []
        self._lines: dict[Place, str] = {(): name}

    @classmethod
    def read(cls, path: Path) -> Document:
        """Read a YAML file.

        Raises:
            RecipeError: If it is no file, no text, or does not hold keys and values.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise RecipeError(f"{path}: no such file{_similar_files(path)}") from None
        except UnicodeDecodeError as error:
            raise RecipeError(f"{path}:{_line_of(path, error.start)}: not UTF-8 text") from None
        document = cls(f"{path}:1")
        data = _compose(text, path, document._lines)
        if not isinstance(data, dict):
            raise RecipeError(f"{path}:1: holds {_kind(data)}, not keys and values")
        document.data = data
        return document

    def override(self, setting: str) -> None:
        """Apply a `key=value` setting from the command line, keys dotted (`phases.0.steps=10`).

        Raises:
            RecipeError: If it is not `key=value`, or leads into something without parts.
        """
        _override(self.data, setting, self._lines)

    def change(self, dotted: str, value: Any, where: str) -> None:
        """Set what a dotted key (`phases.0.steps`) leads to; messages about it start with `where`.

        Raises:
            RecipeError: If it leads into something without parts.
        """
        _change(self.data, dotted, value, where, [()], self._lines)

    def copy(self) -> Document:
        """The same document, to change."""
        twin = Document("")
        twin.data, twin._lines, twin.remarks = deepcopy(self.data), dict(self._lines), list(self.remarks)
        return twin

    def get(self, place: Place) -> Any:
        """What stands at a place; None if nothing does."""
        found: Any = self.data
        for part in place:
            if isinstance(found, dict):
                found = found.get(str(part))
            elif isinstance(found, list) and isinstance(part, int) and part < len(found):
                found = found[part]
            else:
                return None
        return found

    def where(self, place: Place) -> str:
        """Where it was stated: `path:line`, or a flag."""
        while place not in self._lines:
            place = place[:-1]
        return self._lines[place]

    def put(self, place: Place, value: Any, where: str) -> None:
        """Set a value that comes from elsewhere; messages about it start with `where`.

        Raises:
            RecipeError: If the place leads into something without such parts.
        """
        target: Any = self.data
        for at, part in enumerate(place[:-1]):
            self._lines.setdefault(place[: at + 1], self._lines[()])
            if isinstance(target, dict) and target.get(str(part)) is None:
                target[str(part)] = {}
            target = _part(target, part, place[: at + 1], where)
        _part(target, place[-1], place, where, fill=True)
        target[place[-1] if isinstance(target, list) else str(place[-1])] = value
        for inner in [known for known in self._lines if known[: len(place)] == place]:
            del self._lines[inner]
        self._lines[place] = where

    def make(self, owner: type[Made]) -> Made:
        """The document as a dataclass.

        Raises:
            RecipeError: With every unknown key, missing key and unusable value, and their lines.
        """
        problems: list[Problem] = []
        made = read_part(owner, self.data, (), problems)
        if made is None:
            raise RecipeError.of(self._message(problem) for problem in problems)
        return made

    def problems(self, owner: type) -> tuple[str, ...]:
        """What keeps the document from being such a dataclass, as far as each key alone can tell."""
        problems: list[Problem] = []
        read_part(owner, self.data, (), problems, fitting=False)
        return tuple(self._message(problem) for problem in problems)

    def _message(self, problem: Problem) -> str:
        name = "" if problem.names_place else _dotted(problem.place)
        return f"{self.where(problem.place)}: {f'{name}: ' if name else ''}{problem.message}"


def load(path: Path, owner: type[Made], overrides: Sequence[str] = ()) -> Made:
    """Read a YAML file into a dataclass.

    Args:
        path: The file.
        owner: What it must hold.
        overrides: `key=value` settings from the command line.

    Raises:
        RecipeError: With every unknown key, missing key and unusable value, and their lines.
    """
    document = Document.read(path)
    for setting in overrides:
        document.override(setting)
    return document.make(owner)


def _compose(text: str, path: Path, lines: dict[Place, str]) -> Any:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise RecipeError(f"{where}: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise RecipeError(
            f"{path}:{line}: the character {chr(error.character)!a} cannot stand in a text file"
        ) from None
    except RecursionError:
        raise RecipeError(f"{path}:1: keys or lists are nested without end, or more than {DEEPEST} deep") from None
    return None if node is None else _value(node, (), path, lines)


def _value(node: yaml.Node, place: Place, path: Path, lines: dict[Place, str]) -> Any:
    where = f"{path}:{node.start_mark.line + 1}"
    lines.setdefault(place, where)
    if len(place) > DEEPEST:
        raise RecipeError(f"{where}: keys or lists are nested without end, or more than {DEEPEST} deep")
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node.value) if node.style is None else node.value
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, (*place, index), path, lines) for index, child in enumerate(node.value)]
    assert isinstance(node, yaml.MappingNode)
    result: dict[str, Any] = {}
    for key_node, child in node.value:
        where = f"{path}:{key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise RecipeError(f"{where}: a key must be a word")
        key = key_node.value
        if key in result:
            raise RecipeError(f"{where}: {_dotted((*place, key))} stands twice; keep one")
        if node.flow_style and _CUT.match(key) and child.value == "" and child.style is None and result:
            before = f"{_dotted((*place, list(result)[-1]))} is cut at a comma before {key!r}"
            raise RecipeError(f'{where}: {before}: inside {{ }} put what has commas in quotes, as in "1,022,362"')
        lines[*place, key] = where
        result[key] = _value(child, (*place, key), path, lines)
    return result


def is_text(text: str) -> bool:
    """Whether an unquoted scalar reads back as text."""
    return isinstance(_scalar(text), str)


def _scalar(text: str) -> Any:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    return WrittenFloat(text) if _FLOAT.fullmatch(text) else text


def _override(data: dict[str, Any], setting: str, lines: dict[Place, str]) -> None:
    key, equals, text = setting.partition("=")
    where = f"--set {key}"
    if not equals or not key:
        raise RecipeError(f"--set {setting}: write key=value, for example --set batch.per_device=4")
    fragment: dict[Place, str] = {}
    value = _compose(text, Path(where), fragment)
    _change(data, key, value, where, list(fragment) or [()], lines)


def _change(
    data: dict[str, Any], dotted: str, value: Any, where: str, inside: Sequence[Place], lines: dict[Place, str]
) -> None:
    """Set a dotted key, and where it and the places inside its value were stated."""
    place: Place = ()
    target: Any = data
    *above, name = dotted.split(".")
    for part in above:
        target, place = _descend(target, part, place, where)
        lines.setdefault(place, where)
    last: str | int = _index(target, name, where) if isinstance(target, list) else name
    target[last] = value
    for inner in [known for known in lines if known[: len(place) + 1] == (*place, last)]:
        del lines[inner]
    lines.update({(*place, last, *inner): where for inner in inside})


def _descend(target: Any, part: str, place: Place, where: str) -> tuple[Any, Place]:
    if isinstance(target, list):
        index = _index(target, part, where)
        return target[index], (*place, index)
    if target.get(part) is None:
        target[part] = {}
    if not isinstance(target[part], dict | list):
        raise RecipeError(f"{where}: {_dotted((*place, part))} is {target[part]!r}, which has no parts")
    return target[part], (*place, part)


def _index(target: list[Any], part: str, where: str) -> int:
    if not (part.isascii() and part.isdigit()) or int(part) >= len(target):
        raise RecipeError(f"{where}: {part!r} must be a number from 0 to {len(target) - 1}")
    return int(part)


def _by_line(message: str) -> tuple[str, int, str]:
    path, _, rest = message.partition(":")
    number = rest.partition(":")[0]
    return path, int(number) if number.isdigit() else 0, message


def _dotted(place: Place) -> str:
    return ".".join(str(part) for part in place)


def _part(target: Any, part: str | int, place: Place, where: str, *, fill: bool = False) -> Any:
    """One step down; with `fill`, only whether it can be taken."""
    if isinstance(target, dict):
        return None if fill else target[str(part)]
    if not isinstance(target, list):
        raise RecipeError(f"{where}: {_dotted(place[:-1])} is {target!r}, which has no parts")
    if not isinstance(part, int) or part >= len(target):
        raise RecipeError(f"{where}: {_dotted(place)}: there are {len(target)}, counted from 0")
    return target[part]


def _kind(data: Any) -> str:
    return "nothing" if data is None else f"a {type(data).__name__}"


def _line_of(path: Path, offset: int) -> int:
    return path.read_bytes()[:offset].count(b"\n") + 1


def _similar_files(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return ""
    close = difflib.get_close_matches(path.name, [entry.name for entry in folder.iterdir()], n=1)
    return f"; did you mean {folder / close[0]}?" if close else ""
