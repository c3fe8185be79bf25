from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from dist_epochs.errors import InputError
from dist_epochs.plan.cost.families import read_architecture
from dist_epochs.recipe.model_families import CLOSED_FORM, FAMILIES
from dist_epochs.recipe.model_sizes import named_config
from dist_epochs.train.exact_cost import exact_cost

SPECIAL = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3}


@pytest.mark.parametrize(
    ("name", "lengths"),
    [
        ("bert-base", (128, 512)),
        ("bert-large", (512,)),
        ("roberta-base", (512,)),
        ("modernbert-base", (100, 1024, 8192)),
        ("modernbert-large", (1024,)),
        ("gpt2", (1024,)),
        ("gpt2-xl", (1024,)),
        ("llama-7b", (2048, 4096)),
        ("llama2-70b", (2048,)),
        ("llama3-8b", (8192,)),
    ],
)
def test_the_closed_form_is_what_is_counted(name, lengths):
    model = read_architecture(named_config(name), where=name)
    counted = exact_cost(named_config(name), model.family.objective, lengths)
    assert counted.parameters == model.parameters
    assert counted.flops_per_token == {length: model.flops_per_token(length) for length in lengths}


flags = st.booleans()


@st.composite
def configs(draw, model_type):
    """Small models with everything that changes a count."""
    heads, head_size, layers = draw(st.integers(1, 4)), draw(st.sampled_from([2, 4, 6])), draw(st.integers(1, 4))
    sizes = {"vocab_size": draw(st.integers(5, 40)), "tie_word_embeddings": draw(flags), **SPECIAL}
    if model_type == "gpt2":
        inner = draw(st.none() | st.integers(1, 30))
        shape = {"n_embd": heads * head_size, "n_head": heads, "n_layer": layers, "n_inner": inner, "n_positions": 32}
        return {"model_type": model_type, **sizes, **shape}
    sizes |= {"hidden_size": heads * head_size, "num_attention_heads": heads, "num_hidden_layers": layers}
    sizes |= {"intermediate_size": draw(st.integers(1, 30)), "max_position_embeddings": 40}
    if model_type in ("bert", "roberta"):
        sizes["type_vocab_size"] = draw(st.integers(1, 3))
    if model_type == "llama":
        sizes["num_key_value_heads"] = draw(
            st.sampled_from([part for part in range(1, heads + 1) if heads % part == 0])
        )
        sizes["head_dim"] = draw(st.sampled_from([None, 2, 8]))
        sizes |= {name: draw(flags) for name in ("attention_bias", "mlp_bias")}
    if model_type == "modernbert":
        biases = ("norm_bias", "mlp_bias", "attention_bias", "decoder_bias", "classifier_bias")
        sizes |= {name: draw(flags) for name in biases} | {"cls_token_id": 2, "sep_token_id": 3}
        sizes |= {"global_attn_every_n_layers": draw(st.integers(1, 3)), "local_attention": draw(st.integers(2, 20))}
    return {"model_type": model_type, **sizes}


def counted_on_meta(config, length):
    """Parameters and FLOPs per position of the forward pass, counted without the code that is tested."""
    family = AutoModelForMaskedLM if FAMILIES[config["model_type"]].objective == "masked" else AutoModelForCausalLM
    with torch.device("meta"):
        model = family.from_config(AutoConfig.for_model(**config), attn_implementation="sdpa")
        ids, mask = torch.zeros(1, length, dtype=torch.int64), torch.ones(1, 1, length, length, dtype=torch.bool)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=ids, attention_mask=mask, use_cache=False)
    return sum(weight.numel() for weight in model.parameters()), Fraction(counter.get_total_flops(), length)


@pytest.mark.parametrize("model_type", CLOSED_FORM)
@settings(max_examples=15, deadline=None)
@given(data=st.data(), length=st.integers(1, 32))
def test_small_models_of_every_family(model_type, data, length):
    config = data.draw(configs(model_type))
    model = read_architecture(config, where="drawn")
    parameters, forward = counted_on_meta(config, length)
    assert model.parameters == parameters
    assert model.full_attention_flops_per_token(length) == 3 * forward
    counted = exact_cost(config, FAMILIES[model_type].objective, [length])
    assert counted.parameters == parameters
    assert counted.flops_per_token == {length: model.flops_per_token(length)}


def test_matmul_parameters_are_the_weights_of_the_linear_layers():
    for name in ("bert-base", "modernbert-base", "llama3-8b"):
        config = named_config(name)
        family = AutoModelForMaskedLM if FAMILIES[config["model_type"]].objective == "masked" else AutoModelForCausalLM
        with torch.device("meta"):
            model = family.from_config(AutoConfig.for_model(**config))
        linear = sum(part.weight.numel() for part in model.modules() if isinstance(part, torch.nn.Linear))
        assert read_architecture(config, where=name).matmul_parameters == linear


def test_a_family_without_a_closed_form():
    """Qwen2 is Llama with biases on queries, keys and values."""
    sizes = {
        "vocab_size": 50,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 24,
    }
    sizes["num_key_value_heads"] = 2
    llama = read_architecture({"model_type": "llama", **sizes}, where="x")
    counted = exact_cost({"model_type": "qwen2", **sizes}, "causal", [8, 32])
    assert counted.parameters == llama.parameters + 2 * (16 + 2 * 8)
    assert counted.flops_per_token == {length: llama.flops_per_token(length) for length in (8, 32)}


def test_windows_that_are_longer_than_the_sequence_change_nothing():
    sizes = {
        "vocab_size": 50,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 24,
    }
    config = {"model_type": "mistral", **sizes, "num_key_value_heads": 4, "sliding_window": 16}
    llama = read_architecture({"model_type": "llama", **sizes}, where="x")
    assert exact_cost(config, "causal", [16]).flops_per_token == {16: llama.flops_per_token(16)}
    with pytest.raises(InputError, match=r"mistral has sliding_window 16, shorter than the sequence length 17"):
        exact_cost(config, "causal", [8, 17])
    assert exact_cost({**config, "sliding_window": None}, "causal", [17]).flops_per_token[17] == llama.flops_per_token(
        17
    )


TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 50}


@pytest.mark.parametrize(
    ("config", "objective", "message"),
    [
        (
            {"model_type": "mixtral", **TINY, "num_key_value_heads": 4}, "causal",
            "mixtral has experts.*counter would be wrong",
        ),
        ({"model_type": "qwen3_next"}, "causal", "qwen3_next has layers of linear_attention"),
        ({"model_type": "lama"}, "causal", "transformers knows no model_type 'lama'.*Try .*llama"),
        ({}, "causal", "knows no model_type ''"),
        ({"model_type": "llama", "hiden_size": 64}, "causal", "llama has no setting 'hiden_size'.*Try hidden_size"),
        ({"model_type": "llama", "hidden_size": 65}, "causal", "not a configuration transformers can use"),
        ({"model_type": "llama", **TINY}, "masked", "llama with a masked objective cannot be built"),
        (
            {"model_type": "bert", **TINY, "max_position_embeddings": 16}, "masked",
            "bert does not run without weights at length 24",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(config, objective, message):
    with pytest.raises(InputError, match=f"(?s){message}"):
        exact_cost(config, objective, [24])


def test_no_positions():
    with pytest.raises(InputError, match="at least 1, not 0"):
        exact_cost({"model_type": "gpt2"}, "causal", [0, 8])


def test_products_that_the_counter_does_not_see(monkeypatch):
    monkeypatch.setattr(FlopCounterMode, "get_total_flops", lambda counter: 1000)
    with pytest.raises(InputError, match="and 125 were counted at length 8"):
        exact_cost({"model_type": "bert", **TINY}, "masked", [8])


def test_nothing_is_left_on_meta():
    state = torch.get_rng_state()
    exact_cost({"model_type": "bert", **TINY}, "masked", [8])
    assert torch.zeros(1).device.type == "cpu"
    assert torch.equal(torch.get_rng_state(), state)
