"""From a file, or keys and values, to a recipe: paths become absolute, size names become configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dist_epochs.errors import InputError, Origin
from dist_epochs.recipe.corpus import CorpusRecipe
from dist_epochs.recipe.model_families import FAMILIES
from dist_epochs.recipe.model_sizes import named_config
from dist_epochs.recipe.recipe import Recipe
from dist_epochs.recipe.training import ModelRecipe
from dist_epochs.settings.address import Address
from dist_epochs.settings.document import Document, RecipeError
from dist_epochs.settings.files import read_utf8
from dist_epochs.settings.json_text import load_json
from dist_epochs.settings.shapes import TEXT, maybe, record, refuse_damage

__all__ = ["make_recipe", "read_config", "read_recipe"]

MOST_BYTES = 4_000_000
"""Of a model's configuration."""

_CONFIG = record({}, {"model_type": maybe(TEXT)})


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
    recipe = replace(recipe, corpus=_with_whole_paths(recipe.corpus, home))
    if recipe.model is not None and recipe.model.config is not None:
        recipe = replace(recipe, model=_with_config(recipe.model, home, document))
    return recipe


def _with_whole_paths(corpus: CorpusRecipe, home: Path) -> CorpusRecipe:
    store, cache = corpus.store, corpus.cache
    if store is not None and not isinstance(store, Address):
        store = str((home / store).resolve())
    if cache is not None and cache.folder is not None:
        cache = replace(cache, folder=str((home / Path(cache.folder).expanduser()).resolve()))
    return replace(corpus, store=store, cache=cache)


def _with_config(model: ModelRecipe, home: Path, document: Document) -> ModelRecipe:
    """The model with its configuration found, and its objective known."""
    config, where = model.config, document.where(("model", "config"))
    kind = config.get("model_type") if isinstance(config, dict) else None
    if isinstance(config, str):
        file = (home / config).resolve()
        if file.exists():
            config, kind = str(file), read_config(file).get("model_type")
        else:
            try:
                config = dict(named_config(config))
            except InputError as error:
                raise RecipeError(
                    f"model.config: {file}: no such file or folder, and {error.asked}", fixes=error.fixes, origin=where
                ) from None
            kind = config["model_type"]
    family = FAMILIES.get(str(kind))
    objective = model.objective or (family.objective if family else None)
    return replace(model, config=config, objective=objective)


def read_config(path: Path) -> Mapping[str, Any]:
    """The keys of a transformers `config.json`, read without transformers.

    Args:
        path: The file, or the model's folder.

    Raises:
        RecipeError: If it does not hold one.
    """
    file = path / "config.json" if path.is_dir() else path
    if not file.exists():
        rule = "a model's folder holds a config.json"
        raise RecipeError("no such file", rule=rule, origin=Origin(str(file)))
    text, origin = read_utf8(file, MOST_BYTES, "a config.json"), Origin(str(file), 1)
    try:
        data = load_json(text, origin)
    except InputError as error:
        rule = error.rule or error.asked
        raise RecipeError("not a transformers config.json", rule=rule, origin=error.origin) from None
    refuse_damage(data, _CONFIG, text, str(file))
    config: Mapping[str, Any] = data
    return config
