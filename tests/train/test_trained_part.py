"""Adapters and frozen layers: what torch really computes and holds, beside the closed form."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from dist_epochs.arithmetic.quantity import parse
from dist_epochs.plan.cost.families import read_architecture
from dist_epochs.plan.cost.trained_part import partly_trained
from dist_epochs.recipe import AdapterRecipe, FrozenRecipe, ModelRecipe
from dist_epochs.recipe.model_families import CLOSED_FORM, FAMILIES

LENGTH, LAYERS, RANK = 16, 4, 3
SMALL = {
    "bert": {"hidden_size": 24, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": 40},
    "gpt2": {"n_embd": 24, "n_layer": LAYERS, "n_head": 4, "n_inner": 40},
    "llama": {"hidden_size": 24, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": 40,
              "num_key_value_heads": 2},
}  # fmt: skip
SMALL["roberta"] = SMALL["modernbert"] = SMALL["bert"]
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def config_of(family, **more):
    return {"model_type": family, "vocab_size": 50, **SMALL[family], **more}


def built(config, device="meta"):
    family = AutoModelForMaskedLM if FAMILIES[config["model_type"]].objective == "masked" else AutoModelForCausalLM
    with torch.device(device):
        return family.from_config(AutoConfig.for_model(**config, **TOKENS)).eval()


class Adapter(nn.Module):
    """A linear layer with a LoRA adapter, as PEFT computes it."""

    def __init__(self, inner, inputs, outputs, rank):
        super().__init__()
        self.inner = inner
        self.down = nn.Linear(inputs, rank, bias=False, device="meta")
        self.up = nn.Linear(rank, outputs, bias=False, device="meta")

    def forward(self, x):
        return self.inner(x) + self.up(self.down(x))


def with_adapters(model, targets):
    model.requires_grad_(False)
    for name, module in list(model.named_modules()):
        if name.endswith(tuple(f".{target}" for target in targets)):
            outputs, inputs = module.weight.shape
            parent = model.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], Adapter(module, inputs, outputs, RANK))
    return model


def counted(model):
    """FLOPs per position of one forward and backward pass."""
    ids = torch.zeros(1, LENGTH, dtype=torch.int64, device="meta")
    mask = torch.ones(1, 1, LENGTH, LENGTH, dtype=torch.bool, device="meta")
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, attention_mask=mask, use_cache=False).logits.sum().backward()
    return counter.get_total_flops() / LENGTH


def cost(config, **model):
    architecture = read_architecture(config, where="x")
    return partly_trained(ModelRecipe(config=config, **model), architecture, architecture)


@pytest.mark.parametrize("family", CLOSED_FORM)
def test_modules_have_the_names_and_sizes_of_transformers(family):
    architecture, model = read_architecture(config_of(family), where="x"), built(config_of(family))
    for module in architecture.modules:
        found = [part for name, part in model.named_modules() if f".{name}".endswith(f".{module.name}")]
        if module.name == "output.dense":  # attention.output.dense ends so too
            found = [part for part in found if set(part.weight.shape) == {24, 40}]
        assert len(found) == architecture.count_of(module), module.name
        assert {frozenset(part.weight.shape) for part in found} == {frozenset((module.inputs, module.outputs))}
    in_products = architecture.weights_in("layer", "linear", "head")
    assert in_products == architecture.matmul_parameters


@pytest.mark.parametrize("family", CLOSED_FORM)
def test_layers_and_embeddings_are_all_but_the_head(family):
    architecture, model = read_architecture(config_of(family), where="x"), built(config_of(family))
    base = model.base_model
    layers = next(part for part in base.modules() if isinstance(part, nn.ModuleList) and len(part) == LAYERS)
    assert architecture.layer_parameters == tuple(
        sum(weight.numel() for weight in each.parameters()) for each in layers
    )
    below = base.embed_tokens if family == "llama" else None if family == "gpt2" else base.embeddings
    below = below.parameters() if below is not None else (*base.wte.parameters(), *base.wpe.parameters())
    assert architecture.embedding_parameters == sum(weight.numel() for weight in below)


@pytest.mark.parametrize(
    "targets",
    [("q_proj", "v_proj"), ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"), ("v_proj",)],
)
def test_flops_of_lora_against_torch(targets):
    """Torch leaves out only what the lowest layer's inputs would get: no gradient is needed below it."""
    config = config_of("llama")
    found = cost(config, adapter=AdapterRecipe(rank=RANK, targets=targets))
    hidden, keys = 24, 12
    not_needed = 2 * hidden * (hidden + 2 * keys) + 2 * hidden * RANK * len({"q_proj", "k_proj", "v_proj"} & {*targets})
    scores_not_needed = sum(not {f"{name}_proj"} & {*targets} for name in "qk")  # of the lowest layer
    if scores_not_needed == 2:
        scores_not_needed += 1  # nor do the scores themselves
    not_needed += 2 * hidden * LENGTH * scores_not_needed
    model = with_adapters(built(config), targets)
    assert found.flops_per_token(LENGTH) - counted(model) == not_needed
    assert found.weights.trained == sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert found.parameters == sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("frozen", range(LAYERS + 1))
@pytest.mark.parametrize("is_tied", [False, True])
def test_flops_of_frozen_layers_against_torch(frozen, is_tied):
    config = config_of("llama", tie_word_embeddings=is_tied)
    found = cost(config, frozen=FrozenRecipe(layers=frozen))
    model = built(config)
    model.model.embed_tokens.requires_grad_(False)
    for layer in model.model.layers[:frozen]:
        layer.requires_grad_(False)
    assert found.flops_per_token(LENGTH) == counted(model)
    assert found.weights.trained == sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


@pytest.mark.parametrize("family", CLOSED_FORM)
def test_nothing_frozen_but_the_embeddings_costs_the_same(family):
    architecture = read_architecture(config_of(family), where="x")
    found = cost(config_of(family), frozen=FrozenRecipe(layers=0))
    tied = 2 * architecture.weights_in("head") * architecture.has_tied_head
    assert architecture.flops_per_token(LENGTH) - found.flops_per_token(LENGTH) == tied
    stated = cost(config_of(family), frozen=FrozenRecipe(trained=parse(architecture.parameters)))
    assert stated.flops_per_token(LENGTH) == architecture.flops_per_token(LENGTH)
