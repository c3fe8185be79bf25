"""YAML with line numbers, and errors that use them: all at once, with the nearest key.

Plain scalars follow YAML 1.2: `true`, `false`, `null`, decimal integers and decimal floats (`1e-3`
included) get a type; everything else, `1M` or `3.3B words`, stays text for the field's own parser.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dist_epochs.errors import InputError

__all__ = ["RecipeError", "is_text", "load"]

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[str | int, ...]

_WHOLE = r"(0|[1-9][0-9]*(_[0-9]+)*)"
_INTEGER = re.compile(rf"[-+]?{_WHOLE}")
_FLOAT = re.compile(rf"[-+]?(\.[0-9]+|{_WHOLE}(\.[0-9]*|(?=[eE])))([eE][-+]?[0-9]+)?")
_LONGEST_NUMBER = 100
_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}


class RecipeError(InputError):
    """Every problem found in a file, one per line, each starting with `path:line`."""


def load(path: Path, model: type[Model], overrides: Sequence[str] = ()) -> Model:
    """Read a YAML file into a model.

    Args:
        path: The file.
        model: What it must hold.
        overrides: `key=value` settings from the command line, keys dotted (`phases.0.steps=10`).

    Raises:
        RecipeError: With every unknown key, missing key and unusable value, and their lines.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such file{_similar_files(path)}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}:{_line_of(path, error.start)}: not UTF-8 text") from None
    lines: dict[Place, str] = {(): f"{path}:1"}
    data = _compose(text, path, lines)
    if not isinstance(data, dict):
        raise RecipeError(f"{path}:1: holds {_kind(data)}, not keys and values")
    for setting in overrides:
        _override(data, setting, lines)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        messages = sorted({_message(detail, model, lines) for detail in error.errors()}, key=_by_line)
        raise RecipeError("\n".join(messages)) from None


def _compose(text: str, path: Path, lines: dict[Place, str]) -> Any:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise RecipeError(f"{where}: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise RecipeError(f"{path}: {error}") from None
    try:
        return None if node is None else _value(node, (), path, lines)
    except RecursionError:
        raise RecipeError(f"{path}: keys or lists are nested without end") from None


def _value(node: yaml.Node, place: Place, path: Path, lines: dict[Place, str]) -> Any:
    lines.setdefault(place, f"{path}:{node.start_mark.line + 1}")
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
    return float(text) if _FLOAT.fullmatch(text) else text


def _override(data: dict[str, Any], setting: str, lines: dict[Place, str]) -> None:
    key, equals, text = setting.partition("=")
    where = f"--set {key}"
    if not equals or not key:
        raise RecipeError(f"--set {setting}: write key=value, for example --set batch.per_device=4")
    place: Place = ()
    target: Any = data
    parts = key.split(".")
    for part in parts[:-1]:
        target, place = _descend(target, part, place, where)
        lines.setdefault(place, where)
    fragment: dict[Place, str] = {}
    value = _compose(text, Path(where), fragment)
    last: str | int = parts[-1]
    if isinstance(target, list):
        last = _index(target, parts[-1], where)
    target[last] = value
    for inner in [known for known in lines if known[: len(place) + 1] == (*place, last)]:
        del lines[inner]
    lines.update({(*place, last, *inner): where for inner in fragment} or {(*place, last): where})


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


def _message(detail: ErrorDetails, model: type[BaseModel], lines: Mapping[Place, str]) -> str:
    place = tuple(detail["loc"])
    known = place
    while known not in lines:  # pydantic adds the names of union members; a missing key has no line
        known = known[:-1]
    where, name = lines[known], _dotted(place)
    match detail["type"]:
        case "extra_forbidden":
            return f"{where}: unknown key '{name}'{_nearest(str(place[-1]), _keys(model, place[:-1]))}"
        case "missing":
            return f"{where}: missing key '{name}'"
        case "value_error":
            inner = str(detail["ctx"]["error"]) if "ctx" in detail else detail["msg"]
            return f"{where}: {name}: {inner}" if name else f"{where}: {inner}"
        case _:
            return f"{where}: {name}: {detail['msg'][0].lower()}{detail['msg'][1:]}, not {detail['input']!r}"


def _keys(model: type[BaseModel], place: Place) -> Iterable[str]:
    """The keys that may stand at a place of the file."""
    annotation: Any = model
    for part in place:
        if isinstance(part, int):
            continue
        owner = _model_in(annotation)
        if owner is None or part not in owner.model_fields:
            return ()
        annotation = owner.model_fields[part].annotation
    owner = _model_in(annotation)
    return owner.model_fields if owner else ()


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, list, tuple):
        return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
    return None


def _nearest(word: str, words: Iterable[str]) -> str:
    candidates = list(words)
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known here: {', '.join(candidates)}" if candidates else ""


def _by_line(message: str) -> tuple[str, int, str]:
    path, _, rest = message.partition(":")
    number = rest.partition(":")[0]
    return path, int(number) if number.isdigit() else 0, message


def _dotted(place: Place) -> str:
    return ".".join(str(part) for part in place)


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
