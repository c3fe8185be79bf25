"""Adapters, frozen layers and quantized weights in a recipe."""

import pytest

from dist_epochs.recipe import read_recipe
from dist_epochs.recipe.writing import recipe_to_yaml
from dist_epochs.settings.document import RecipeError

RECIPE = """
name: x
batch: {global_batch: 8}
phases: [{steps: 1k, sequence_length: 2048}]
"""


def read(tmp_path, model):
    path = tmp_path / "r.yaml"
    path.write_text(f"{RECIPE}model: {model}\n")
    return read_recipe(path)


@pytest.mark.parametrize(
    ("model", "kind", "rank", "targets"),
    [
        ("{config: llama-7b, adapter: {rank: 16, targets: [q_proj, v_proj]}}", "lora", 16, ("q_proj", "v_proj")),
        ("{config: llama-7b, adapter: {r: 8, target_modules: all-linear}}", "lora", 8, ("all-linear",)),
        ("{parameters: 7B, adapter: {kind: qlora}, quantization: {bits: 4}}", "qlora", None, None),
        ("{adapter: {kind: other}}", "other", None, None),
    ],
)
def test_adapters(tmp_path, model, kind, rank, targets):
    adapter = read(tmp_path, model).model.adapter
    assert (adapter.kind, adapter.rank, adapter.targets) == (kind, rank, targets)


@pytest.mark.parametrize(
    "model",
    [
        "{config: llama-7b, adapter: {rank: 16, targets: [q_proj], modules_to_save: [lm_head]}, "
        "quantization: {bits: 4}}",
        "{parameters: 7B, adapter: {parameters: 40M}}",
        "{parameters: 7B, frozen: {layers: 24}}",
        "{parameters: 7B, frozen: {trained: 1.2B}}",
        "{parameters: 7B, frozen: {}}",
    ],
)
def test_written_back_it_is_the_same(tmp_path, model):
    recipe = read(tmp_path, model)
    path = tmp_path / "again.yaml"
    path.write_text(recipe_to_yaml(recipe))
    assert read_recipe(path) == recipe


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("{parameters: 7B, quantization: {bits: 4}}", "model: weights of 4 bits and no adapter"),
        ("{parameters: 7B, adapter: {kind: qlora}}", "model: kind: qlora, and the bits of the frozen weights are not"),
        ("{parameters: 7B, adapter: {}, frozen: {layers: 2}}", "model: adapter and frozen are both stated"),
        ("{parameters: 7B, frozen: {layers: 2, trained: 7M}}", "model.frozen: layers and trained both say"),
        ("{parameters: 7B, adapter: {}, quantization: {bits: 16}}", "model.quantization.bits: quantized weights have"),
        ("{parameters: 7B, adapter: {targets: q_proj}}", "model.adapter.targets: it must be a list of modules"),
        ("{mask_probability: 0.2}", "model: what the model is is not stated"),
    ],
)
def test_what_does_not_fit_together(tmp_path, model, asked):
    with pytest.raises(RecipeError) as caught:
        read(tmp_path, model)
    (error,) = caught.value.errors
    assert error.asked.startswith(asked)
    assert error.fixes or "not stated" not in asked
