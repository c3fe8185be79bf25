"""Every command of this package in the README and the guides has the options that it is shown with."""

import re
import shlex
from pathlib import Path

import click
import pytest

from dist_epochs.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(?:bash|text|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


def commands():
    for path in PAGES:
        for block in BLOCK.findall(path.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                command = line.removeprefix("$ ")
                if command.startswith("dist-epochs ") and command.split()[1] in COMMANDS:
                    yield pytest.param(command, id=f"{path.name}-{command}")


@pytest.mark.parametrize("command", list(commands()))
def test_options(command):
    _, name, *words = shlex.split(command.split(" | ")[0], comments=True)
    if words == ["…"]:
        return
    parsed = main.get_command(click.Context(main), name).make_context(name, words)
    assert parsed.command is not None
