"""Rules by name: a rule is a function, its name is the function's, and its docstring the page that explains it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["pages", "rule_name"]


def rule_name(rule: Callable[..., Any]) -> str:
    """As `dist-epochs explain` knows it.

    Examples:
        >>> def words_as_tokens(): ...
        >>> rule_name(words_as_tokens)
        'words-as-tokens'
    """
    return rule.__name__.replace("_", "-")


def pages(rules: Iterable[Callable[..., Any]]) -> dict[str, str]:
    """The page of each rule, by its name."""
    return {rule_name(rule): inspect.getdoc(rule) or "" for rule in rules}
