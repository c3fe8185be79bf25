"""A recipe back as YAML: what a run was really started with, defaults and overrides included."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import yaml
from pydantic import BaseModel

from dist_epochs.arithmetic.quantity import Quantity
from dist_epochs.plan.recipe import Recipe

__all__ = ["recipe_to_data", "recipe_to_yaml"]


def recipe_to_data(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain keys and values; absent settings are left out."""
    data = _plain(recipe)
    assert isinstance(data, dict)
    return data


def recipe_to_yaml(recipe: Recipe) -> str:
    """A recipe as YAML that reads back as the same recipe."""
    return yaml.safe_dump(recipe_to_data(recipe), sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        present = {name: getattr(value, name) for name in fields}
        return {
            name: _plain(inner)
            for name, inner in present.items()
            if inner is not None or fields[name].default is not None
        }
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, Quantity):
        return value.text
    return str(value) if isinstance(value, Fraction) else value
