"""The recipe that `init` writes: it can be planned, fits the devices, and follows the usual rules."""

from fractions import Fraction

import pytest

from dist_epochs.plan.cost.hardware import find_device
from dist_epochs.plan.first_recipe import AtHand, first_recipe
from dist_epochs.plan.planner import make_plan
from dist_epochs.recipe import make_recipe
from dist_epochs.settings.document import Document


def plan_for(tmp_path, tokens, devices=1, device=None, objective="causal", length=1024, **more):
    known = {"corpus": {"tokens": f"{tokens} tokens"}, "vocabulary": 32000, "has_held_out": False} | more
    at_hand = AtHand(**known, tokens=tokens, objective=objective, sequence_length=length, devices=devices,
                     device=find_device(device) if device else None)  # fmt: skip
    path = tmp_path / "first.yaml"
    path.write_text(first_recipe(at_hand, "first"))
    return make_plan(make_recipe(Document.read(path), path))


@pytest.mark.parametrize("objective", ["causal", "masked"])
@pytest.mark.parametrize("devices", [1, 3, 8, 512])
@pytest.mark.parametrize("device", [None, "V100 SXM2 16GB", "A100 SXM 80GB", "H100"])
@pytest.mark.parametrize("tokens", [10**5, 10**7, 10**9, 10**12])
def test_every_recipe_can_be_planned_and_fits(tmp_path, tokens, device, devices, objective):
    plan = plan_for(tmp_path, tokens, devices, device, objective)
    rules = {warning.rule for warning in plan.warnings if not warning.is_note}
    assert not {"memory", "does-not-fit", "over-the-cap"} & rules, rules
    assert plan.steps >= 1
    assert all(batch.samples % devices == 0 for batch in plan.batches)
    assert plan.epochs["positions"] < Fraction(9, 2) or plan.steps <= 2
    assert plan.cost.memory is None or plan.cost.memory.total.high < 90 * 2**30


@pytest.mark.parametrize(
    ("tokens", "parameters"),
    [(10**6, "0"), (10**9, "gpt2"), (4 * 10**9, "gpt2-large"), (10**12, "llama-33b")],
)
def test_model_grows_with_the_corpus(tmp_path, tokens, parameters):
    plan = plan_for(tmp_path, tokens, 512, "H100")
    least, most = {"0": (0, 10**7), "gpt2": (10**8, 15 * 10**7), "gpt2-large": (7 * 10**8, 8 * 10**8),
                   "llama-33b": (3 * 10**10, 7 * 10**10)}[parameters]  # fmt: skip
    assert least <= plan.cost.parameters <= most
    assert plan.positions / plan.cost.parameters < 21 or plan.cost.parameters < 10**7


def test_a_large_model_is_sharded(tmp_path):
    assert plan_for(tmp_path, 10**12, 64, "A100 SXM 80GB").recipe.hardware.zero_stage == 3
    assert plan_for(tmp_path, 10**9, 64, "A100 SXM 80GB").recipe.hardware.zero_stage == 0


def test_vocabulary_and_length_are_those_of_the_corpus(tmp_path):
    config = plan_for(tmp_path, 10**6, length=2048, vocabulary=777).recipe.model.config
    assert config["vocab_size"] == 777
    assert config["n_positions"] == 2048
