import json

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.frameworks.words.methods import count_updates
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
    assert "5 ± 2.22 times        0.66%" in call("iteration", *run).stdout
    data = json.loads(call("iteration", *run, "--json").stdout)
    assert [row["updates"] for row in data["methods"]] == [500, 500, 500, 500, 50_000, 5_000]
    assert {row["system"]: row["iterations"] for row in data["systems"]}["Keras"] == 10
    assert "methods" not in json.loads(call("iteration", "--json").stdout)


def test_iterations_without_a_mini_batch():
    data = json.loads(call("iteration", "--examples", 100, "--epochs", 500, "--json").stdout)
    assert data["given"] == {"examples": 100, "epochs": 500, "batch_size": 10, "batch_size_is_an_example": True}
    found = {
        whose: [
            (row["updates"], row["updates_times_batch"], row["draws_per_example"])
            for row in data["methods"]
            if row["whose"] == whose
        ]
        for whose in ("student", "teacher")
    }
    assert found == {
        "student": [(500, 50_000, 500), (50_000, 50_000, 500), (5_000, 50_000, 500)],
        "teacher": [(500, 50_000, 500), (500, 500, 5), (500, 5_000, 50)],
    }
    text = call("iteration", "--examples", 100, "--epochs", 500).stdout
    assert "mini-batches of 10 (an example; --batch-size states another)" in text
    assert "student: an epoch is a pass" in text
    assert "teacher: an epoch is one update" in text


@pytest.mark.parametrize(("examples", "batch"), [(100, 10), (10, 10), (7, 7), (1, 1)])
def test_the_mini_batch_of_the_example_fits(examples, batch):
    data = json.loads(call("iteration", "--examples", examples, "--epochs", 3, "--json").stdout)
    assert data["given"]["batch_size"] == batch


def test_iterations_times_batch_and_a_last_batch_that_is_smaller():
    run = ["--examples", 101, "--epochs", 3, "--batch-size", 8]
    data = json.loads(call("iteration", *run, "--json").stdout)
    (row,) = [row for row in data["methods"] if (row["method"], row["whose"]) == ("mini-batch", "student")]
    assert (row["updates"], row["updates_times_batch"], row["draws"]) == (39, 312, 303)
    assert "The last batch of a pass has 5 examples, so 303 are drawn, not 312." in call("iteration", *run).stdout


def test_scikit_learn_counts_passes():
    # measured on 1.9.1 with tol=0 on 100 examples, max_iter=500: MLPClassifier(batch_size=8) has n_iter_ 500 and 6,500
    # updates of its optimizer; SGDClassifier has n_iter_ 500 and t_ 50,001
    run = {"examples": 100, "epochs": 500, "batch_size": 8}
    found = shown("scikit-learn", **run)
    assert (found.iterations, found.updates, found.mean) == (500, 6500, 500)
    assert count_updates("stochastic", "framework", **run).updates == 50_001 - 1


def test_every_system_says_how_it_is_known():
    basis = json.loads(call("epoch", "--json").stdout)["basis"]
    assert basis.keys() == {system.name for system in SYSTEMS}
    assert "documented" in basis["Keras"]
    assert "measured" in basis["scikit-learn"]


def test_one_number_is_not_enough():
    assert "try --epochs too" in call("step", "--examples", 100, code=2).stderr
    assert "try --examples and --epochs too" in call("step", "--batch-size", 100, code=2).stderr
    assert "counts steps" in call("step", "--examples", "5 steps", "--epochs", 5, "--batch-size", 1, code=2).stderr
