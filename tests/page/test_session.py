"""Commands as the page runs them, here without a browser."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.page.session import Session

SOLVE = ["solve", "--steps", "1M", "--batch", "256x512", "--corpus", "3.3B words"]


@pytest.fixture
def ask():
    session = Session(main)
    return lambda **request: json.loads(session.answer(json.dumps(request)))


def text_of(answer):
    return "".join(text for _, text in answer["parts"])


@pytest.mark.parametrize(
    "words",
    [
        [*SOLVE, "--tokens-per-word", "1"],
        SOLVE,
        ["solve", "--stepps", "3"],
        ["plan", "bert-base", "--devices", "8xH100"],
        ["plan", "bert-base", "--devices", "7"],
        ["audit", "bert"],
        ["audit", "100 steps of 10 samples, 3 epochs over 500 samples"],
        ["explain", "iteration", "--examples", "20", "--epochs", "3"],
        ["explain", "itertion"],
        ["--version"],
        ["--help"],
        [],
    ],
    ids=" ".join,
)
def test_the_text_is_the_shells(ask, words):
    answer = ask(words=words)
    shell = CliRunner().invoke(main, words, prog_name="dist-epochs")
    assert (text_of(answer), answer["code"]) == (shell.output, shell.exit_code)


@pytest.mark.parametrize(
    "line",
    [
        "dist-epochs solve --corpus '100 examples' --batch 5 --epochs 30",
        "$ dist-epochs solve --corpus '100 examples' --batch 5 --epochs 30",
        '  solve --corpus "100 examples" --batch 5 --epochs 30 ',
    ],
)
def test_a_line_may_have_the_program_and_a_prompt(ask, line):
    answer = ask(line=line)
    assert answer["line"] == "dist-epochs solve --corpus '100 examples' --batch 5 --epochs 30"
    assert text_of(answer).endswith("steps: 600\n")


@pytest.mark.parametrize("line", ["solve --steps 1 | head", "solve > file", "solve && audit", "audit 'a", "solve; ls"])
def test_what_needs_a_shell_is_refused(ask, line):
    answer = ask(line=line)
    assert answer["code"] == 2
    assert [stream for stream, _ in answer["parts"]] == ["err"]


def test_signs_of_a_shell_in_quotes_are_text(ask):
    answer = ask(line="audit '100 steps of 10 samples; 1000 samples (all of them) & more > 10'")
    assert answer["code"] == 0


@pytest.mark.parametrize("command", ["tokenize", "ledger", "compare", "page"])
def test_commands_on_files_are_refused_with_those_that_run(ask, command):
    answer = ask(words=[command, "x"])
    assert answer["code"] == 2
    assert "solve, plan, audit and explain run here" in text_of(answer)
    assert f"dist-epochs {command} x" in text_of(answer)


def test_a_first_recipe_is_shown(ask):
    answer = ask(line="init '4.1B tokens' --devices 8xH100", view=True)
    assert (answer["code"], answer["view"]) == (0, None)
    assert "devices: 8\n" in answer["files"]["recipe.yaml"]


def test_a_recipe_of_the_request_is_a_file_for_the_command_alone(ask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = (
        "corpus: {tokens: 1B}\nbatch: {global_batch: 8}\nphases: [{steps: 10, sequence_length: 128}]\nnonsense: 1\n"
    )
    answer = ask(words=["plan", "recipe.yaml"], files={"recipe.yaml": recipe}, view=True)
    assert "error: recipe.yaml:4: " in text_of(answer)
    assert (str(Path.cwd()), list(tmp_path.iterdir())) == (str(tmp_path), [])


def test_further_flags_are_split_as_in_a_shell(ask):
    answer = ask(words=["plan", "bert-base"], more="--devices 8xH100 --set 'name=my run'")
    assert answer["line"] == "dist-epochs plan bert-base --devices 8xH100 --set 'name=my run'"
    assert text_of(answer).startswith("my run")


def test_files_that_a_command_writes_come_back(ask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sentence = "100K steps of 0.5M tokens each, 50B tokens in all"
    answer = ask(words=["audit", sentence, "--write", "claim.yaml"])
    assert "tokens_per_batch" in answer["files"]["claim.yaml"]
    assert list(tmp_path.iterdir()) == []


def test_nothing_can_be_read_from_the_page(ask):
    assert ask(words=["audit", "-"])["code"] == 2


def test_a_defect_is_told_as_python_tells_it(monkeypatch):
    def broken(*_):
        raise RuntimeError("a defect")

    monkeypatch.setattr(main, "main", broken)
    answer = json.loads(Session(main).answer(json.dumps({"line": "solve"})))
    assert answer["code"] == 1
    assert "RuntimeError: a defect" in text_of(answer)


def test_the_unknown_is_told_apart(ask):
    view = ask(words=[*SOLVE, "--tokens-per-word", "1"], view=True)["view"]
    assert (view["unknown"], view["value"], view["answer"]) == ("epochs", "39.7188", "epochs: 39.7188")
    assert ask(words=SOLVE, view=True)["view"] is None


def test_four_numbers_agree_or_not(ask):
    words = ["solve", "--steps", "10", "--batch", "10", "--corpus", "100 samples", "--epochs"]
    assert ask(words=[*words, "1"], view=True)["view"]["tone"] == "good"
    answer = ask(words=[*words, "2"], view=True)
    assert (answer["view"]["tone"], answer["code"]) == ("poor", 1)


def test_a_plan_has_tiles_of_its_numbers(ask):
    tiles = ask(words=["plan", "bert-base", "--devices", "8xH100", "--price", "2.5"], view=True)["view"]["tiles"]
    shown = {label: (value, remark) for label, value, remark in tiles}
    assert shown["steps"] == ("1,000,000", "of 256 samples")
    assert shown["epochs"] == ("10.33", "estimated: not counted yet")
    assert shown["time"][0] == "2.26–3.39 h"
    assert shown["price"][0] == "45.2–67.9"


def test_plans_side_by_side_have_their_text_alone(ask):
    answer = ask(words=["plan", "bert-base", "gpt2-small"], view=True)
    assert (answer["code"], answer["view"]) == (0, {})


def test_a_sentence_is_marked_with_its_roles(ask):
    text = "Trained 🚀 for 1M steps of 256 sequences of 512 tokens each, about 40 epochs over 3.3 billion words."
    view = ask(words=["audit", text], view=True)["view"]
    assert view["answer"] == "Consistent only if every step has length 512 and a word is one token"
    assert "".join(piece for piece, _ in view["sentence"]) == text
    marked = {role: piece for piece, role in view["sentence"] if role}
    assert marked == {
        "steps": "1M steps",
        "global batch": "256 sequences",
        "sequence length": "512 tokens",
        "epochs": "about 40 epochs",
        "corpus": "3.3 billion words",
    }


def test_iterations_of_twenty_samples_in_three_passes(ask):
    drawn = ask(line="explain iteration --examples 20 --epochs 3 --batch-size 6", view=True)["view"]["passes"]
    assert [(each["iterations"], len(each["passes"])) for each in drawn] == [(3, 3), (60, 3), (12, 3)]
    for method in drawn:
        numbers = [iteration["number"] for one in method["passes"] for iteration in one]
        assert numbers == list(range(1, method["iterations"] + 1))
        for one in method["passes"]:
            samples = [sample for iteration in one for sample in iteration["samples"]]
            assert sorted(samples) == list(range(1, 21))
    assert [len(iteration["samples"]) for iteration in drawn[2]["passes"][0]] == [6, 6, 6, 2]


def test_too_much_to_draw_is_not_drawn(ask):
    assert ask(line="explain iteration --examples 100 --epochs 500", view=True)["view"]["passes"] == []


def test_control_characters_are_written_out(ask):
    answer = ask(words=["solve", "--steps", "\x1b[2J"])
    assert "\x1b" not in text_of(answer)
