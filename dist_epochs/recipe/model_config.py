"""A transformers `config.json`, read without transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dist_epochs.settings.document import RecipeError

__all__ = ["read_config"]


def read_config(path: Path) -> Mapping[str, Any]:
    """The keys of a configuration.

    Args:
        path: The file, or the model's folder.

    Raises:
        RecipeError: If it does not hold one.
    """
    file = path / "config.json" if path.is_dir() else path
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{file}: no such file; a model's folder holds a config.json") from None
    except json.JSONDecodeError as error:
        raise RecipeError(f"{file}:{error.lineno}: not a transformers config.json: {error.msg}") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise RecipeError(f"{file}:1: not a transformers config.json: {error}") from None
    if not isinstance(data, dict):
        raise RecipeError(f"{file}:1: not a transformers config.json: it holds no keys and values")
    return data
