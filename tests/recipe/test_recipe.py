import json
import re

import pytest

from dist_epochs.recipe import read_recipe
from dist_epochs.recipe.writing import recipe_to_yaml
from dist_epochs.settings.document import RecipeError
from dist_epochs.settings.fields import Choice

MINIMAL = """
name: x
corpus: {tokens: 300B}
batch: {global_batch: 1Ki, per_device: 4}
phases: [{steps: 1k, sequence_length: 4Ki}]
"""


def read(tmp_path, text=MINIMAL, *overrides):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    return read_recipe(path, overrides)


def test_numbers_in_any_spelling(tmp_path):
    recipe = read(tmp_path)
    assert (recipe.phases[0].steps, recipe.phases[0].sequence_length, recipe.batch.global_batch.value) == (
        1000,
        4096,
        1024,
    )


def test_paths_are_relative_to_the_recipe(tmp_path):
    recipe = read(tmp_path, MINIMAL.replace("tokens: 300B", "store: ../store"))
    assert recipe.corpus.store == str(tmp_path.parent / "store")


def test_pasted_keys_of_hugging_face(tmp_path):
    text = MINIMAL.replace(
        "global_batch: 1Ki, per_device: 4", "devices: 8, per_device_train_batch_size: 4, gradient_accumulation_steps: 2"
    )
    batch = read(tmp_path, text).batch
    assert (batch.per_device, batch.gradient_accumulation) == (4, 2)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps: 1k", "steps: 1k tokens", "phases.0.steps: the value '1k tokens' counts tokens: it must count steps"),
        ("steps: 1k", "steps: 1.5", "phases.0.steps: the value 1.5 is 3/2: it must be a whole number"),
        ("steps: 1k", "steps: 0", "phases.0.steps: the value must be at least 1, not 0"),
        ("tokens: 300B", "tokens: 300B words", "corpus.tokens: '300B words' counts words: it must count tokens"),
        ("tokens: 300B", "words: 3B", "corpus: words and tokens_per_word go together"),
        (
            "tokens: 300B",
            "tokens: 3B, store: a",
            "corpus: give one of store, tokens, words, samples and sources, not store and tokens",
        ),
        (
            "global_batch: 1Ki, per_device: 4",
            "devices: 8",
            "batch: what a step draws is not stated. Try global_batch, or per_device, devices and",
        ),
        ("[{steps: 1k, sequence_length: 4Ki}]", "[]", "phases: the list must have at least 1 item, not 0"),
        ("sequence_length: 4Ki", "sequence_length: 1", "phases.0.sequence_length: the value must be at least 2, not 1"),
    ],
)
def test_wrong_values_say_the_rule_and_the_line(tmp_path, old, new, message):
    with pytest.raises(RecipeError) as caught:
        read(tmp_path, MINIMAL.replace(old, new))
    line = MINIMAL[: MINIMAL.index(old)].count("\n") + 1
    assert str(caught.value).startswith(f"{tmp_path}/r.yaml:{line}: {message}")


def test_a_missing_model_configuration(tmp_path):
    with pytest.raises(RecipeError, match=r"model\.config: .*nowhere: no such file"):
        read(tmp_path, MINIMAL + "model: {objective: causal, config: nowhere}\n")


def test_a_recipe_written_back_is_the_same_recipe(tmp_path):
    text = MINIMAL + (
        "model: {objective: masked, mask_probability: 1/7, config: {model_type: bert}}\n"
        "optimizer: {learning_rate: 1e-4, max_grad_norm: null, epsilon: 1e-9}\nevaluation: {every: 10}\n"
    )
    recipe = read(tmp_path, text.replace("name: x", "name: '1e3'"), "batch.devices=4")
    assert read(tmp_path, recipe_to_yaml(recipe)) == recipe
    assert recipe.optimizer.max_grad_norm is None


@pytest.mark.parametrize(
    "hardware",
    [
        {},
        {"zero_stage": 3, "shard_size": 4},
        {"device": "H100", "mfu": "30%-45%", "price": 2.5, "restarts": 3, "checkpoint_every": "20 minutes"},
        {"device": "H100", "restarts": 3, "checkpoint_every": "20 minutes", "restart_time": "10 minutes"},
        {"peak_tflops": "989/3", "tokens_per_second": "1.5M"},
    ],
)
def test_hardware_written_back_is_the_same(tmp_path, hardware):
    recipe = read(tmp_path, MINIMAL + f"hardware: {json.dumps(hardware)}\n")
    assert read(tmp_path, recipe_to_yaml(recipe)) == recipe


def test_what_shares_nothing_has_no_size(tmp_path):
    with pytest.raises(RecipeError, match="shard_size is 4 and zero_stage 0, which shards nothing"):
        read(tmp_path, MINIMAL + "hardware: {shard_size: 4}\n")


def test_numbers_of_a_model_s_configuration_are_plain(tmp_path):
    text = (
        MINIMAL
        + "model: {objective: causal, config: {model_type: gpt2, attn_pdrop: 1e-1, rope: {factors: [1.5, 2]}}}\n"
    )
    config = read(tmp_path, text).model.config
    assert (config["attn_pdrop"], config["rope"]["factors"]) == (0.1, [1.5, 2])
    assert {type(config["attn_pdrop"]), type(config["rope"]["factors"][0])} == {float}
    assert "attn_pdrop: 0.1" in recipe_to_yaml(read(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "steps", "seconds", "keep"),
    [
        ("", None, 1800, 2),
        ("checkpoints: {steps: 1K}", 1000, None, 2),
        ("checkpoints: {time: 90 s, keep: 3}", None, 90, 3),
        ("checkpoints: {steps: 500, time: 2 hours}", 500, 7200, 2),
        ("checkpoints: {time: 1/2 min}", None, 30, 2),
    ],
)
def test_when_a_run_is_saved(tmp_path, text, steps, seconds, keep):
    recipe = read(tmp_path, f"{MINIMAL}\n{text}\n")
    assert (recipe.checkpoints.steps, recipe.checkpoints.seconds, recipe.checkpoints.keep) == (steps, seconds, keep)
    assert recipe.timeout_seconds == 600
    assert read(tmp_path, recipe_to_yaml(recipe)) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timeout: 600", "'600' is not a time with a unit. Try '90 seconds', '30 minutes', '2 hours'"),
        ("checkpoints: {time: 0 minutes}", "it must be above zero"),
        ("checkpoints: {time: soon}", "'soon' is not a time with a unit"),
        ("checkpoints: {minutes: 3}", "unknown key 'checkpoints.minutes'"),
        ("checkpoints: {keep: 0}", "at least 1"),
        ("on_nan: ignore", "it must be stop or skip"),
    ],
)
def test_times_need_their_unit(tmp_path, text, message):
    with pytest.raises(RecipeError, match=re.escape(message)):
        read(tmp_path, f"{MINIMAL}\n{text}\n")


@pytest.mark.parametrize(("given", "read"), [("BF16", "bf16"), ("Fp32", "fp32")])
def test_words_are_read_in_any_case(given, read):
    problems = []
    assert Choice(("fp32", "bf16")).read(given, ("precision",), problems) == read
    assert problems == []
    assert Choice(("fp32", "bf16")).read("BF15", ("precision",), problems) is None
    assert "did you mean 'bf16'?" in problems[0].message
