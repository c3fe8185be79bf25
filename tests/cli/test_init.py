"""`dist-epochs init`: a recipe for a store, for a size, and what it refuses."""

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.errors import EXIT_INPUT


def init(*words):
    return CliRunner().invoke(main, ["init", *map(str, words)])


def test_a_store_is_planned_with_its_own_recipe(tmp_path):
    store, recipe = tmp_path / "store", tmp_path / "first.yaml"
    words = ["embedded", "--tokenizer", "embedded", "--held-out", "10%", "--sequence-length", "64,128"]
    assert CliRunner().invoke(main, ["tokenize", *words, "--out", str(store)]).exit_code == 0
    found = init(store, "--out", recipe)
    assert found.exit_code == 0, found.output
    assert f"python -m dist_epochs.train {recipe} --out runs/first" in found.stdout
    text = recipe.read_text()
    assert "objective: masked" in text
    assert "vocab_size: 2048" in text
    assert "sequence_length: 128" in text
    assert "evaluation:" in text
    planned = CliRunner().invoke(main, ["plan", str(recipe)])
    assert planned.exit_code == 0, planned.output
    assert "from the packed samples" in " ".join(planned.stdout.split())


def test_a_size_with_devices(tmp_path):
    recipe = tmp_path / "first.yaml"
    found = init("4.1B tokens", "--out", recipe, "--devices", "8xH100", "--sequence-length", "2048")
    assert found.exit_code == 0, found.output
    assert "8 × H100 SXM" in found.stdout
    assert "dist-epochs tokenize SOURCE" in found.stdout
    planned = CliRunner().invoke(main, ["plan", str(recipe), "--strict"])
    assert planned.exit_code == 0, planned.output


def test_an_existing_file_is_kept(tmp_path):
    recipe = tmp_path / "first.yaml"
    recipe.write_text("mine")
    found = init("4.1B tokens", "--out", recipe)
    assert found.exit_code == EXIT_INPUT
    assert "not replaced" in found.stderr
    assert recipe.read_text() == "mine"


@pytest.mark.parametrize("size", ["3.3B words", "4.1B", "no-such-folder/store"])
def test_what_has_no_tokens_is_refused(tmp_path, size):
    assert init(size, "--out", tmp_path / "first.yaml").exit_code == EXIT_INPUT
    assert not (tmp_path / "first.yaml").exists()
