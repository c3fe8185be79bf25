"""Wrong commands and options end like all other errors."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main


def ask(*words):
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize(
    ("words", "asked", "fix"),
    [
        (["plna", "r.yaml"], "dist-epochs has no command 'plna'", "dist-epochs plan"),
        (["solve", "--iterations", "5"], "has no option --iterations", "--steps"),
        (["solve", "--per_device", "4"], "has no option --per_device", "--per-device"),
        (["solve", "--gradient_accumulation_steps", "4"], "has no option --gradient_accumulation_steps",
         "--gradient-accumulation"),
        (["explain", "iteration", "-examples", "100"], "has no option -examples", "--examples"),
        (["iteration"], "dist-epochs has no command 'iteration'", "dist-epochs explain iteration"),
        (["gpt3"], "dist-epochs has no command 'gpt3'", "dist-epochs audit gpt3"),
        (["100 steps of 8"], "dist-epochs has no command", "dist-epochs audit, and the text in quotes"),
        (["SOLVE"], "dist-epochs has no command 'SOLVE'", "dist-epochs solve"),
        (["solve", "–steps", "1M"], "–steps is no option", "--steps"),
        (["solve", "—-steps", "1M"], "—-steps is no option", "--steps"),
        (["solve", "--steps", "1M", "--batch", "8", "--steps=2M"], "--steps is given twice", "leaving one of them out"),
        (["ledger"], "dist-epochs ledger needs RUN", "dist-epochs ledger --help"),
        (["solve", "--steps"], "requires an argument", "dist-epochs solve --help"),
    ],
)  # fmt: skip
def test_what_was_typed_and_what_was_meant(words, asked, fix):
    result = ask(*words, "--json") if words != ["solve", "--steps"] else ask("solve", "--json", "--steps")
    assert result.exit_code == 2
    assert result.stdout == ""
    (error,) = json.loads(result.stderr)["errors"]
    assert asked in error["asked"]
    assert error["fixes"][0] == fix


@pytest.mark.parametrize(
    "words", [["audit", "We", "train", "for", "100", "steps"], ["solve", "--corpus", "3.3B", "words"]]
)
def test_what_holds_spaces_stands_in_quotes(words):
    (error,) = json.loads(ask(*words, "--json").stderr)["errors"]
    assert "stands in quotes" in error["rule"]


def test_options_with_several_values_may_be_repeated():
    words = ["plan", "--source", "a:1B tokens:1", "--source", "b:1B tokens:1", "--batch", "8x512", "--steps", "10"]
    assert ask(*words).exit_code == 0
    assert "are one option" in ask(*words, "--devices", "8", "--gpus", "8").stderr
    assert ask("plan", "bert-base", "--json", "--json").exit_code == 0


def test_a_topic_of_several_words_needs_no_quotes():
    assert ask("explain", "gradient", "accumulation").stdout == ask("explain", "gradient accumulation").stdout
    assert ask("explain", "mini", "batch").exit_code == 0


def test_an_unlikely_name_is_not_guessed():
    assert json.loads(ask("audit", "--version", "--json").stderr)["errors"][0]["fixes"] == ["dist-epochs audit --help"]


def test_without_a_command_there_is_help():
    result = ask()
    assert (result.exit_code, "Commands:" in result.stderr) == (2, True)
    assert ask("--help").exit_code == 0


def test_errors_are_text_without_json():
    assert ask("plna").stderr.splitlines() == [
        "error: dist-epochs has no command 'plna'",
        "  try dist-epochs plan",
        "  try dist-epochs --help",
    ]


def test_a_closed_pipe_is_quiet():
    command = [sys.executable, "-m", "dist_epochs", "explain"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
