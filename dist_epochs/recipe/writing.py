"""A recipe back as YAML: what a run was really started with, defaults and overrides included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Any

from dist_epochs.arithmetic.interval import Interval
from dist_epochs.arithmetic.quantity import Quantity, parse
from dist_epochs.recipe import Recipe
from dist_epochs.settings.yaml_writing import yaml_text

__all__ = ["flat", "recipe_to_data", "recipe_to_yaml"]


def recipe_to_data(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain keys and values; absent settings are left out."""
    data = _plain(recipe)
    assert isinstance(data, dict)
    return data


def recipe_to_yaml(recipe: Recipe) -> str:
    """A recipe as YAML that reads back as the same recipe."""
    return yaml_text(recipe_to_data(recipe))


def flat(data: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested data, with its dotted name."""
    pairs = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list) else None
    if pairs is None:
        yield place, data
        return
    for name, value in pairs:
        yield from flat(value, f"{place}.{name}" if place else str(name))


def _plain(value: Any) -> Any:
    if isinstance(value, Quantity):
        bare = value.unit is not None and parse(value.text).unit is None
        return f"{value.text} {value.unit}s" if bare else value.text
    if isinstance(value, Interval):
        return [str(value.low), str(value.high)]
    if is_dataclass(value):
        present = {field: getattr(value, field.name) for field in fields(value)}
        return {
            field.name: _plain(inner)
            for field, inner in present.items()
            if inner is not None or field.default is not None
        }
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Fraction | str) else value
