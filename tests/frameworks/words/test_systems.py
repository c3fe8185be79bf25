import json

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.frameworks.words.systems import SYSTEMS, shown_by
from dist_epochs.frameworks.words.terms import TERMS, find_term


def shown(name, **run):
    (system,) = [system for system in SYSTEMS if system.name == name]
    return shown_by(system, **run)


def test_keras_counts_each_epoch_and_tensorflow_1_the_run():
    # the teacher's other example: 100 examples, batch 5, 30 epochs
    run = {"examples": 100, "epochs": 30, "batch_size": 5}
    assert (shown("Keras", **run).iterations, shown("TensorFlow 1", **run).iterations) == (20, 600)
    assert shown("Keras", **run).updates == shown("TensorFlow 1", **run).updates == 600


def test_2000_examples_in_batches_of_200():
    run = {"examples": 2000, "epochs": 50, "batch_size": 200}
    assert (shown("Keras", **run).iterations, shown("HF Trainer", **run).iterations) == (10, 500)


@pytest.mark.parametrize(
    ("name", "updates"), [("PyTorch", 2 * 514), ("HF Trainer", 2 * 514), ("TensorFlow 1", 1026), ("Megatron", 1026)]
)
def test_a_batch_that_does_not_divide(name, updates):
    # BERT's scripts: int(examples / batch × epochs); loaders: ceil(examples / batch) each epoch
    found = shown(name, examples=4107, epochs=2, batch_size=8)
    assert found.updates == updates
    assert found.mean == (2 if name in ("PyTorch", "HF Trainer") else pytest.approx(1026 * 8 / 4107))


def test_every_system_has_every_word():
    assert all(system.words.keys() == {term.word for term in TERMS} for system in SYSTEMS)
    for name in ("batch size", "batch_size", "Batch-Size", "batch"):
        assert find_term(name).name == "batch-size"
    assert find_term("walrus") is None


def call(*arguments, code=0):
    result = CliRunner().invoke(main, ["explain", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def test_explain_a_word():
    assert "With numbers: dist-epochs explain epoch" in call("epoch").stdout
    run = ["--examples", 100, "--epochs", 500, "--batch-size", 10]
    text = call("iteration", *run).stdout
    assert "5 times on average  ± 2.22        0.66%" in text
    data = json.loads(call("iteration", *run, "--json").stdout)
    assert [row["updates"] for row in data["methods"]] == [500, 500, 500, 500, 50_000, 5_000]
    assert {row["system"]: row["iterations"] for row in data["systems"]}["Keras"] == 10
    assert "methods" not in json.loads(call("iteration", "--json").stdout)


def test_two_numbers_are_not_enough():
    assert "try --batch-size too" in call("step", "--examples", 100, "--epochs", 5, code=2).stderr
    assert "counts steps" in call("step", "--examples", "5 steps", "--epochs", 5, "--batch-size", 1, code=2).stderr
