"""Keys and values back as YAML that reads back as the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from dist_epochs.settings.scalars import recipe_scalar

__all__ = ["yaml_text"]


def yaml_text(data: Mapping[str, Any]) -> str:
    r"""Keys and values as the YAML of a recipe, in their order.

    Examples:
        >>> yaml_text({"seed": 1, "words": "1"})
        'seed: 1\nwords: "1"\n'
    """
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Quotes text that our reader would take for a number."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    is_text = isinstance(recipe_scalar(text), str)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_text else '"')


_Dumper.add_representer(str, _text)
