from contextlib import nullcontext
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from dist_epochs.errors import InputError
from dist_epochs.plan.cost.activations import activation_bytes
from dist_epochs.plan.cost.families import read_architecture
from dist_epochs.plan.cost.memory import device_memory, states_bytes
from dist_epochs.recipe.model_sizes import named_config

GIB = 2**30


def named(name):
    return read_architecture(named_config(name), where=name)


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        ("bert-base", (1.632, 0.561, 0.382, 0.204)),
        ("gpt2", (1.854, 0.637, 0.435, 0.232)),
        ("llama-7b", (100.410, 34.516, 23.534, 12.551)),
    ],
)
def test_states_on_eight_devices(name, gib):
    """16N, 4N + 12N/8, 2N + 14N/8 and 16N/8 (arXiv:1910.02054)."""
    parameters = named(name).parameters
    assert tuple(round(float(states_bytes(parameters, stage, 8, "bf16") / GIB), 3) for stage in range(4)) == gib


counts = st.integers(1, 10**12)


@given(counts, st.integers(1, 4096), st.sampled_from(["fp32", "bf16", "fp16"]), st.integers(1, 64))
def test_states_add_up(parameters, devices, precision, model_parallel):
    stages = [states_bytes(parameters, stage, devices, precision, model_parallel) for stage in range(4)]
    assert stages[0] == Fraction(16 * parameters, model_parallel)
    assert stages[3] * devices == stages[0]
    assert stages == sorted(stages, reverse=True)
    assert (stages[0] == stages[1]) == (devices == 1)


def test_stages_in_fp32_shard_other_shares():
    assert [states_bytes(8, stage, 2, "fp32") for stage in range(4)] == [128, 96, 80, 64]
    assert [states_bytes(8, stage, 2, "fp16") for stage in range(4)] == [128, 80, 72, 64]


def test_activations_of_the_text_book():
    """34 bytes × samples × length × hidden × layers (arXiv:2205.05198, equation 1, scores not kept)."""
    shallow, deep = (
        read_architecture({"model_type": "bert", "num_hidden_layers": layers}, where="x") for layers in (1, 13)
    )
    low = [activation_bytes(model, samples=32, sequence_length=512, precision="bf16").low for model in (shallow, deep)]
    assert low[1] - low[0] == 34 * 32 * 512 * 768 * 12


@pytest.mark.parametrize(
    ("name", "samples", "length", "measured"),
    [("bert-base", 32, 512, 7.08), ("gpt2", 8, 1024, 5.79), ("llama-7b", 1, 2048, 11.69)],
)
def test_the_range_holds_what_was_measured_on_meta(name, samples, length, measured):
    """GiB of saved tensors with fused attention and the loss, weights in bf16 (torch 2.13, transformers 5.23)."""
    found = activation_bytes(named(name), samples=samples, sequence_length=length, precision="bf16")
    assert found.low / GIB <= measured <= found.high / GIB
    assert found.high < 2.6 * found.low


SMALL = {"vocab_size": 64, "hidden_size": 48, "num_attention_heads": 4}
MODELS = {
    "bert": {"intermediate_size": 80, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "roberta": {"intermediate_size": 80, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "modernbert": {"intermediate_size": 80, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    "gpt2": {"n_inner": 80, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "llama": {"intermediate_size": 80},
    "llama grouped": {"intermediate_size": 80, "num_key_value_heads": 2},
}
DROPOUT = {"bert": 2, "roberta": 2, "gpt2": 2}
SAMPLES, LENGTH = 2, 16


def fused(module, query, key, value, mask, dropout=0.0, scaling=None, **rest):
    """Attention that keeps queries, keys, values, outputs and one number a row, as a GPU's does."""
    groups = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(groups, 1) if groups > 1 else part for part in (key, value))
    if torch.is_autocast_enabled("cpu"):  # as CUDA's autocast casts what scaled_dot_product_attention gets
        query, key, value = (part.to(torch.bfloat16) for part in (query, key, value))
    op = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return op(query, key, value, 0.0, False, scale=scaling)[0].transpose(1, 2).contiguous(), None


def saved_bytes(kind, layers, samples, precision, change=lambda model: model):
    """Bytes that autograd keeps for the backward pass, weights aside."""
    AttentionInterface.register("fused_in_a_test", fused)
    family = AutoModelForCausalLM if kind.startswith(("gpt2", "llama")) else AutoModelForMaskedLM
    settings = {**SMALL, **MODELS[kind], "num_hidden_layers": layers}
    model = change(family.from_config(AutoConfig.for_model(kind.split()[0], **settings)))
    model.config._attn_implementation = "fused_in_a_test"
    weights = {weight.untyped_storage()._cdata for weight in model.parameters()}
    storages = {}

    def keep(tensor):
        storages[tensor.untyped_storage()._cdata] = tensor.untyped_storage()  # held, so that no address returns
        return tensor

    autocast = nullcontext() if precision == "fp32" else torch.autocast("cpu", dtype=torch.bfloat16)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), autocast:
        mask = torch.ones(1, 1, LENGTH, LENGTH, dtype=torch.bool)
        model(input_ids=torch.zeros(samples, LENGTH, dtype=torch.int64), attention_mask=mask, use_cache=False)
    return sum(storage.nbytes() for name, storage in storages.items() if name not in weights)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", MODELS)
def test_what_a_layer_keeps_against_autograd(kind, precision):
    """One more layer, and what that is for more samples: autocast's copies of weights drop out.

    The formula leaves out one number per head, position and layer, and those of the norms; autograd
    sees neither dropout, which is off, nor the copy of a mask, which this attention does not take.
    """
    grown = [[saved_bytes(kind, layers, samples, precision) for layers in (1, 2)] for samples in (SAMPLES, 2 * SAMPLES)]
    layer = (grown[1][1] - grown[1][0]) - (grown[0][1] - grown[0][0])
    rows = 4 * SMALL["num_attention_heads"] + (8 if kind.startswith("llama") else 16)
    masks = DROPOUT.get(kind, 0) * SMALL["hidden_size"]
    mask_copy = LENGTH * (4 if precision == "fp32" else 2)
    models = [
        read_architecture(
            {"model_type": kind.split()[0], **SMALL, **MODELS[kind], "num_hidden_layers": layers}, where="x"
        )
        for layers in (1, 2)
    ]
    ranges = [activation_bytes(model, samples=SAMPLES, sequence_length=LENGTH, precision=precision) for model in models]
    positions = SAMPLES * LENGTH
    assert ranges[1].high - ranges[0].high == layer + positions * (masks + mask_copy - rows)
    assert ranges[1].low - ranges[0].low <= layer + positions * masks


def test_the_copies_of_weights_that_autocast_keeps():
    """What one more layer keeps however many samples there are."""

    def fixed(precision):
        few, many = (
            saved_bytes("bert", 2, samples, precision) - saved_bytes("bert", 1, samples, precision)
            for samples in (SAMPLES, 2 * SAMPLES)
        )
        return 2 * few - many

    assert fixed("bf16") - fixed("fp32") == 2 * (4 * 48**2 + 2 * 48 * 80)


def test_logits():
    """Once in fp32 at the least; with log-softmax, gradient and bf16 original at the most."""
    small, large = (read_architecture({"model_type": "gpt2", "vocab_size": size}, where="x") for size in (100, 1100))
    ranges = [activation_bytes(model, samples=3, sequence_length=7, precision="bf16") for model in (small, large)]
    assert ranges[1].low - ranges[0].low == 4 * 1000 * 21
    assert ranges[1].high - ranges[0].high == 14 * 1000 * 21


@pytest.mark.parametrize("name", ["bert-base", "llama-7b", "modernbert-base", "gpt2-xl"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_recomputing_keeps_less_and_scales_with_samples(name, precision):
    model, sizes = named(name), {"sequence_length": 512, "precision": precision}
    kept = activation_bytes(model, samples=4, **sizes)
    again = activation_bytes(model, samples=4, recompute=True, **sizes)
    assert again.low < kept.low < kept.high
    assert again.low < again.high < kept.high
    doubled = activation_bytes(model, samples=8, **sizes)
    assert (doubled.low, doubled.high) == (2 * kept.low, 2 * kept.high)


def test_a_device_adds_states_and_activations():
    model, sizes = named("bert-base"), {"samples": 8, "sequence_length": 128}
    kept = activation_bytes(model, precision="bf16", **sizes)
    plain = device_memory(model, precision="bf16", **sizes)
    assert plain.states == 16 * model.parameters
    assert plain.total.low == plain.states + kept.low
    assert plain.total.high == plain.states + kept.high + 2 * model.matmul_parameters
    sharded = device_memory(model, precision="bf16", stage=3, data_parallel_size=8, **sizes)
    assert sharded.total.high == 2 * model.parameters + kept.high
    assert (
        device_memory(model, precision="fp32", **sizes).total.high
        == 16 * model.parameters + activation_bytes(model, precision="fp32", **sizes).high
    )


def test_model_parallel_divides_all_at_the_low_end_only():
    model, sizes = named("llama-7b"), {"samples": 1, "sequence_length": 2048, "precision": "bf16"}
    one, four = activation_bytes(model, **sizes), activation_bytes(model, model_parallel=4, **sizes)
    assert (four.low, four.high) == (one.low / 4, one.high)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 0}, "samples must be at least 1, not 0"),
        ({"sequence_length": 0}, "sequence length must be at least 1"),
        ({"data_parallel_size": 0}, "data parallel size must be at least 1"),
        ({"model_parallel": 0}, "model parallel must be at least 1"),
        (
            {"precision": "int8"},
            "precision 'int8' is not one that is trained in here. Try one of fp32, tf32, bf16, fp16",
        ),
        ({"stage": 4}, "ZeRO stage 4 does not exist"),
    ],
)
def test_what_is_refused(change, message):
    sizes = {"samples": 8, "sequence_length": 128, "precision": "bf16"}
    with pytest.raises(InputError, match=message):
        device_memory(named("bert-base"), **{**sizes, **change})


class Adapter(torch.nn.Module):
    """A linear layer with a LoRA adapter in fp32, as PEFT makes it."""

    def __init__(self, inner):
        super().__init__()
        outputs, inputs = inner.weight.shape
        self.inner = inner
        self.down = torch.nn.Linear(inputs, 2, bias=False)
        self.up = torch.nn.Linear(2, outputs, bias=False)

    def forward(self, x):
        return self.inner(x) + self.up(self.down(x.to(self.down.weight.dtype)))


def with_adapters(model, targets):
    model.requires_grad_(False)
    for name, module in list(model.named_modules()):
        if name.endswith(targets):
            setattr(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], Adapter(module))
    return model


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj",
                                                            "up_proj", "down_proj")])  # fmt: skip
@pytest.mark.parametrize("kind", ["llama grouped"])
def test_what_a_layer_keeps_beside_adapters(kind, targets, precision):
    """One more layer of a frozen model with adapters, whose weights are loaded in the precision of the run."""

    def change(model):
        if precision == "bf16":
            model.to(torch.bfloat16)
        return with_adapters(model, targets)

    grown = [
        [saved_bytes(kind, layers, samples, precision, change) for layers in (1, 2)]
        for samples in (SAMPLES, 2 * SAMPLES)
    ]
    layer = (grown[1][1] - grown[1][0]) - (grown[0][1] - grown[0][0])
    sizes = {"model_type": kind.split()[0], **SMALL, **MODELS[kind]}
    ranges = [
        activation_bytes(
            read_architecture({**sizes, "num_hidden_layers": layers}, where="x"),
            samples=SAMPLES,
            sequence_length=LENGTH,
            precision=precision,
            keeps_inputs=False,
        )
        for layers in (1, 2)
    ]
    rank = 2 * 4 * len(targets) * SAMPLES * LENGTH  # what the adapters keep between their matrices
    assert ranges[1].low - ranges[0].low <= layer <= ranges[1].high - ranges[0].high + rank
