"""A recipe back as YAML: what a run was really started with, defaults and overrides included."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Any

import yaml

from dist_epochs.arithmetic.quantity import Quantity, parse
from dist_epochs.recipe import Recipe
from dist_epochs.settings.document import is_text

__all__ = ["recipe_to_data", "recipe_to_yaml"]


def recipe_to_data(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain keys and values; absent settings are left out."""
    data = _plain(recipe)
    assert isinstance(data, dict)
    return data


def recipe_to_yaml(recipe: Recipe) -> str:
    """A recipe as YAML that reads back as the same recipe."""
    return yaml.dump(recipe_to_data(recipe), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Quotes text that our reader would take for a number."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_text(text) else '"')


_Dumper.add_representer(str, _text)


def _plain(value: Any) -> Any:
    if isinstance(value, Quantity):
        bare = value.unit is not None and parse(value.text).unit is None
        return f"{value.text} {value.unit}s" if bare else value.text
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
    return str(value) if isinstance(value, Fraction) else value
