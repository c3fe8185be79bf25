"""A compiled model, and one that computes its activations again: the same losses, by other means."""

from __future__ import annotations

import json

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn
from transformers.models.bert.modeling_bert import BertSelfAttention

from dist_epochs.train.run import run_recipe


def losses(recipe, folder):
    """The loss of each step, as it was logged."""
    AcceleratorState._reset_state(reset_partial_state=True)
    run_recipe(recipe, folder, say=lambda _: None)
    lines = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    return [line["values"]["train/loss"] for line in lines if line["event"] == "metrics"]


@pytest.mark.parametrize("batch", [{"global_batch": 12, "per_device": 3}, {"global_batch": 10, "per_device": 4}])
def test_one_graph_for_each_length(batch, store, write_recipe, tmp_path, monkeypatch):
    """Six steps at 16 and three at 32; what is counted differs in each, and so do the documents in a sample.

    Ten samples are micro-batches of 4, 3 and 3: the smaller ones are filled with samples that do not count.
    """
    plain = losses(write_recipe(store.path, batch=batch), tmp_path / "plain")
    graphs, compile_in_place = [], nn.Module.compile

    def note(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def compile_with(module, **options):
        compile_in_place(module, backend=note, **options)

    torch._dynamo.reset()
    monkeypatch.setattr(nn.Module, "compile", compile_with)
    recipe = write_recipe(store.path, batch=batch, compile=True)
    assert losses(recipe, tmp_path / "compiled") == pytest.approx(plain, rel=1e-5)
    assert len(graphs) == 2


def test_activations_are_computed_again(store, write_recipe, tmp_path, monkeypatch):
    computed, plain = [], losses(write_recipe(store.path), tmp_path / "plain")
    forward = BertSelfAttention.forward

    def note(layer, *inputs, **named):
        computed.append(torch.is_grad_enabled())
        return forward(layer, *inputs, **named)

    monkeypatch.setattr(BertSelfAttention, "forward", note)
    losses(write_recipe(store.path), tmp_path / "counted")
    once, recipe = len(computed), write_recipe(store.path, hardware={"activation_checkpointing": True})
    assert losses(recipe, tmp_path / "again") == plain, "the same numbers, computed twice"
    micro_steps = 9 * 4
    assert len(computed) - once == once + micro_steps, "one layer, once more in every backward pass"
