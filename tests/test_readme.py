"""What the README and the guides show is what the commands print."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def shown():
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for block in re.findall(r"```console\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
            for command, _, output in (
                part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
            ):
                yield pytest.param(command, output, id=f"{path.name}-{command}")


@pytest.mark.parametrize(("command", "output"), list(shown()))
def test_console_blocks(command, output, monkeypatch):
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(command)
    assert program == "dist-epochs"
    assert CliRunner().invoke(main, arguments).output == output


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([\w./-]+)\)|(?<=--config_file )([\w./-]+)", README))))
def test_files_it_names_are_there(path):
    name = path[0] or path[1]
    assert (ROOT / name).exists()


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_files_that_the_guides_name_are_there(path):
    for name in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / name).exists(), name
