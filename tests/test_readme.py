"""What the README shows is what the commands print."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def shown():
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for command, _, output in (part.partition("\n") for part in block.split("$ ")[1:]):
            yield pytest.param(command, output, id=command)


@pytest.mark.parametrize(("command", "output"), list(shown()))
def test_console_blocks(command, output):
    program, *arguments = shlex.split(command)
    assert program == "dist-epochs"
    assert CliRunner().invoke(main, arguments).output == output


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([\w./-]+)\)|(?<=--config_file )([\w./-]+)", README))))
def test_files_it_names_are_there(path):
    name = path[0] or path[1]
    assert (Path(__file__).parent.parent / name).exists()
