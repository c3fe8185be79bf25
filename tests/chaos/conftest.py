"""Disturbed runs, made on the spot."""

import pytest

from tests.chaos.harness import Chaos, Ranks


@pytest.fixture(scope="session")
def ranks(tmp_path_factory):
    forking = Ranks(tmp_path_factory.mktemp("home"))
    yield forking
    forking.close()


@pytest.fixture
def chaos(ranks, store, write_recipe, tmp_path):
    """Make a run of 30 steps in two lengths, saved every 5 steps."""

    def make(name="a", *overrides, scaler=False, pause=0, **sections):
        phases = [{"steps": 20, "sequence_length": 16}, {"steps": 10, "sequence_length": 32}]
        recipe = write_recipe(store.path, **({"phases": phases, "checkpoints": {"steps": 5}} | sections))
        recipe = recipe.rename(tmp_path / f"{name}.yaml")
        return Chaos(ranks, recipe, tmp_path / name, *overrides, scaler=scaler, pause=pause)

    return make


@pytest.fixture
def undisturbed(chaos):
    """Weights of the same run without any trouble, on some world."""

    def weights(world, **sections):
        run = chaos(f"undisturbed-{world}", **sections)
        assert run.run(world).codes == [0] * world, run.segments[0].log
        run.check_finished()
        return run.weights()

    return weights
