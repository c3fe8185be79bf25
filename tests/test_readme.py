"""What the README and the guides show is what the commands print.

`python tests/test_readme.py` writes into their console blocks what the commands print now.
"""

import os
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main

ROOT = Path(__file__).parent.parent
GUIDES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
README = GUIDES[0].read_text(encoding="utf-8")
BLOCK = re.compile(r"(?<=^```console\n)(.*?)(?=^```$)", re.DOTALL | re.MULTILINE)
CUT = "\n…\n"
"""How a block ends that shows only the beginning of what its last command prints."""


def commands(block):
    """Each command of a block, with the output shown below it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def printed(command, shown):
    """What a command prints, cut where the shown output is."""
    program, *arguments = shlex.split(command)
    assert program == "dist-epochs"
    output = CliRunner().invoke(main, arguments).output
    if shown.endswith(CUT):
        return "".join(output.splitlines(keepends=True)[: shown.count("\n") - 1]) + CUT[1:]
    return output


def blocks():
    for path in GUIDES:
        for block in BLOCK.findall(path.read_text(encoding="utf-8")):
            for command, shown in commands(block):
                yield pytest.param(command, shown, id=f"{path.name}-{command}")


@pytest.mark.parametrize(("command", "shown"), list(blocks()))
def test_console_blocks(command, shown, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert printed(command, shown) == shown


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([\w./-]+)\)|(?<=--config_file )([\w./-]+)", README))))
def test_files_it_names_are_there(path):
    name = path[0] or path[1]
    assert (ROOT / name).exists()


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(path):
    for name, heading in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", path.read_text(encoding="utf-8")):
        target = path.parent / name if name else path
        assert target.exists(), name
        assert not heading or heading in headings(target), f"{name}#{heading}"


def headings(path):
    """The headings of a guide, as links spell them."""
    lines = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE).splitlines()
    found = [line.lstrip("#").strip().lower() for line in lines if line.startswith("#")]
    return {re.sub(r"[^\w\s-]", "", heading).replace(" ", "-") for heading in found}


def write_console_blocks():
    os.chdir(ROOT)
    for path in GUIDES:
        text = BLOCK.sub(
            lambda block: "".join(f"$ {command}\n{printed(command, shown)}" for command, shown in commands(block[0])),
            path.read_text(encoding="utf-8"),
        )
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_console_blocks()
