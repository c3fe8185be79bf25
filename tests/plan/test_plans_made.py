"""How many plans are made where one is asked for."""

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.corpus.streaming.planning import plan_on_store
from dist_epochs.plan.plan import Plan
from dist_epochs.recipe import read_recipe


@pytest.fixture
def made(monkeypatch):
    """The recipes of all plans that were made, with `replace` or without."""
    recipes, init = [], Plan.__init__

    def counting(self, **parts):
        recipes.append(parts["recipe"])
        init(self, **parts)

    monkeypatch.setattr(Plan, "__init__", counting)
    return recipes


def test_a_store_takes_one_plan(made, write_recipe, store):
    recipe = read_recipe(write_recipe(store.path))
    plan_on_store(recipe)
    assert made == [recipe]


@pytest.mark.parametrize("length", [16, 24])  # packed, and not
def test_a_store_that_is_not_counted_whole_takes_one_plan(made, write_recipe, store, length):
    recipe = read_recipe(write_recipe(store.path, model=None, phases=[{"steps": 2, "sequence_length": length}]))
    plan_on_store(recipe)
    assert made == [recipe]


def test_the_command_makes_a_second_plan_for_what_one_length_would_change(made, write_recipe, store):
    path = write_recipe(store.path)
    result = CliRunner().invoke(main, ["plan", str(path)])
    assert result.exit_code == 0, result.output
    assert len(made) == 2
    assert made[0] == read_recipe(path)
    assert {phase.sequence_length for phase in made[1].phases} == {32}
