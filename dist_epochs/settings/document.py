"""Keys and values of a recipe or a claim, from a file, flags and other tools' files, each with its origin."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.address import without_secrets
from dist_epochs.settings.fields import Place, Problem, dotted, read_part
from dist_epochs.settings.located import keys_and_values, read_text
from dist_epochs.settings.scalars import recipe_scalar
from dist_epochs.settings.value import Located, Stated, printable
from dist_epochs.settings.yaml_text import parse_yaml

__all__ = ["Document", "RecipeError"]

Made = TypeVar("Made")


class RecipeError(InputError):
    """A setting of a recipe or a claim that cannot be used, or several of them."""


class Document:
    """Keys and values that know where each came from: a file, a flag, another tool's file.

    Args:
        name: What to call the document in messages where no line is known.

    Attributes:
        data: The keys and values.
        remarks: What to know about the files that were read into it.
        values_read: What those files state, by name, each with its place.
        framework: The framework that runs their loop, where their kind says it.
    """

    def __init__(self, name: str) -> None:
        self.data: dict[str, Any] = {}
        self.remarks: list[str] = []
        self.values_read: Mapping[str, Stated[Any]] = {}
        self.framework: str | None = None
        self._origins: dict[Place, Origin] = {(): Origin(name)}
        self._defaults: set[Place] = set()

    @classmethod
    def read(cls, path: Path) -> Document:
        """Read a YAML file.

        Raises:
            InputError: If it is no file, no YAML, or does not hold keys and values.
        """
        document = cls(printable(str(path)))
        top = parse_yaml(read_text(path), printable(str(path)), recipe_scalar)
        keys_and_values(top)
        document._origins[()] = top.origin
        document.data = document._added(top, ())
        return document

    def _added(self, located: Located, place: Place) -> Any:
        """A value without its origins, which are noted; aliases become values of their own."""
        self._origins.setdefault(place, located.origin)
        if isinstance(located.value, tuple):
            return [self._added(item, (*place, index)) for index, item in enumerate(located.value)]
        if isinstance(located.value, dict):
            return {key: self._added(item, (*place, key)) for key, item in located.value.items()}
        return located.value

    def override(self, setting: str) -> None:
        """Apply a `key=value` setting from the command line, with a dotted key (`phases.0.steps=10`).

        Raises:
            InputError: If it is not `key=value`, leads into something without parts, or holds a password.
        """
        if without_secrets(setting) != setting:
            raise RecipeError(
                "an address with a user, a password or a query",
                rule="trackers write command lines down, and everybody on the machine can see them",
                fixes=("the address in the recipe", "one without them"),
                origin=Origin(f"--set {setting.partition('=')[0]}"),
            )
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise RecipeError("write key=value", fixes="--set batch.per_device=4", origin=Origin(f"--set {setting}"))
        origin = Origin(f"--set {key}")
        value = Document(origin.name)._added(parse_yaml(text, origin.name, recipe_scalar), ())
        self.change(key, value, origin)

    def change(self, name: str, value: Any, origin: Origin) -> None:
        """Set what a dotted key (`phases.0.steps`) leads to.

        Raises:
            RecipeError: If it leads into something without parts.
        """
        self.put(tuple(name.split(".")), value, origin)

    def copy(self) -> Document:
        """An independent copy, to change."""
        return deepcopy(self)

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

    def where(self, place: Place) -> Origin:
        """Where the value at a place was stated; if it is absent, where what would hold it was."""
        while place not in self._origins:
            place = place[:-1]
        return self._origins[place]

    def is_default(self, place: Place) -> bool:
        """Whether the value at a place is only the default of a tool whose files were read."""
        return place in self._defaults

    def put(self, place: Place, value: Any, origin: Origin, *, is_default: bool = False) -> None:
        """Set a value that comes from elsewhere; parts of it have the same origin.

        Args:
            place: Keys and indices; an index may be text.
            value: The value.
            origin: Where it was stated.
            is_default: Whether it is only a tool's default.

        Raises:
            RecipeError: If the place leads into something without such parts.
        """
        target: Any = self.data
        known: Place = ()
        for part in place[:-1]:
            step = _step(target, part, known, origin)
            if isinstance(target, dict) and target.get(step) is None:
                target[step] = {}
                self._origins.setdefault((*known, step), origin)
            target, known = target[step], (*known, step)
        last = _step(target, place[-1], known, origin)
        target[last] = value
        known = (*known, last)
        self._origins = {inner: found for inner, found in self._origins.items() if inner[: len(known)] != known}
        self._origins[known] = origin
        self._defaults.discard(known)
        if is_default:
            self._defaults.add(known)

    def make(self, owner: type[Made]) -> Made:
        """The document as a dataclass.

        Raises:
            RecipeError: With every unknown key, missing key and unusable value, and their lines.
        """
        problems: list[Problem] = []
        made = read_part(owner, self.data, (), problems)
        if made is None:
            raise RecipeError.together(map(self._error, problems))
        return made

    def problems(self, owner: type) -> tuple[RecipeError, ...]:
        """What is wrong with single keys: contradictions between keys are not looked for."""
        problems: list[Problem] = []
        read_part(owner, self.data, (), problems, whole=False)
        return tuple(map(self._error, problems))

    def _error(self, problem: Problem) -> RecipeError:
        name = "" if problem.names_place or not problem.place else f"{dotted(problem.place)}: "
        return RecipeError(
            f"{name}{problem.message}",
            rule=problem.rule,
            consequence=problem.consequence,
            fixes=problem.fixes,
            origin=self.where(problem.place),
        )


def _step(target: Any, part: str | int, above: Place, origin: Origin) -> Any:
    """A part of a place as the key of a mapping or the index of a list."""
    if isinstance(target, dict):
        return str(part)
    if not isinstance(target, list):
        raise RecipeError(f"{dotted(above)} is {target!r}, which has no parts", origin=origin)
    index = str(part)
    if not (index.isascii() and index.isdigit()) or int(index) >= len(target):
        rule = f"{index!r} must be a number from 0 to {len(target) - 1}"
        raise RecipeError(f"there is no {dotted((*above, index))}", rule=rule, origin=origin)
    return int(index)
