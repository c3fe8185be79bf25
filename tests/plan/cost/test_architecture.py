"""Golden numbers: model cards and papers; FLOPs counted with torch's FlopCounterMode on meta (see tests/train)."""

import json
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig
from transformers.masking_utils import sliding_window_bidirectional_overlay

from dist_epochs.errors import InputError
from dist_epochs.plan.cost.architecture import mean_keys
from dist_epochs.plan.cost.families import read_architecture
from dist_epochs.plan.cost.settings import PLAIN
from dist_epochs.recipe.model_families import CLOSED_FORM, FAMILIES
from dist_epochs.recipe.model_sizes import SIZES, named_config


def named(name):
    return read_architecture(named_config(name), where=name)


PARAMETERS = {
    "bert-base": 109_514_298,
    "bert-large": 335_174_458,
    "roberta-base": 124_697_433,
    "roberta-large": 355_412_057,
    "modernbert-base": 149_655_232,
    "modernbert-large": 395_881_664,
    "gpt2": 124_439_808,
    "gpt2-small": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "llama-7b": 6_738_415_616,
    "llama-13b": 13_015_864_320,
    "llama-33b": 32_528_943_616,
    "llama-65b": 65_285_660_672,
    "llama2-70b": 68_976_648_192,
    "llama3-8b": 8_030_261_248,
    "llama3-70b": 70_553_706_496,
    "llama3-405b": 405_853_388_800,
}

FLOPS = [
    ("bert-base", 128, 667_948_032),
    ("bert-base", 512, 710_415_360),
    ("bert-large", 128, 2_043_506_688),
    ("bert-large", 512, 2_156_752_896),
    ("gpt2", 1024, 854_438_400),
    ("gpt2-xl", 1024, 10_273_545_600),
    ("llama-7b", 2048, 42_863_689_728),
    ("llama-7b", 4096, 46_084_915_200),
    ("llama3-8b", 8192, 57_912_852_480),
    ("llama2-70b", 2048, 428_385_239_040),
    ("llama3-405b", 2048, 2_473_221_685_248),
]


def test_parameters_of_the_named_sizes():
    assert {name: named(name).parameters for name in SIZES} == PARAMETERS


@pytest.mark.parametrize(("name", "length", "flops"), FLOPS)
def test_training_flops_per_position(name, length, flops):
    assert named(name).flops_per_token(length) == named(name).full_attention_flops_per_token(length) == flops
    assert isinstance(named(name).flops_per_token(length), int)


@pytest.mark.parametrize(("length", "counted", "flops"), [(512, 76, 587_633_400), (128, 20, 546_292_512)])
def test_flops_with_the_head_on_counted_positions_only(length, counted, flops):
    base = named("bert-base")
    assert base.executed_flops_per_token(length, Fraction(counted, length)) == flops
    assert base.executed_flops_per_token(length, Fraction(1)) == base.flops_per_token(length)


@pytest.mark.parametrize("counted", [Fraction(-1, 128), Fraction(129, 128)])
def test_a_share_of_counted_positions_beyond_all_is_refused(counted):
    with pytest.raises(InputError):
        named("gpt2").executed_flops_per_token(128, counted)


def test_windows_of_modernbert():
    base = named("modernbert-base")
    assert base.full_attention_flops_per_token(1024) == 1_105_035_264
    assert base.flops_per_token(1024) == 989_034_624
    assert base.flops_per_token(8192) == 1_517_975_568
    assert (sum(base.sliding), base.window) == (14, 64)


def test_a_count_that_is_no_whole_number_stays_a_fraction():
    config = {**named_config("modernbert-base"), "local_attention": 130}
    flops = read_architecture(config, where="x").flops_per_token(8192)
    assert (flops.numerator, flops.denominator) == (3_036_463_137, 2)


@given(st.integers(1, 80), st.integers(0, 90))
def test_mean_keys_against_every_pair(length, window):
    allowed = sliding_window_bidirectional_overlay(window)  # the mask that transformers gives ModernBERT
    pairs = sum(allowed(0, 0, query, key) for query in range(length) for key in range(length))
    assert mean_keys(length, window) * length == pairs


@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 5))
def test_which_layers_have_a_window(local, every, layers):
    config = {"num_hidden_layers": layers, "global_attn_every_n_layers": every, "local_attention": local}
    theirs = AutoConfig.for_model("modernbert", **config)
    ours = read_architecture({"model_type": "modernbert", **config}, where="x")
    assert sum(ours.sliding) == theirs.layer_types.count("sliding_attention")
    assert ours.window == theirs.sliding_window
    listed = read_architecture({"model_type": "modernbert", **config, "layer_types": theirs.layer_types}, where="x")
    assert listed == ours


def test_the_most_positions_of_a_sample():
    longest = {name: named(name).longest for name in ("bert-base", "roberta-base", "gpt2", "llama3-8b")}
    assert longest == {"bert-base": 512, "roberta-base": 512, "gpt2": 1024, "llama3-8b": None}
    assert named("modernbert-base").longest is None
    assert read_architecture({"model_type": "roberta"}, where="x").longest == 510


@pytest.mark.parametrize("model_type", CLOSED_FORM)
def test_defaults_are_those_of_transformers(model_type):
    theirs = AutoConfig.for_model(model_type)
    for key, value in FAMILIES[model_type].defaults.items():
        if value is not None and hasattr(theirs, key):
            assert getattr(theirs, key) == value, key
        if key in PLAIN and key in theirs.to_dict():
            assert getattr(theirs, key) in PLAIN[key], key
    # what transformers derives where nothing is stated, it also writes to a config.json
    written = json.loads(theirs.to_json_string(use_diff=False))
    assert read_architecture(written, where="x") == read_architecture({"model_type": model_type}, where="x")


def test_second_names_are_those_of_transformers():
    aliases = FAMILIES["gpt2"].aliases
    assert aliases == AutoConfig.for_model("gpt2").attribute_map
    short = {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 32}
    long = {second: short[first] for second, first in aliases.items()}
    small = [read_architecture({"model_type": "gpt2", **sizes}, where="x") for sizes in (short, long)]
    assert small[0] == small[1]
    assert (small[0].hidden_size, small[0].longest) == (64, 32)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "box: model_type is missing.*bert, roberta, modernbert, gpt2, llama, or `--exact`"),
        ({"model_type": "lama"}, "Try llama, or `--exact`"),
        ({"model_type": "mixtral"}, "no closed form here.*--exact"),
        ({"model_type": "bert", "hidden_size": 770},
         "hidden_size 770 is not a multiple of num_attention_heads 12.*Try hidden_size 768, or hidden_size 780"),
        ({"model_type": "gpt2", "n_embd": 770}, "n_embd 770 is not a multiple of n_head 12"),
        ({"model_type": "llama", "num_key_value_heads": 5},
         "num_attention_heads 32 is not a multiple of num_key_value_heads 5"),
        ({"model_type": "llama", "head_dim": 33}, "head_dim is 33.*must be even"),
        ({"model_type": "modernbert", "hidden_size": 36}, "is 3: rotary positions"),
        ({"model_type": "bert", "vocab_size": 30522.0}, "vocab_size must be a whole number of at least 1, not 30522.0"),
        ({"model_type": "bert", "vocab_size": True}, "vocab_size must be a whole number"),
        ({"model_type": "bert", "intermediate_size": None}, "intermediate_size must be a whole number.*None"),
        ({"model_type": "bert", "num_hidden_layers": 0},
         "num_hidden_layers must be a whole number of at least 1, not 0"),
        ({"model_type": "bert", "tie_word_embeddings": "yes"}, "tie_word_embeddings must be true or false"),
        ({"model_type": "bert", "is_decoder": True}, "box: is_decoder is True.*--exact"),
        ({"model_type": "bert", "add_cross_attention": True}, "add_cross_attention is True.*--exact"),
        ({"model_type": "roberta", "position_embedding_type": "relative_key"},
         "position_embedding_type is 'relative_key'.*--exact"),
        ({"model_type": "gpt2", "pruned_heads": {"0": [1]}}, "pruned_heads.*--exact"),
        ({"model_type": "llama", "sliding_window": 128}, "sliding_window is 128.*--exact"),
        ({"model_type": "roberta", "max_position_embeddings": 2}, "max_position_embeddings 2 leaves no position"),
        ({"model_type": "modernbert", "layer_types": ["full_attention"]},
         "lists 1 layers, and num_hidden_layers is 22"),
        ({"model_type": "modernbert", "layer_types": [{}]}, "must list full_attention and sliding_attention.*--exact"),
        ({"model_type": "modernbert", "global_attn_every_n_layers": 0},
         "global_attn_every_n_layers must be a whole number"),
        ({"model_type": "bert", "num_hiden_layers": 3},
         "bert has no setting 'num_hiden_layers'.*Try 'num_hidden_layers'"),
        ({"model_type": "gpt2", "n_embd": 64, "hidden_size": 128}, "n_embd is 64 and hidden_size is 128"),
    ],
)  # fmt: skip
def test_what_is_refused(config, message):
    with pytest.raises(InputError, match=f"(?s){message}"):
        read_architecture(config, where="box")


def test_keys_that_change_no_size_are_welcome():
    config = {
        "model_type": "bert",
        "pooler_num_attention_heads": 12,
        "gradient_checkpointing": False,
        "pruned_heads": {},
    }
    assert read_architecture(config, where="x") == named("bert-base")


@settings(max_examples=20)
@given(st.sampled_from(sorted(SIZES)), st.integers(1, 5000))
def test_flops_from_the_text_book(name, length):
    """The sum written out: six per weight in a product, twelve per layer, query width and key (PaLM, appendix B)."""
    model = named(name)
    full = 6 * model.matmul_parameters + 12 * model.layers * model.attention_size * length
    assert model.full_attention_flops_per_token(length) == full
    assert model.flops_per_token(length) <= full
    without_head = model.executed_flops_per_token(length, Fraction(0))
    assert model.flops_per_token(length) - without_head == 6 * model.head_parameters
    assert model.head_parameters >= model.vocabulary_size * model.hidden_size
    assert (model.flops_per_token(length) == full) == (not any(model.sliding) or length <= model.window + 1)


def test_no_positions():
    with pytest.raises(InputError, match="at least 1, not 0"):
        named("gpt2").flops_per_token(0)
    with pytest.raises(InputError, match="at least 1, not -3"):
        named("gpt2").full_attention_flops_per_token(-3)


def test_a_name_that_is_no_size():
    with pytest.raises(InputError, match="'bert-bse' is not a size known by name") as caught:
        named_config("bert-bse")
    assert caught.value.fixes[0] == "bert-base"
    with pytest.raises(InputError, match=r"one of bert-base, .*llama3-405b"):
        named_config("q")


@pytest.mark.parametrize("name", SIZES)
def test_transformers_takes_the_named_sizes(name):
    config = dict(named_config(name))
    theirs = AutoConfig.for_model(config.pop("model_type"), **config)
    assert all(getattr(theirs, key) == value for key, value in config.items())
