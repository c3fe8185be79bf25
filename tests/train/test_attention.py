"""Attention by the ends of documents, on the CPU by its reference: one document after another."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, DebertaV2Config

from dist_epochs.errors import InputError
from dist_epochs.train.attention import attend_within_documents, choose_attention
from dist_epochs.train.loss import loss_sum, to_device
from dist_epochs.train.loss_model import LossModel
from tests.train.test_loss_model import CPU, MODELS, all_logits, difference, make, packed


def without_dropout(name):
    model, objective = make(name)
    for key in ("attention_probs_dropout_prob", "attn_pdrop", "attention_dropout"):
        if hasattr(model.config, key):
            setattr(model.config, key, 0.0)
    for module in model.modules():
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
    return model, objective


@pytest.mark.parametrize("name", [name for name in MODELS if name != "gemma3_text"])
def test_loss_and_gradients_are_those_of_a_mask(name):
    model, objective = without_dropout(name)
    plain, batch = copy.deepcopy(model), packed(objective)
    theirs = all_logits(plain, batch, objective)
    theirs.backward()
    wrapped = LossModel(model)
    wrapped.documents, why = attend_within_documents(wrapped, causal=objective.is_causal)
    assert wrapped.documents is not None, why
    inputs = to_device(batch, CPU, objective, by_ends=True)
    assert inputs.attention_mask is None
    ours = loss_sum(wrapped, inputs)
    ours.backward()
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    whole = [torch.cat([p.grad.flatten() for p in m.parameters()]) for m in (model, plain)]
    assert difference(*whole) < 2e-6


def test_the_ends_of_documents():
    _, objective = make("bert")
    inputs = to_device(packed(objective), CPU, objective, by_ends=True)
    starts = [sample * 32 + at for sample in range(3) for at in (0, 10, 25)]
    assert inputs.ends.tolist() == starts + [96] * (64 - len(starts))
    assert inputs.ends.dtype == torch.int32


def test_a_model_that_ignores_the_registered_attention_is_caught():
    """DeBERTa-v2 accepts the name, computes its own attention, and lets documents see each other without a mask."""
    config = DebertaV2Config(
        vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    model = AutoModelForMaskedLM.from_config(config)
    before = model.config._attn_implementation
    documents, why = attend_within_documents(LossModel(model), causal=False)
    assert documents is None
    assert "deberta-v2" in why
    assert model.config._attn_implementation == before


def test_dropout_in_the_attention_keeps_the_mask():
    model, _ = make("gpt2")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.1
    documents, why = attend_within_documents(LossModel(model), causal=True)
    assert documents is None
    assert "0.1 in its attention" in why


@pytest.mark.parametrize("asked", ["auto", "mask"])
def test_a_cpu_takes_the_mask(asked):
    model, _ = make("llama")
    path = choose_attention(asked, LossModel(model), causal=True, kind=torch.bfloat16)
    assert path.documents is None
    assert path.why.startswith("a dense mask")
    assert model.config._attn_implementation == "sdpa"


def test_the_kernel_is_not_had_everywhere():
    model, _ = make("llama")
    with pytest.raises(InputError) as refused:
        choose_attention("varlen", LossModel(model), causal=True, kind=torch.bfloat16)
    assert "needs CUDA" in refused.value.asked
    assert refused.value.origin.name == "attention"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_the_kernel_against_the_mask(name):
    model, objective = without_dropout(name)
    model.cuda()
    plain, batch = copy.deepcopy(model), packed(objective)
    device, wrapped = torch.device("cuda"), LossModel(model)
    path = choose_attention("varlen", wrapped, causal=objective.is_causal, kind=torch.bfloat16)
    wrapped.documents = path.documents
    with torch.autocast("cuda", dtype=torch.bfloat16):
        ours = loss_sum(wrapped, to_device(batch, device, objective, by_ends=True))
        theirs = loss_sum(LossModel(plain), to_device(batch, device, objective))
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-2)


def test_samples_without_a_border_are_one_document():
    _, objective = make("bert")
    batch = packed(objective)
    whole = type(batch)(batch.input_ids, batch.labels, np.ones_like(batch.segments))
    assert to_device(whole, CPU, objective, by_ends=True).ends.tolist()[:4] == [0, 32, 64, 96]
