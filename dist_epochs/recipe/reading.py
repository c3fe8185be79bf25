"""From a file, or keys and values, to a recipe: paths become absolute, size names become configurations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dist_epochs.errors import InputError
from dist_epochs.recipe.model_config import read_config
from dist_epochs.recipe.model_sizes import named_config
from dist_epochs.recipe.recipe import Recipe
from dist_epochs.recipe.training import OBJECTIVES, ModelRecipe
from dist_epochs.settings.document import Document, RecipeError

__all__ = ["make_recipe", "read_recipe"]


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe; paths in it become absolute.

    Raises:
        RecipeError: With all problems at once, each at `path:line`.
    """
    document = Document.read(path)
    for setting in overrides:
        document.override(setting)
    return make_recipe(document, path)


def make_recipe(document: Document, path: Path) -> Recipe:
    """A document as a recipe.

    Args:
        document: Keys and values.
        path: The file that paths in it are relative to, and that messages name.

    Raises:
        RecipeError: With all problems at once, each at `path:line`.
    """
    recipe = document.make(Recipe)
    if not recipe.name:
        recipe = replace(recipe, name=path.stem)
    home = path.resolve().parent
    if recipe.corpus.store is not None:
        store = str((home / recipe.corpus.store).resolve())
        recipe = replace(recipe, corpus=replace(recipe.corpus, store=store))
    if recipe.model is not None and recipe.model.config is not None:
        recipe = replace(recipe, model=_with_config(recipe.model, home, document))
    return recipe


def _with_config(model: ModelRecipe, home: Path, document: Document) -> ModelRecipe:
    """The model with its configuration found, and its objective known."""
    config, where = model.config, document.where(("model", "config"))
    kind = config.get("model_type") if isinstance(config, dict) else None
    if isinstance(config, str):
        if not config.isprintable():
            raise RecipeError(f"model.config: {config!r} is no name of a file", origin=where)
        file = (home / config).resolve()
        if file.exists():
            config, kind = str(file), read_config(file).get("model_type")
        else:
            try:
                config = dict(named_config(config))
            except InputError as error:
                asked = f"model.config: {file}: no such file or folder, and {error}"
                raise RecipeError(asked, origin=where) from None
            kind = config["model_type"]
    objective = model.objective or OBJECTIVES.get(str(kind))
    return replace(model, config=config, objective=objective)
