"""References of OmegaConf in a file: `${a.b}` stands for the value of another key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from dist_epochs.errors import InputError
from dist_epochs.settings.section import Section
from dist_epochs.settings.value import Located, RawValue

__all__ = ["resolved"]

_REFERENCE = re.compile(r"\$\{\s*(?P<path>[\w-]+(\.[\w-]+)*)\s*\}")
MOST_STEPS = 20
"""References that lead to references; more than any file has."""


def resolved(top: Section) -> Section:
    r"""A file whose references to its own keys are replaced by their values; each keeps its own line.

    What calls a function (`${oc.env:…}`, `${multiply:…}`) or is a part of a text stays as it is, and is refused where
    it counts.

    Raises:
        InputError: If references go round in a circle.

    Examples:
        >>> from pathlib import Path
        >>> from dist_epochs.errors import Origin
        >>> from dist_epochs.settings.located import parse_located
        >>> values = parse_located("length: 512\nmodel: {max: '${length}'}", "x.yaml").value
        >>> section = Section(file=Path("x.yaml"), origin=Origin("x.yaml"), values=values)
        >>> resolved(section).section("model").count("max").value
        512
    """
    return replace(top, values=_resolved(top.values, top.values))


def _resolved(values: Mapping[str, Located], top: Mapping[str, Located]) -> dict[str, Located]:
    return {key: Located(_value(item, top, 0), item.origin) for key, item in values.items()}


def _value(item: Located, top: Mapping[str, Located], steps: int) -> RawValue:
    value = item.value
    if isinstance(value, Mapping):
        return value if steps else _resolved(value, top)
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    target = _find(top, found["path"].split(".")) if found else None
    if target is None:
        return value
    if steps > MOST_STEPS:
        raise InputError("references lead in a circle", fixes="writing the value out", origin=item.origin)
    return _value(target, top, steps + 1)


def _find(values: Mapping[str, Located], path: list[str]) -> Located | None:
    inner = values.get(path[0])
    if inner is None or len(path) == 1:
        return inner
    return _find(inner.value, path[1:]) if isinstance(inner.value, Mapping) else None
