"""Recipes by name, in a checkout and in an installed package."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.errors import InputError
from dist_epochs.recipe.shipped import find_recipe, shipped_recipes

CONFIGS = Path(__file__).parent.parent.parent / "configs"


def test_every_recipe_of_the_repository_has_its_name():
    assert {name: path.read_bytes() for name, path in shipped_recipes().items()} == {
        path.stem: path.read_bytes() for path in CONFIGS.glob("*.yaml")
    }


def test_the_installed_folder_comes_first(tmp_path):
    installed, checkout = tmp_path / "installed", tmp_path / "checkout"
    for folder in (installed, checkout):
        folder.mkdir()
        (folder / "mine.yaml").write_text("")
    assert find_recipe(Path("mine"), (installed, checkout)) == installed / "mine.yaml"
    assert find_recipe(Path("mine"), (tmp_path / "nowhere", checkout)) == checkout / "mine.yaml"


@pytest.mark.parametrize("path", ["demo", "folder/demo", "demo.yaml", "./demo.yaml", "/demo"])
def test_a_file_and_a_path_are_what_they_say(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    Path("demo").write_text("a file of the user's own")
    assert find_recipe(Path(path)) == Path(path)


def test_unknown_names_get_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my-run.yaml").write_text("")
    for name, fixes in {"bert-bse": ("bert-base",), "my-run": ("my-run.yaml",)}.items():
        with pytest.raises(InputError) as caught:
            find_recipe(Path(name))
        assert caught.value.fixes == fixes
    with pytest.raises(InputError) as caught:
        find_recipe(Path("zzz"))
    assert "bert-base, demo, gpt2-small" in caught.value.fixes[0]


def test_plan_takes_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    by_name = CliRunner().invoke(main, ["plan", "bert-base"])
    assert by_name.exit_code == 0, by_name.output
    assert by_name.stdout == CliRunner().invoke(main, ["plan", str(CONFIGS / "bert-base.yaml")]).stdout
    mistyped = CliRunner().invoke(main, ["plan", "bert-bse"])
    assert mistyped.exit_code == 2
    assert "try bert-base" in mistyped.stderr


@pytest.mark.parametrize("name", ["BERT-base", "Bert_Base", "bert base"])
def test_case_and_spaces_make_no_difference(name):
    assert find_recipe(Path(name)) == find_recipe(Path("bert-base"))
