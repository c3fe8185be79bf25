"""Recipes and model configurations that cannot be used: refused with their line, quickly, and with little memory."""

import json

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main

STEPS = ["plan", "--batch", "8x64", "--steps", "5"]


def refused(*words, code=2):
    result = CliRunner().invoke(main, [*map(str, words), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stderr)["errors"][0]


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ('{"model_type": "bert", "hidden_size": ' + "9" * 5000 + "}", "asked", "not a transformers config.json"),
        ('{"model_type": "modernbert", "num_hidden_layers": 1' + "0" * 40 + "}", "rule", "at most 100,000"),
        ('{"model_type": "llama", "num_hidden_layers": 100001}', "rule", "at most 100,000"),
        ('{"model_type": "bert", "intermediate_size": 1' + "0" * 40 + "}", "rule", "at most 1,000,000,000"),
        ('{"model_type": "bert", "hidden_size": 1e400}', "asked", "must be a whole number"),
        ('{"model_type": []}', "asked", "model_type must be text"),
        ('{"model_type": {"a": 1}}', "asked", "model_type must be text"),
        ('{"model_type": 3}', "asked", "model_type must be text"),
        ('{"model_type": "bert", "a": ' + "[" * 60 + "]" * 60 + "}", "rule", "nested too deeply"),
        ("[" * 100_000, "rule", "nested too deeply"),
        ("[]", "asked", "it must be keys and values"),
        ('{"model_type": "bert", "hidden_size": "\ud800"}', "asked", "UTF-8"),
        ('{"model_type": "bert", "hidden_size": "\\ud800"}', "asked", "must be a whole number"),
        (" " * 4_000_001, "asked", "more than 4 MB"),
    ],
    ids=lambda text: text[:40],
)
def test_a_model_configuration(tmp_path, text, field, message):
    path = tmp_path / "config.json"
    path.write_text(text, errors="surrogatepass")
    error = refused(*STEPS, "--model", path)
    assert message in error[field]
    assert error["place"].startswith(str(path))


@pytest.mark.parametrize("name", [r"a\0b", r"\ud800"])
@pytest.mark.parametrize("key", ["corpus: {store", "model: {config"])
def test_names_that_no_file_has(tmp_path, key, name):
    path = tmp_path / "r.yaml"
    path.write_text(f'batch: {{global_batch: 8}}\nphases: [{{steps: 3, sequence_length: 64}}]\n{key}: "{name}"}}\n')
    assert "is not a name of a file" in refused("plan", path)["asked"]
    assert refused("plan", path)["place"] == f"{path}:3"


def test_what_does_not_end(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("batch: {global_batch: 8}\nphases: [{steps: 5, sequence_length: 64}]\nmodel: {config: /dev/zero}\n")
    assert refused("plan", path)["place"] == "/dev/zero"
    for words in (["plan"], ["audit"], ["ledger"], ["plan", "--from"]):
        assert refused(*words, "/dev/zero")["place"] == "/dev/zero"
    huge = tmp_path / "huge.yaml"
    with huge.open("wb") as file:
        file.truncate(3 << 30)  # takes no space
    for words in (["plan"], ["audit"], ["plan", "--from"], [*STEPS, "--model"], [*STEPS, "--launch"]):
        assert refused(*words, huge)["place"].startswith(str(huge))


def test_aliases_that_would_fill_the_memory(tmp_path):
    levels = ["title: x", "a0: &a0 [x, x]"]
    levels += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 30)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(levels))
    for command in (["plan"], ["audit"], ["plan", "--from"]):
        assert refused(*command, path)["place"] == f"{path}:7"


def test_a_number_that_no_float_holds(tmp_path):
    path = tmp_path / "ta.json"
    for value in ("1e345", "-1e345", "1e-345", "9" * 99, "1e400"):
        path.write_text(f'{{"per_device_train_batch_size": 8, "accelerator_config": {value}}}')
        error = refused("plan", "--from", path, "--corpus", "91 samples", "--epochs", "1")
        assert (error["place"], "accelerator_config" in error["asked"]) == (f"{path}:1", True)
