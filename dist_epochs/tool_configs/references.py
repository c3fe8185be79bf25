"""References of OmegaConf in a file, `${a.b}`, and what to do about values that something else knows.

A reference stands for the value of another key: from the top, or with dots in front from the mapping that holds it
(`${.x}`) or one further up (`${..x}`). What calls a function (`${oc.env:…}`, `${multiply:…}`) is unknown here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from dist_epochs.errors import InputError
from dist_epochs.settings.scalars import UnknownText
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import KeyOrigin, Located, RawValue, key_name
from dist_epochs.settings.yaml_text import MOST_VALUES
from dist_epochs.tool_configs.counting_keys import COUNT

__all__ = ["KnownFile", "known_file"]

_REFERENCE = re.compile(r"\$\{\s*(?P<dots>\.*)(?P<path>[\w-]+((\.[\w-]+)|(\[[0-9]+\]))*)\s*\}")
MOST_STEPS = 20
"""References that lead to references; more than any file has."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file without the values that something else knows.

    Attributes:
        top: Its keys and values. Unknown values of keys that count are left, so that reading one is an error.
        left_out: Where the others stand, and what knows them.
    """

    top: Section
    left_out: tuple[tuple[KeyOrigin, str], ...]

    def notes(self) -> Iterator[str]:
        """Notes on those that were looked for."""
        for where, known_to in self.left_out:
            if (where.name, where.key) in self.top.remarks.read:
                yield f"{where}: its value is known to {known_to} only, and is not used"


def known_file(top: Section) -> KnownFile:
    r"""A file whose references to its own keys are replaced by their values; each keeps its own line.

    Raises:
        InputError: If references go round in a circle, or make more values than any file has.

    Examples:
        >>> from pathlib import Path
        >>> from dist_epochs.errors import Origin
        >>> from dist_epochs.settings.located import parse_located
        >>> values = parse_located("length: 512\nmodel: {max: '${length}', seed: '${oc.env:S}'}", "x.yaml").value
        >>> section = Section(file=Path("x.yaml"), origin=Origin("x.yaml"), values=values)
        >>> known_file(section).top.section("model").count("max").value
        512
    """
    values = _Resolver(top.values).mapping(top.values, (top.values,), 0)
    left_out: list[tuple[KeyOrigin, str]] = []
    return KnownFile(replace(top, values=_without_unknown(values, top.prefix, left_out)), tuple(left_out))


def _without_unknown(
    values: Mapping[str, Located], prefix: str, left_out: list[tuple[KeyOrigin, str]]
) -> dict[str, Located]:
    kept: dict[str, Located] = {}
    for key, item in values.items():
        if isinstance(item.value, UnknownText) and key not in COUNT:
            where = KeyOrigin(item.origin.name, item.origin.line, key=key_name(prefix + key))
            left_out.append((where, item.value.known_to))
        elif isinstance(item.value, Mapping):
            kept[key] = Located(_without_unknown(item.value, f"{prefix}{key}.", left_out), item.origin)
        else:
            kept[key] = item
    return kept


Above = tuple[Mapping[str, Located], ...]
"""The mappings that hold a value, from the top."""


@dataclass(slots=True)
class _Resolver:
    """Follows the references of a file; a few lines can refer to more values than fit into memory.

    Attributes:
        top: The file.
        made: Values so far.
    """

    top: Mapping[str, Located]
    made: int = field(default=0)

    def mapping(self, values: Mapping[str, Located], above: Above, steps: int) -> dict[str, Located]:
        """A mapping whose references are followed."""
        return {key: Located(self.value(item, above, steps), item.origin) for key, item in values.items()}

    def value(self, item: Located, above: Above, steps: int) -> RawValue:
        """A value whose references are followed, after so many that led to it."""
        self.made += 1
        if steps > MOST_STEPS or self.made > MOST_VALUES:
            raise InputError("references lead in a circle", fixes="writing the value out", origin=item.origin)
        value = item.value
        if isinstance(value, Mapping):
            return self.mapping(value, (*above, value), steps)
        if isinstance(value, tuple):
            return tuple(Located(self.value(inner, above, steps), inner.origin) for inner in value)
        if not isinstance(value, str) or "${" not in value:
            return value
        whole = _REFERENCE.fullmatch(value)
        if whole is not None:
            return self._target(whole, above, steps) or UnknownText(value, "OmegaConf")
        parts = [self._target(found, above, steps) for found in _REFERENCE.finditer(value)]
        if any(part is None or isinstance(part, tuple | Mapping | UnknownText) for part in parts):
            return UnknownText(value, "OmegaConf")
        text = _REFERENCE.sub(lambda _: str(parts.pop(0)), value)
        return UnknownText(value, "OmegaConf") if "${" in text else text

    def _target(self, found: re.Match[str], above: Above, steps: int) -> RawValue:
        """What a reference leads to; None where that is nothing."""
        dots, path = len(found["dots"]), re.split(r"[.\[]", found["path"].replace("]", ""))
        if dots > len(above):
            return None
        held_by: Above = (self.top,) if not dots else above[: len(above) - dots + 1]
        item: Located | None = None
        for part in path:
            inner = held_by[-1] if item is None else item.value
            if item is not None and isinstance(inner, str) and "${" in inner:
                inner = self.value(item, held_by, steps + 1)
            if isinstance(inner, tuple) and part.isdigit() and int(part) < len(inner):
                item = inner[int(part)]
            elif isinstance(inner, Mapping) and part in inner:
                held_by = held_by if item is None else (*held_by, inner)
                item = inner[part]
            else:
                return None
        return None if item is None else self.value(item, held_by, steps + 1)
