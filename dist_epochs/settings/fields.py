"""Settings declared as dataclass fields: how each is read, and its JSON schema for editors.

This replaces a validation library, whose import alone takes longer than planning a recipe. A reader turns what stands
in a file into a value, and reports problems with their place, so that all of them are found in one go.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from dist_epochs.errors import InputError, close_matches, nearest
from dist_epochs.names import find_name, folded

__all__ = ["Choice", "Many", "Part", "Place", "Problem", "Reader", "Table", "Value", "dotted", "key", "read_part"]

Place = tuple[str | int, ...]
"""Where something stands: keys and list indices from the top of the file."""

LONGEST_NUMBER, LONGEST_TEXT = 1_000, 20_000
"""Characters of a number in words, and of other text."""

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that cannot be used, and where it stands.

    Attributes:
        place: Keys and indices from the top.
        message: What is wrong.
        names_place: Whether the message names the place itself.
        rule: The rule that it breaks.
        consequence: What it would lead to.
        fixes: What to do instead.
    """

    place: Place
    message: str
    names_place: bool = False
    rule: str = ""
    consequence: str = ""
    fixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, place: Place, error: ValueError) -> Problem:
        """The error that a reader of values raised, as a problem of a place."""
        if not isinstance(error, InputError):
            return cls(place, str(error))
        return cls(place, error.asked, rule=error.rule, consequence=error.consequence, fixes=error.fixes)


class Reader(Protocol):
    """Turns what stands in a file into a value."""

    def read(self, data: Any, place: Place, problems: list[Problem]) -> Any:
        """The value; what is wrong goes into `problems`."""

    def schema(self) -> dict[str, Any]:
        """JSON schema of what may stand there."""


@dataclass(frozen=True, slots=True)
class Value:
    """One number or word, read by a function that raises `ValueError`.

    Attributes:
        parse: The function.
        types: JSON types that may stand there.
        least: The smallest number that is read, for the schema; None for words.
    """

    parse: Callable[[Any], Any]
    types: tuple[str, ...] = ("string", "number")
    least: int | None = None

    def read(self, data: Any, place: Place, problems: list[Problem]) -> Any:
        """The value, or None and a problem."""
        most = LONGEST_NUMBER if "number" in self.types else LONGEST_TEXT
        if isinstance(data, str) and len(data) > most:
            rule = f"at most {most:,} characters are read here"
            problems.append(Problem(place, f"a text of {len(data):,} characters", rule=rule))
            return None
        try:
            return self.parse(data)
        except ValueError as error:
            problems.append(Problem.of(place, error))
            return None

    def schema(self) -> dict[str, Any]:
        """Its JSON schema."""
        schema: dict[str, Any] = {"type": list(self.types) if len(self.types) > 1 else self.types[0]}
        return schema if self.least is None else schema | {"minimum": self.least, "pattern": "[0-9]"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words, in any case."""

    words: tuple[str, ...]

    def read(self, data: Any, place: Place, problems: list[Problem]) -> Any:
        """The value, or None and a problem."""
        word = find_name(data, self.words) if isinstance(data, str) else None
        if word is not None:
            return word
        close = close_matches(folded(str(data)), self.words)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        problems.append(Problem(place, f"it must be {' or '.join(self.words)}, not {data!r}{hint}"))
        return None

    def schema(self) -> dict[str, Any]:
        """Its JSON schema."""
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Part:
    """Keys and values of a dataclass whose fields are made with `key`."""

    owner: type

    def read(self, data: Any, place: Place, problems: list[Problem]) -> Any:
        """The value, or None and a problem."""
        return read_part(self.owner, data, place, problems)

    def schema(self) -> dict[str, Any]:
        """Its JSON schema."""
        documentation = _field_documentation(self.owner)
        properties, required = {}, []
        for name, found in _keys(self.owner).items():
            types = found.metadata["reader"].schema()
            if found.name != name:
                properties[name] = types | {"description": f"Another spelling of {found.name}."}
                continue
            properties[name] = types | {"description": documentation.get(name, "")}
            if _is_required(found):
                required.append(name)
        return {"type": "object", "additionalProperties": False, "properties": properties, "required": required}


@dataclass(frozen=True, slots=True)
class Many:
    """A list."""

    each: Reader
    least: int = 0
    exactly: int | None = None

    def read(self, data: Any, place: Place, problems: list[Problem]) -> Any:
        """The value, or None and a problem."""
        if not isinstance(data, list | tuple):
            problems.append(Problem(place, f"it must be a list, not {data!r}"))
            return None
        least = self.exactly or self.least
        if len(data) < least or (self.exactly is not None and len(data) != self.exactly):
            wanted = f"{'exactly' if self.exactly else 'at least'} {least}"
            problems.append(Problem(place, f"the list must have {wanted} item{'s' * (least > 1)}, not {len(data)}"))
        return tuple(self.each.read(item, (*place, index), problems) for index, item in enumerate(data))

    def schema(self) -> dict[str, Any]:
        """Its JSON schema."""
        return {"type": "array", "items": self.each.schema(), "minItems": self.exactly or self.least}


@dataclass(frozen=True, slots=True)
class Table:
    """Names that the user chooses, each with a value."""

    each: Reader

    def read(self, data: Any, place: Place, problems: list[Problem]) -> Any:
        """The value, or None and a problem."""
        if not isinstance(data, Mapping) or not data:
            problems.append(Problem(place, f"it must be names and values, not {data!r}"))
            return None
        return {str(name): self.each.read(value, (*place, name), problems) for name, value in data.items()}

    def schema(self) -> dict[str, Any]:
        """Its JSON schema."""
        return {"type": "object", "additionalProperties": self.each.schema()}


def key(
    reader: Reader, default: Any = dataclasses.MISSING, *, also: str | None = None, null: bool | None = None
) -> Any:
    """Declare a setting.

    Args:
        reader: How it is read.
        default: Its value where it is absent; without one it is required.
        also: Another spelling of its name.
        null: Whether `null` is a value; without it, whether `null` is the default.
    """
    metadata = {"reader": reader, "also": also, "null": default is None if null is None else null}
    return field(default=default, metadata=metadata)


def read_part(
    owner: type[Made], data: Any, place: Place, problems: list[Problem], *, whole: bool = True
) -> Made | None:
    """Read keys and values into a dataclass; None if anything was wrong.

    A class may have `cross_field_errors(values)`: it gets the values that could be read, and yields a place below the
    class and a message, or an error with its parts, for each contradiction between them.

    Args:
        owner: The dataclass.
        data: What stands in the file.
        place: Where.
        problems: Gets everything that is wrong.
        whole: Whether to ask for cross-field errors, and to make the dataclass; else only the keys are read.
    """
    if not isinstance(data, Mapping):
        problems.append(Problem(place, f"it must be keys and values, not {data!r}"))
        return None
    before = len(problems)
    values = _read_keys(owner, data, place, problems)
    if not whole:
        return None
    check: Callable[[Mapping[str, Any]], Iterable[tuple[Place, str | InputError]]] | None
    check = getattr(owner, "cross_field_errors", None)
    for inner, said in check(values) if check is not None else ():
        problems.append(Problem.of((*place, *inner), said if isinstance(said, InputError) else InputError(said)))
    if len(problems) > before:
        return None
    try:
        return owner(**values)
    except ValueError as error:
        problems.append(Problem.of(place, error))
        return None


def _read_keys(owner: type, data: Mapping[Any, Any], place: Place, problems: list[Problem]) -> dict[str, Any]:
    """The values of the keys that are there, by the names of the fields."""
    fields = _keys(owner)
    values: dict[str, Any] = {}
    for name, item in data.items():
        if name not in fields:
            hint = _elsewhere(owner, str(name)) or nearest(
                str(name), (found.name for found in dataclasses.fields(owner))
            )
            problems.append(Problem((*place, name), f"unknown key '{dotted((*place, name))}'{hint}", True))
            continue
        found = fields[name]
        if found.name in values:
            problems.append(Problem((*place, name), f"{name} and {found.name} are the same setting; keep one"))
        elif item is not None:
            values[found.name] = found.metadata["reader"].read(item, (*place, name), problems)
        elif found.metadata["null"]:
            values[found.name] = None
        else:
            problems.append(Problem((*place, name), "it is empty"))
    for name, found in fields.items():
        if name == found.name and _is_required(found) and name not in data and found.metadata["also"] not in data:
            problems.append(Problem(place, f"missing key '{dotted((*place, name))}'", True))
    return values


def _elsewhere(owner: type, name: str) -> str:
    """A hint, if the key belongs one level deeper."""
    for found in dataclasses.fields(owner):
        reader = found.metadata["reader"]
        if isinstance(reader, Part) and name in _keys(reader.owner):
            return f"; did you mean '{found.name}.{name}'?"
    return ""


def _keys(owner: type) -> dict[str, dataclasses.Field[Any]]:
    """Fields by every spelling of their names."""
    spellings = {}
    for found in dataclasses.fields(owner):
        spellings[found.name] = found
        if found.metadata["also"]:
            spellings[found.metadata["also"]] = found
    return spellings


def _is_required(found: dataclasses.Field[Any]) -> bool:
    return found.default is dataclasses.MISSING


def dotted(place: Place) -> str:
    """A place as it is written on the command line: `phases.0.steps`."""
    return ".".join(str(part) for part in place)


def _field_documentation(owner: type) -> dict[str, str]:
    """The docstring below each field of a class. It is read from the source, and only when a schema is written."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(node, ast.ClassDef)
    documented = {}
    for statement, after in zip(node.body, node.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = after.value if isinstance(after, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                documented[statement.target.id] = " ".join(inspect.cleandoc(text.value).split())
    return documented
