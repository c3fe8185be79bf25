"""The page's HTML: its fields are made from the commands' own flags, with their examples and meanings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from string import Template

import click

__all__ = ["fields", "fill", "items", "json_block"]


PLAIN = 'autocomplete="off" autocapitalize="off" spellcheck="false"'
"""How a field is told that it takes no prose."""


def fill(template: str, parts: Mapping[str, str]) -> str:
    """A template with its `${parts}` filled in.

    Raises:
        KeyError: If one is missing.
    """
    return Template(template).substitute(parts)


def fields(command: click.Command, names: Iterable[str], prefix: str) -> str:
    """A labelled field for each named flag of a command.

    Args:
        command: The command.
        names: Flags without dashes.
        prefix: Of the fields' ids, which are `PREFIX-FLAG`.
    """
    options = {
        option.opts[0].removeprefix("--"): option for option in command.params if isinstance(option, click.Option)
    }
    return "\n".join(_field(options[name], name, f"{prefix}-{name}") for name in names)


def _field(option: click.Option, name: str, identifier: str) -> str:
    choices = option.metavar.split("|") if option.metavar and "|" in option.metavar else []
    example = (option.metavar or "").strip("'")
    label = f'<label for="{escape(identifier)}">{escape(name.replace("-", " "))}</label>'
    hint = f'<small id="{escape(identifier)}-hint">{escape(option.help or "")}</small>'
    common = f'id="{escape(identifier)}" data-flag="{escape(name)}" aria-describedby="{escape(identifier)}-hint"'
    if choices:
        field = f'<select {common}><option value=""></option>{items(choices)}</select>'
    else:
        field = f'<input {common} placeholder="{escape(example)}" {PLAIN}>'
    return f'<div class="field">{label}{field}{hint}</div>'


def items(names: Iterable[str]) -> str:
    """Options of a list."""
    return "".join(_items(names))


def _items(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield f'<option value="{escape(name)}">{escape(name)}</option>'


def json_block(identifier: str, data: object) -> str:
    """Data for the page's script, which nothing executes."""
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{escape(identifier)}">{text}</script>'
