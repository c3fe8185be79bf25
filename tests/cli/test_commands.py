"""The commands as a user calls them."""

import json
import resource
import subprocess
import sys
from fractions import Fraction

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main


def call(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def ask(*arguments, code=0):
    return json.loads(call(*arguments, "--json", code=code).stdout)


SOLVE = ["solve", "--steps", "1M", "--corpus", "3.3B words"]


def test_solve_bert():
    answer = ask(*SOLVE, "--batch", "256x512", "--tokens-per-word", "1")
    assert (answer["unknown"], answer["unit"], answer["exact"]) == ("epochs", "epoch", "32768/825")
    assert answer["value"] == pytest.approx(39.71878787)
    assert answer["low"] < answer["value"] < answer["high"]
    assert (answer["agreement"], answer["ratio"]) == (None, None)
    assert ask(*SOLVE, "--batch", "128000 tokens", "--tokens-per-word", "1")["value"] == pytest.approx(38.78787878)


def test_solve_checks_and_its_exit_code():
    answer = ask(*SOLVE, "--batch", "256x512", "--tokens-per-word", "1", "--epochs", "40")
    assert (answer["unknown"], answer["value"], answer["agreement"]) == (None, None, "rounds")
    assert answer["ratio"] == pytest.approx(float(Fraction(131072, 132000)))
    wrong = ask(*SOLVE, "--batch", "256x128", "--tokens-per-word", "1", "--epochs", "40", code=1)
    assert wrong["agreement"] == "contradicts"


def test_solve_explains_what_is_missing():
    result = call(*SOLVE, "--batch", "256x512", code=2)
    assert result.stdout == ""
    assert "39.7188" in result.stderr
    assert "32.0313" in result.stderr
    assert "counts words\n  it must count steps" in call("solve", "--steps", "1M words", code=2).stderr


def test_solve_multiplies_what_is_for_one_step_or_epoch():
    arguments = ["solve", "--steps", "500 steps per epoch", "--epochs", 3, "--corpus", "1000 samples"]
    assert (ask(*arguments)["unknown"], ask(*arguments)["value"]) == ("global_batch", 2)
    assert "steps = 500 steps per epoch × 3 = 1,500 steps" in call(*arguments).stdout
    tokens = ["solve", "--tokens", "4M tokens per step", "--corpus", "1B tokens"]
    assert ask(*tokens, "--steps", 500)["value"] == 2
    assert "try giving --steps too" in call(*tokens, code=2).stderr
    assert "try giving --epochs too" in call(*arguments[:3], "--corpus", "9 samples", "--batch", 3, code=2).stderr


def test_solve_refuses_products_for_one_number():
    arguments = ["solve", "--steps", "1000", "--corpus", "256000 samples"]
    assert "131,072 is no number of samples" in call(*arguments, "--global-batch", "256x512", code=2).stderr
    assert ask(*arguments, "--global-batch", "256 samples per step")["value"] == 1
    assert "32,720 is no number of devices" in call(*arguments, "--devices", "8x4090", code=2).stderr


def test_solve_as_text():
    text = call(*SOLVE, "--batch", "256x512", "--tokens-per-word", "1").stdout
    assert "epochs: 39.7188\n  exactly 32768/825" in text


def test_tokenize_and_plan(tmp_path, text_file, write_recipe):
    arguments = ["tokenize", text_file, "--tokenizer", "embedded", "--sequence-length", "16,32"]
    counts = ask(*arguments, "--out", tmp_path / "store")
    assert counts == ask(*arguments, "--count-only")
    assert counts.keys() >= {
        "documents", "words", "bytes", "tokens", "tokens_per_word", "samples", "sources", "fingerprint",
    }  # fmt: skip
    assert counts["tokens_per_word"] == counts["tokens"] / counts["words"]
    plan = ask("plan", write_recipe(tmp_path / "store"))
    assert plan["tokens"] > plan["loss_tokens"] > 0
    assert plan["epochs"]["samples"] == pytest.approx(72 / counts["samples"]["16"] + 36 / counts["samples"]["32"])
    more = ask("tokenize", tmp_path / "store", "--sequence-length", "24")
    assert more["samples"].keys() == {"16", "24", "32"}
    assert "samples of 24" in call("tokenize", tmp_path / "store", "--sequence-length", "24").stdout


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["a.txt"], "try --tokenizer FILE"),
        (["a.txt", "--tokenizer", "embedded"], "try --out STORE"),
        (["a.txt", "--tokenizer", "embedded", "--count-only", "--out", "x"], "try --out STORE"),
        (["b.txt", "--tokenizer", "embedded", "--count-only"], "b.txt: no such file"),
        (["a.txt", "--tokenizer", "c.json", "--count-only"], "no such tokenizer file"),
        (["a.txt", "--tokenizer", "embedded", "--count-only", "--held-out", "100%"], "is not below 100%"),
        (["a.txt", "--tokenizer", "embedded", "--count-only", "--held-out", "some"],
         "--held-out 'some' is not a number"),
        (["a.txt", "--tokenizer", "embedded", "--count-only", "--sequence-length", "1"], "must be at least 2"),
        (["a.txt", "--tokenizer", "embedded", "--count-only", "--sequence-length", "12 words"],
         "it must count positions"),
        (["empty.txt", "--tokenizer", "embedded", "--out", "store"], "nothing to train on"),
        (["broken.jsonl", "--tokenizer", "embedded", "--out", "store"], "broken.jsonl:2: broken JSON"),
        (["latin.txt", "--tokenizer", "embedded", "--out", "store"], "latin.txt:1: not UTF-8"),
    ],
)  # fmt: skip
def test_tokenize_says_what_is_wrong_and_leaves_nothing(tmp_path, monkeypatch, arguments, part):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("words\n")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "broken.jsonl").write_text('{"text": "a"}\n{\n')
    (tmp_path / "latin.txt").write_bytes(b"\xe9t\xe9\n")
    before = sorted(tmp_path.iterdir())
    result = call("tokenize", *arguments, code=2)
    assert part in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


def test_a_full_disk_leaves_nothing(tmp_path, text_file):
    """RLIMIT_FSIZE makes the kernel refuse to let a file grow, as a full disk does."""
    code = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nfrom dist_epochs.cli.main import main; main()"
    arguments = ["tokenize", str(text_file), "--tokenizer", "embedded", "--out", str(tmp_path / "store")]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )  # fmt: skip
    assert result.returncode == 2
    assert "File too large" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_plan_says_what_is_wrong(tmp_path, write_recipe, store):
    assert "no such file" in call("plan", tmp_path / "none.yaml", code=2).stderr
    assert "try bert-base, which comes with the package" in call("plan", "bert-base.yaml", code=2).stderr
    for place, fix in {
        tmp_path / "none" / "x.html": f"try mkdir -p {tmp_path}/none",
        tmp_path: "this is a folder",
    }.items():
        assert fix in call("audit", "bert", "--html", place, code=2).stderr
    wrong = call("plan", write_recipe(store.path), "--set", "batch.per_devcie=4", code=2)
    assert "did you mean 'per_device'?" in wrong.stderr
    batch = {"global_batch": 64, "devices": 6, "per_device": 4}
    wrong = call("plan", write_recipe(store.path, batch=batch), code=2).stderr
    assert "48 (accumulate 2)" in wrong
    assert "72 (accumulate 3)" in wrong


def test_ledger_says_what_is_wrong(tmp_path):
    assert "no ledger there" in call("ledger", tmp_path, code=2).stderr


def test_unknown_commands_are_corrected():
    assert "sovle" in call("sovle", code=2).stderr


def test_solve_takes_a_whole_number_of_epochs_as_exact():
    found = call("solve", "--steps", 15000, "--batch", "256x2048", "--epochs", 1)
    assert found.stdout.endswith("corpus: 7,864,320,000 tokens\n")
    exact = json.loads(call("solve", "--steps", 15000, "--batch", "256x2048", "--epochs", 1, "--json").stdout)
    assert exact["low"] == exact["high"] == exact["value"] == 7_864_320_000
    assert "from the digits" in call("solve", "--steps", 15000, "--batch", "256x2048", "--epochs", "~3").stdout


def test_solve_without_a_unit_counts_samples():
    answer = ask("solve", "--corpus", 2000, "--batch", 200, "--epochs", 1)
    assert (answer["unknown"], answer["value"]) == ("steps", 10)
    assert "so samples" in answer["derivation"][0]


@pytest.mark.parametrize(
    "factors",
    [
        ["--global-batch", 48, "--devices", 6, "--per-device", 4, "--gradient-accumulation", 3],
        ["--batch", "256x512", "--sequence-length", 128, "--steps", 1],
        ["--steps", "1m", "--batch", "256X512", "--corpus", "3.3b tokens", "--tokens", "100b"],
        ["--steps", 10, "--batch", 8, "--corpus", 100, "--epochs", 3],
    ],
)
def test_solve_with_contradicting_factors_ends_with_1(factors):
    answer = ask("solve", *factors, code=1)
    assert (answer["unknown"], answer["value"], answer["agreement"]) == (None, None, "contradicts")
    assert call("solve", *factors, code=1).stdout.splitlines()[-1].startswith("the numbers contradict each other")


def test_solve_with_too_little_says_what_to_add():
    for arguments in ([], ["--steps", 3]):
        assert "try three of --steps" in call("solve", *arguments, code=2).stderr
    parts = ["--steps", 100, "--per-device", 32, "--devices", 8, "--corpus", "1M samples"]
    assert "try --gradient-accumulation too, for the batch: 1" in call("solve", *parts, code=2).stderr
    assert call("solve", *parts, "--gradient-accumulation", 1).exit_code == 0
