"""The gathered head and the chunked loss against all logits, with a dense mask, by transformers and torch alone."""

from __future__ import annotations

import copy
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from dist_epochs.corpus.streaming.objective import IGNORED, Causal, Masked
from dist_epochs.corpus.streaming.stream import MicroBatch
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.recipe import ModelRecipe
from dist_epochs.train import chunked_loss
from dist_epochs.train.loss import loss_sum, to_device
from dist_epochs.train.loss_model import LossModel
from dist_epochs.train.model import build_model, model_config

CPU = torch.device("cpu")
TOKENIZER = TextTokenizer(EMBEDDED)
WIDE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
MODELS = {
    "bert": ("masked", WIDE),
    "roberta": ("masked", WIDE | {"pad_token_id": 0, "max_position_embeddings": 40}),
    "electra": ("masked", WIDE | {"embedding_size": 16}),
    "modernbert": ("masked", WIDE | {"layer_types": ["full_attention"] * 2}),
    "gpt2": ("causal", {"n_embd": 32, "n_layer": 2, "n_head": 4}),
    "llama": ("causal", WIDE | {"num_key_value_heads": 2}),
    "llama-tied": ("causal", WIDE | {"num_key_value_heads": 2, "tie_word_embeddings": True}),
    "gemma3_text": (
        "causal",
        WIDE | {"head_dim": 8, "final_logit_softcapping": 2.0, "layer_types": ["full_attention"] * 2},
    ),
}
OBJECTIVES = {
    "causal": Causal(),
    "masked": Masked(Fraction(3, 10), mask_id=4, special_ids=np.arange(4), ordinary_ids=np.arange(5, 2000)),
}


def make(name):
    objective, settings = MODELS[name]
    config = {"model_type": name.removesuffix("-tied"), "vocab_size": 2048, **settings}
    recipe = ModelRecipe(objective=objective, config=config)
    model = build_model(recipe, model_config(recipe, TOKENIZER), seed=1)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model.train(), OBJECTIVES[objective]


def packed(objective, samples=3, length=32):
    draw = np.random.default_rng(0)
    ids = draw.integers(5, 2000, (samples, length))
    segments = np.array([[1] * 10 + [2] * 15 + [0] * (length - 25)] * samples)
    inputs, labels = objective.inputs_and_labels(ids, segments, np.arange(samples, dtype=np.uint64))
    return MicroBatch(inputs, labels, segments)


def all_logits(model, batch, objective):
    """The loss of every logit with a dense mask."""
    segments, labels = torch.from_numpy(batch.segments), torch.from_numpy(batch.labels)
    mask = segments[:, None, :, None] == segments[:, None, None, :]
    mask = mask.tril() if objective.is_causal else mask
    logits = model(input_ids=torch.from_numpy(batch.input_ids), attention_mask=mask, use_cache=False).logits
    return nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum")


def difference(ours, theirs):
    return float((ours - theirs).norm() / theirs.norm().clamp_min(1e-12))


@pytest.mark.parametrize("rows_in_a_chunk", [10**6, 7])
@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients_are_those_of_all_logits(name, rows_in_a_chunk, monkeypatch):
    monkeypatch.setattr(chunked_loss, "CHUNK_NUMBERS", rows_in_a_chunk * 2048)
    model, objective = make(name)
    plain, batch = copy.deepcopy(model), packed(objective)
    theirs = all_logits(plain, batch, objective)
    (theirs * 3).backward()
    wrapped = LossModel(model)
    ours = loss_sum(wrapped, to_device(batch, CPU, objective))
    (ours * 3).backward()
    assert wrapped.gathers
    assert wrapped.is_chunked == (name != "gemma3_text"), "a model that caps its logits computes them itself"
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    expected = {name: parameter.grad for name, parameter in plain.named_parameters()}
    whole = [torch.cat([p.grad.flatten() for p in m.parameters()]) for m in (model, plain)]
    assert difference(*whole) < 1e-6
    for weight, parameter in model.named_parameters():
        off = (parameter.grad - expected[weight]).norm()
        assert off < 1e-5 * expected[weight].norm() + 1e-8 * whole[1].norm(), weight


@pytest.mark.parametrize("name", MODELS)
def test_a_micro_batch_without_counted_rows(name):
    model, objective = make(name)
    batch = packed(objective)
    nothing = MicroBatch(batch.input_ids, np.full_like(batch.labels, IGNORED), batch.segments)
    loss = loss_sum(LossModel(model), to_device(nothing, CPU, objective))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_one_document_a_sample_needs_no_mask(name):
    model, objective = make(name)
    ids = np.random.default_rng(1).integers(5, 2000, (2, 16))
    ones = np.ones_like(ids)
    inputs, labels = objective.inputs_and_labels(ids, ones, np.arange(2, dtype=np.uint64))
    batch = MicroBatch(inputs, labels, ones)
    expected = all_logits(copy.deepcopy(model), batch, objective)
    on_device = to_device(batch, CPU, objective)
    assert (on_device.attention_mask is None) == (not objective.is_causal)
    assert float(loss_sum(LossModel(model), on_device)) == pytest.approx(float(expected), rel=1e-6)


def test_shapes_do_not_follow_what_is_counted():
    shapes = set()
    for objective in OBJECTIVES.values():
        for padding in (0, 9):
            segments = np.array([[1] * (32 - padding) + [0] * padding] * 3)
            ids = np.random.default_rng(padding).integers(5, 2000, segments.shape)
            inputs, labels = objective.inputs_and_labels(ids, segments, np.arange(3, dtype=np.uint64))
            batch = to_device(MicroBatch(inputs, labels, segments), CPU, objective)
            assert int((batch.targets != IGNORED).sum()) == (labels != IGNORED).sum()
            shapes.add((objective.is_causal, batch.positions.shape, batch.targets.shape))
    assert shapes == {(True, (93,), (93,)), (False, (30,), (30,))}


def test_the_weights_keep_their_names():
    model, _ = make("bert")
    names = {name for name, _ in model.named_parameters()}
    LossModel(model)
    assert {name for name, _ in model.named_parameters()} == names


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_autocast(kind):
    """Products in half precision, sums in float32: near the gradient of float32."""
    torch.manual_seed(0)
    rows, weight, bias = torch.randn(50, 32), torch.randn(2048, 32) / 8, torch.randn(2048) / 8
    targets = torch.randint(0, 2048, (50,))
    targets[::5] = IGNORED
    found = []
    for enabled in (False, True):
        leaves = [each.clone().requires_grad_() for each in (rows, weight, bias)]
        with torch.autocast("cpu", dtype=kind, enabled=enabled):
            loss = chunked_loss.linear_cross_entropy(*leaves, targets)
        (loss / 40).backward()
        found.append((float(loss), [leaf.grad for leaf in leaves]))
    (exact, gradients), (half, of_half) = found
    assert half == pytest.approx(exact, rel=2e-2)
    assert all(difference(ours, theirs) < 2e-2 for ours, theirs in zip(of_half, gradients, strict=True))
