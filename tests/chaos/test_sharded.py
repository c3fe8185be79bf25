"""Runs whose ranks share weights, gradients and optimizer states (FSDP2): the same books, the same weights."""

import signal

import pytest

from tests.chaos.harness import difference, kill_after
from tests.conftest import tiny_model

SHARDED = {"hardware": {"zero_stage": 3}}
BATCH = {"global_batch": 8, "per_device": 2, "uneven": "allow"}

MODELS = {
    "bert": {"objective": "masked", "config": tiny_model("bert", num_hidden_layers=2)},
    "roberta": {
        "objective": "masked",
        "config": tiny_model("bert", num_hidden_layers=2) | {"model_type": "roberta", "max_position_embeddings": 40},
    },
    "gpt2": {"objective": "causal", "config": tiny_model("gpt2", num_hidden_layers=2)},
    "llama": {"objective": "causal", "config": tiny_model("llama", num_hidden_layers=2)},
}


@pytest.mark.parametrize("kind", MODELS)
def test_four_ranks_then_two_then_one(chaos, undisturbed, kind):
    settings = {"model": MODELS[kind], "batch": BATCH}
    run = chaos("a", **settings, **SHARDED)
    for world, step in ((4, 8), (2, 16)):
        segment = run.run(world, during=kill_after(step, leash=1))
        assert set(segment.codes) == {-signal.SIGKILL}, segment.log
        assert "sharded (FSDP2)" in segment.log[0]
    segment = run.run(1)
    assert segment.codes == [0], segment.log
    run.check_finished()
    assert difference(run.weights(), undisturbed(1, **settings)) <= 1e-5
