"""Commands with many flags: their help in sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

__all__ = ["Sections", "SectionsCommand", "add_flags"]

Sections = Mapping[str, Mapping[str, tuple[str, str]]]
"""Flags by the title of their section, each with an example value and its meaning."""


class SectionsCommand(click.Command):
    """Shows the flags that `add_flags` gave it in their sections, and the other options after them."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.sections: Sections = {}

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections, then the rest."""
        named = {option.name: option for option in self.get_params(context) if isinstance(option, click.Option)}
        for title, section in self.sections.items():
            records = [named.pop(name.replace("-", "_")).get_help_record(context) for name in section]
            with formatter.section(title):
                formatter.write_dl([record for record in records if record])
        with formatter.section("Options"):
            rest = [option.get_help_record(context) for option in named.values()]
            formatter.write_dl([record for record in rest if record])


def add_flags(command: SectionsCommand, sections: Sections) -> None:
    """Give a command an option for each flag, after its argument; `--devices` may be spelled `--gpus`."""
    command.sections = sections
    flags = [flag for section in sections.values() for flag in section.items()]
    for name, (example, meaning) in reversed(flags):
        spellings = [f"--{name}", *(["--gpus"] if name == "devices" else []), name.replace("-", "_")]
        command.params.insert(1, click.Option(spellings, metavar=example, help=meaning))
