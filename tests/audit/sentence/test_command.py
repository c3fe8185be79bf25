"""`dist-epochs audit` of a sentence, of flags alone, of text files and of the table of a mixture."""

import json
import sys
import types
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from dist_epochs.cli.main import main

BERT = (
    "We train with batch size of 256 sequences (256 sequences * 512 tokens = 128,000 tokens/batch) for 1,000,000 "
    "steps, which is approximately 40 epochs over the 3.3 billion word corpus."
)
CONDITION = "every step has length 512 and a word is one token"


def call(*arguments, code=0, text=None):
    result = CliRunner().invoke(main, ["audit", *arguments], input=text)
    assert result.exit_code == code, result.output
    return result


def ask(*arguments, code=0, text=None):
    return json.loads(call(*arguments, "--json", code=code, text=text).stdout)


def asked(*arguments, text=None):
    return json.loads(call(*arguments, "--json", code=2, text=text).stderr)["errors"][0]


def test_a_sentence_with_its_roles_and_the_verdict():
    output = call(BERT).stdout
    lines = output.splitlines()
    assert lines[0] == f"CONSISTENT ONLY IF {CONDITION}."
    first, roles = lines[3:5]
    assert first.index("batch size of 256") == roles.index("global batch")
    assert first.index("512 tokens") == roles.index("sequence length")
    assert "256 × 512 is 131,072, not 128,000." in output


def test_facts_as_json():
    found = ask(BERT)
    assert [fact["role"] for fact in found["facts"]] == [
        "global_batch", "global_batch", "sequence_length", "batch_tokens", "steps", "epochs", "corpus",
    ]  # fmt: skip
    corpus = found["facts"][-1]
    assert corpus == {
        "role": "corpus", "value": 3300000000, "unit": "words", "text": "3.3 billion word corpus", "span": [157, 180],
    }  # fmt: skip
    assert (found["verdict"], found["only_if"], found["unused"]) == ("consistent-only-if", CONDITION, [])


def test_a_range_has_two_values():
    facts = ask("Training stopped after 3-5 epochs at batch size 64.")["facts"]
    assert facts[0]["value"] == [3, 5]


def test_numbers_that_are_not_used_are_listed():
    output = call("We train for 500K steps at batch size 256 with a learning rate of 6e-4.").stdout
    assert "Not used: 6e-4 (learning rate)." in output
    assert "UNDERDETERMINED: nothing that follows from its numbers is stated" in output
    assert "would make it checkable" in " ".join(output.split())


def test_exit_code_of_what_does_not_add_up():
    found = ask("We train for 100K steps with 0.5M tokens per step, 95B tokens in all.", code=1)
    assert found["verdict"] == "inconsistent"


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_text_files(tmp_path, name):
    (tmp_path / name).write_text(BERT, encoding="utf-8")
    assert ask(str(tmp_path / name))["only_if"] == CONDITION


def test_standard_input():
    assert ask("-", text=BERT)["only_if"] == CONDITION


def test_flags_alone_are_the_same_audit():
    found = ask("--steps", "1M", "--batch", "256x512", "--corpus", "3.3B words", "--epochs", "~40")
    assert (found["verdict"], found["only_if"]) == ("consistent-only-if", CONDITION)
    assert {fact["role"] for fact in found["facts"]} == {"steps", "global_batch", "sequence_length", "corpus", "epochs"}


def test_flags_that_contradict():
    found = ask("--steps", "1M", "--batch", "4M tokens", "--tokens", "40T", code=1)
    assert found["verdict"] == "inconsistent"


@pytest.mark.parametrize(
    ("flags", "wrong"),
    [
        (["--steps", "many"], "steps 'many' is not a number"),
        (["--corpus", "13B", "--epochs", "2"], "corpus '13B' does not say what it counts"),
        (["--steps", "10", "--precision", "bf16"], "--precision: a claim without a run has no use for it"),
        (["--devices", "some"], "devices 'some' are no number"),
    ],
)
def test_wrong_flags(flags, wrong):
    assert asked(*flags)["asked"] == wrong


@pytest.mark.parametrize(
    "text", [BERT, "We make 1430k steps of 2M tokens, about 2.9 trillion tokens; data of ~950B tokens."]
)
def test_what_was_understood_is_saved_and_reads_back(tmp_path, text):
    path = tmp_path / "claim.yaml"
    verdict = ask(text, "--write", str(path))["verdict"]
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["facts"]
    again = ask(str(path))
    assert again["verdict"] == verdict
    assert asked(text, "--write", str(path))["asked"] == "a file of this name is there, and is not replaced"


def test_what_does_not_go_together():
    assert (
        asked("We make 10 steps of 2 samples", "--steps", "9")["asked"] == "--steps: a sentence states its own numbers"
    )
    run = str(Path(__file__).parents[1] / "readers" / "logs" / "trainer_state.json")
    assert asked(run, "--batch", "32")["fixes"] == ["--global-batch, in samples", "--per-device"]
    assert "--table and bert, --epochs are given" in asked("bert", "--table", "m.csv", "--epochs", "2")["asked"]


def test_nothing_to_save(tmp_path):
    assert (
        asked("A text without numbers of anything", "--write", str(tmp_path / "c.yaml"))["asked"]
        == "there is no claim to write"
    )
    assert asked("bert", "--write", str(tmp_path / "c.yaml"))["asked"].startswith("--write saves the claim")


MIXTURE = """Source,Share,Size,Epochs
Web,80%,"1,000B tokens",0.80
Code,15%,100B tokens,1.50
Books,5%,20B tokens,{}
"""


@pytest.mark.parametrize(("epochs", "code", "verdict"), [("2.5", 0, "consistent"), ("4.0", 1, "inconsistent")])
def test_the_table_of_a_mixture(tmp_path, epochs, code, verdict):
    (tmp_path / "m.csv").write_text(MIXTURE.format(epochs))
    found = ask("--table", str(tmp_path / "m.csv"), "--tokens", "1.0T", code=code)
    assert found["verdict"] == verdict
    assert "sum of the shares" in [check["name"] for check in found["readings"][0]["checks"]]


def test_a_table_in_markdown_with_its_total(tmp_path):
    (tmp_path / "m.md").write_text(
        "| Dataset | Tokens (B) | Sampling proportion (%) |\n|---|---|---|\n"
        "| a | 60 | 70 |\n| b | 40 | 20 |\n| **Total** | 100 | 100 |\n"
    )
    found = ask("--table", str(tmp_path / "m.md"), code=1)
    checks = {check["name"]: check["agreement"] for check in found["readings"][0]["checks"]}
    assert checks == {"sum of the shares": "contradicts", "sum of the sizes": "exact"}


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "Source,Size\nweb,3B tokens\n", "Source,Share\nweb,lots\n"])
def test_tables_that_cannot_be_read(tmp_path, text):
    (tmp_path / "m.csv").write_text(text)
    call("--table", str(tmp_path / "m.csv"), code=2)


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_empty_text(text):
    assert asked(text)["asked"] == "the text is empty"
    assert asked("-", text=text)["asked"] == "the text is empty"


def test_more_text_than_a_budget_has(tmp_path):
    (tmp_path / "a.txt").write_text("We train for 100 steps. " * 420_000)
    assert "more than 4 MB" in asked(str(tmp_path / "a.txt"))["asked"]
    assert "at most 200,000 are read" in asked("-", text="10 steps " * 40_000)["rule"]


def test_control_characters_are_shown_and_never_sent():
    output = call("We \x1b[2J train for 100K steps\u202e with batch size 256, 25.6M samples in total.").stdout
    assert "\x1b" not in output
    assert "CONSISTENT as printed" in output


def test_a_text_without_a_claim():
    found = ask("Table 3 in the report of 2019 lists 24 chairs, 16 desks and 3 lamps.")
    assert (found["verdict"], found["facts"]) == ("underdetermined", [])
    assert found["missing"].startswith("the text states no checkable claim")


def test_two_runs_are_told_apart_or_not_compared():
    small = "The small model makes 100K steps of 1M tokens, 100B tokens in all"
    told = f"{small}; the large one 50K steps of 4M tokens, 200B tokens in all."
    assert ask(told)["verdict"] == "consistent"
    untold = "We use batch sizes of 256 and 512, 10K and 20K steps, and 2.56M samples."
    assert ask(untold)["verdict"] in ("underdetermined", "consistent")


def test_a_batch_that_is_doubled():
    text = "Training starts with a batch size of 1M tokens; after 10K steps it is doubled, to {}."
    assert ask(text.format("2M"))["verdict"] == "consistent"
    assert ask(text.format("4M"), code=1)["verdict"] == "inconsistent"


def pdf_of(*pages):
    """A package of the name of pypdf whose files have these pages."""
    made = [types.SimpleNamespace(extract_text=lambda page=page: page) for page in pages]
    return types.SimpleNamespace(PdfReader=lambda _: types.SimpleNamespace(pages=made))


def test_a_pdf(tmp_path, monkeypatch):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    monkeypatch.setitem(
        sys.modules, "pypdf", pdf_of("A title", BERT.replace("sequences", "se-\nquences").replace(" 40", "\n40"))
    )
    assert ask(str(tmp_path / "a.pdf"))["only_if"] == CONDITION


def test_a_scanned_pdf_a_damaged_one_and_none(tmp_path, monkeypatch):
    path = tmp_path / "a.pdf"
    assert asked(str(path))["asked"] == "no such file"
    path.write_bytes(b"%PDF-1.7")
    monkeypatch.setitem(sys.modules, "pypdf", pdf_of("", " "))
    assert asked(str(path))["asked"] == "the PDF has no text: its pages are pictures"
    monkeypatch.setitem(sys.modules, "pypdf", types.SimpleNamespace())
    assert asked(str(path))["asked"] == "the PDF cannot be read"
    monkeypatch.setitem(sys.modules, "pypdf", None)
    assert asked(str(path))["asked"] == "a PDF is read with pypdf, which is not installed"


def test_code_in_markdown_is_no_prose(tmp_path):
    text = "We train for 1,000 steps.\n\n```console\n$ plan: 99 steps of 3 samples, 500 samples in all\n```\n\nEach step has 20 samples, 20,000 samples in all.\n"  # noqa: E501
    path = tmp_path / "report.md"
    path.write_text(text)
    found = CliRunner().invoke(main, ["audit", str(path), "--json"])
    assert found.exit_code == 0, found.output
    data = json.loads(found.stdout)
    assert data["verdict"] == "consistent"
    assert "1 block of code in it: not read" in data["notes"]
    assert all(text[slice(*fact["span"])] == fact["text"] for fact in data["facts"])
    path.with_suffix(".txt").write_text(text.replace("```", ""))
    assert CliRunner().invoke(main, ["audit", str(path.with_suffix(".txt"))]).exit_code == 1
