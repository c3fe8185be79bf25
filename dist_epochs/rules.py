"""Every named rule and the page that explains it: the name is the function's, the page its docstring."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

__all__ = ["PAGES", "rule", "rule_name"]

Rule = TypeVar("Rule", bound=Callable[..., Any])

_pages: dict[str, str] = {}

PAGES: Mapping[str, str] = MappingProxyType(_pages)
"""The page of each rule by its name, of the modules that were imported so far."""


def rule(function: Rule) -> Rule:
    """Register a function as a rule, whose docstring is the page that `dist-epochs explain` shows.

    A rule that looks for the same thing elsewhere (in a plan, and in a loop under way) has the same name and is not
    registered: a name has one page.

    Raises:
        TypeError: If the name has a page already, or the function has no docstring.

    Examples:
        >>> @rule
        ... def example_of_a_rule(): "What it is about."
        >>> PAGES["example-of-a-rule"]
        'What it is about.'
    """
    name, page = rule_name(function), inspect.getdoc(function)
    if not page:
        raise TypeError(f"the rule {name} has no page: write a docstring")
    if name in _pages:
        raise TypeError(f"the rule {name} has a page already, and this is a second one")
    _pages[name] = page
    return function


def rule_name(function: Callable[..., Any]) -> str:
    """The name of a rule, as `dist-epochs explain` knows it.

    Examples:
        >>> def words_as_tokens(): ...
        >>> rule_name(words_as_tokens)
        'words-as-tokens'
    """
    return function.__name__.replace("_", "-")
