"""Every command of docs/launching.md is one that its program takes, and `plan --launch` finds nothing wrong with it."""

import re
import shlex
from pathlib import Path

import pytest
from accelerate.commands.launch import launch_command_parser
from torch.distributed.run import get_args_parser

from dist_epochs.cli.main import main as dist_epochs
from dist_epochs.train.__main__ import main as train
from tests.tool_configs.conftest import report
from tests.tool_configs.launch.test_rules import TRAINABLE

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "launching.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"^```bash\n(.*?)^```", GUIDE, re.DOTALL | re.M) for line in block.splitlines()
]


def words_of(line):
    """The words of a command, without variables in front."""
    words = shlex.split(line, comments=True)
    return words[next(index for index, word in enumerate(words) if "=" not in word) :]


@pytest.mark.parametrize("line", COMMANDS)
def test_its_program_takes_it(line):
    program, *words = words_of(line)
    if program == "dist-epochs":
        name, *arguments = words
        command = dist_epochs.get_command(None, name)
        context = command.make_context(name, arguments)
        if name == "plan":
            assert (ROOT / context.params["launch_file"]).is_file()
        return
    if program == "sbatch":
        assert words[0].startswith("--time=")
        assert (ROOT / words[1]).is_file()
        return
    if program == "accelerate":
        parsed = launch_command_parser().parse_args(words[1:])
        assert (ROOT / parsed.config_file).is_file()
        rest = [parsed.training_script, *parsed.training_script_args]
    elif program == "torchrun":
        parsed = get_args_parser().parse_args(words)
        rest = [parsed.training_script, *parsed.training_script_args]
    else:
        assert (program, words[0]) == ("python", "-m")
        rest = words[1:]
    assert rest[0] == "dist_epochs.train"
    assert train.make_context("train", rest[1:]).params["recipe"] == Path("recipe.yaml")


@pytest.mark.parametrize("line", [line for line in COMMANDS if "dist_epochs.train" in line])
def test_nothing_is_wrong_with_it(tmp_path, line):
    words = words_of(line)
    settings = [words[index + 1] for index, word in enumerate(words) if word == "--set"]
    script = tmp_path / "run.sh"
    script.write_text(re.sub(r"launch/([\w-]+)\.yaml", rf"{ROOT}/launch/\1.yaml", line))
    made = report(script, [*TRAINABLE, *settings])
    assert [found for found in made.findings if not found.is_note] == []
    assert made.launch.file.processes is not None


def test_every_file_is_named():
    files = [path.name for path in (ROOT / "launch").iterdir() if path.suffix in (".yaml", ".sbatch")]
    assert [name for name in files if f"launch/{name}" not in GUIDE] == []
