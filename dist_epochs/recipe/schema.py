"""The JSON schema of recipes, for editors: `python -m dist_epochs.recipe.schema > configs/recipe.schema.json`."""

from __future__ import annotations

import json
from typing import Any

from dist_epochs.recipe.recipe import Recipe
from dist_epochs.settings.fields import Part

__all__ = ["recipe_schema"]


def recipe_schema() -> dict[str, Any]:
    """Every setting with its type and its description.

    It knows names and kinds of values; what numbers mean together is checked by `dist-epochs plan`.
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Recipe", **Part(Recipe).schema()}


if __name__ == "__main__":
    print(json.dumps(recipe_schema(), indent=1, ensure_ascii=False))
