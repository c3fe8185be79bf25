"""Nothing in a step waits for the device: no value is asked of a tensor that a device may still be computing."""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig

from dist_epochs.corpus.streaming.objective import Causal, Masked
from dist_epochs.corpus.streaming.stream import MicroBatch
from dist_epochs.runtime.host_copy import HostCopy
from dist_epochs.train import loop
from dist_epochs.train.attention import attend_within_documents
from dist_epochs.train.loss import loss_sum, to_device
from dist_epochs.train.loss_model import LossModel
from dist_epochs.train.model import untrained
from dist_epochs.train.run import run_recipe
from tests.conftest import tiny_model

ASKS = {
    Tensor.item, Tensor.tolist, Tensor.cpu, Tensor.numpy, Tensor.nonzero, torch.nonzero, Tensor.is_nonzero,
    torch.is_nonzero, Tensor.__bool__, Tensor.__int__, Tensor.__float__, Tensor.__index__, Tensor.__contains__,
    Tensor.equal, torch.equal, Tensor.allclose, torch.allclose, Tensor.masked_select, torch.masked_select,
    Tensor.unique, torch.unique,
}  # fmt: skip
"""Calls that wait. On the CPU `cpu`, `numpy` and `tolist` dispatch nothing, so only a function mode sees them."""

ANSWERS = {
    torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.equal, torch.ops.aten.masked_select,
    torch.ops.aten.is_nonzero, torch.ops.aten._unique2, torch.ops.aten.allclose,
}  # fmt: skip
"""Operations that wait. Those of C++ code, as of the backward pass, never pass a function mode."""


class Watch:
    """Notes who asks for a value. Tensors of `known` are on the host in any case."""

    def __init__(self):
        self.asked, self.known, self.allowed = [], set(), False

    def saw(self, what, arguments):
        tensors = [argument for argument in arguments if isinstance(argument, Tensor)]
        if not self.allowed and not any(id(tensor) in self.known for tensor in tensors):
            self.asked.append(f"{what}\n{''.join(traceback.format_stack(limit=9)[:-2])}")

    @contextmanager
    def on(self):
        with FunctionMode(self), DispatchMode(self):
            yield


class FunctionMode(TorchFunctionMode):
    def __init__(self, watch):
        super().__init__()
        self.watch = watch

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in ASKS:
            self.watch.saw(func, args)
        return func(*args, **(kwargs or {}))


class DispatchMode(TorchDispatchMode):
    def __init__(self, watch):
        super().__init__()
        self.watch = watch

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        mask = func.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_)
        if func.overloadpacket in ANSWERS or (mask and any(i is not None and i.dtype == torch.bool for i in args[1])):
            self.watch.saw(func, args)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "ask",
    [
        Tensor.item, Tensor.tolist, Tensor.cpu, Tensor.numpy, Tensor.nonzero, torch.argwhere, bool, float, int,
        lambda tensor: tensor[tensor > 0], lambda tensor: torch.equal(tensor, tensor), lambda tensor: 1 in tensor,
        lambda tensor: [0, 1][tensor.long()], lambda tensor: f"{tensor}",
    ],
)  # fmt: skip
def test_the_watch_sees_every_way_of_asking(ask):
    watch, tensor = Watch(), torch.ones(())
    with watch.on():
        ask(tensor)
    assert watch.asked


def test_the_watch_sees_nothing_else():
    watch, tensor = Watch(), torch.ones(3, requires_grad=True)
    with watch.on():
        (tensor.index_select(0, torch.tensor([0, 2])) * 2).sum().backward()
        torch.zeros(2, 3).copy_(tensor.detach()).to("cpu").float()
    assert not watch.asked


@pytest.fixture(params=["bert", "gpt2"])
def recipe(request, store, write_recipe):
    """Two lengths, three micro-batches a step, and a row every third step."""
    model = {"objective": "masked" if request.param == "bert" else "causal", "config": tiny_model(request.param)}
    batch = {"global_batch": 9, "per_device": 3}
    phases = [{"steps": 8, "sequence_length": 16}, {"steps": 7, "sequence_length": 32}]
    return write_recipe(store.path, model=model, batch=batch, phases=phases, log_every=3)


def between(monkeypatch, first, last, enter, leave):
    """Call `enter` before the step `first`, and `leave` before the step `last`."""
    take_step = loop.take_step

    def step(run, drawn):
        if drawn.step == first:
            enter(run)
        if drawn.step == last:
            leave()
        return take_step(run, drawn)

    monkeypatch.setattr(loop, "take_step", step)


def test_no_step_asks_for_a_value(recipe, tmp_path, monkeypatch):
    """From the third step on; in them five rows are logged, and their values read when the next step has been taken."""
    watch, copies = Watch(), []
    modes = watch.on()
    steps = {"begun": 0}

    def enter(run):
        # Adam's own count of steps is on the host, wherever the weights are
        watch.known |= {id(state["step"]) for state in run.optimizer.state.values()}
        modes.__enter__()

    between(monkeypatch, 3, 15, enter, lambda: modes.__exit__(None, None, None))
    read, begin, take_step = HostCopy.read, HostCopy.__init__, loop.take_step

    def counted(run, drawn):
        steps["begun"] = drawn.step
        return take_step(run, drawn)

    def began(self, values):
        self.began = steps["begun"]
        begin(self, values)

    def arrived(self):
        """What was copied a step ago may be read."""
        copies.append(steps["begun"] - self.began)
        watch.allowed = True
        try:
            return read(self)
        finally:
            watch.allowed = False

    monkeypatch.setattr(loop, "take_step", counted)
    monkeypatch.setattr(HostCopy, "read", arrived)
    monkeypatch.setattr(HostCopy, "__init__", began)
    run_recipe(recipe, tmp_path / "run", say=lambda line: None)
    assert not watch.asked, "\n".join(dict.fromkeys(watch.asked))
    assert copies == [1, 1, 1, 1, 0]  # the last row has no step after it


@pytest.mark.parametrize("documents", ["by a mask", "by their ends", "alone"])
@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "modernbert", "gpt2", "llama", "gpt_neox"])
def test_no_model_asks_for_a_value(kind, documents):
    """Some models of transformers look for padding or for packed documents where they are given no mask."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = AutoConfig.for_model(
        kind, vocab_size=2048, pad_token_id=0, bos_token_id=2, eos_token_id=3, **(sizes if kind != "gpt2" else {})
    )
    objective = Causal()
    if kind not in ("gpt2", "llama", "gpt_neox"):
        objective = Masked(Fraction(3, 10), mask_id=4, special_ids=np.arange(4), ordinary_ids=np.arange(5, 2000))
    ids = np.random.default_rng(0).integers(5, 2000, (2, 16))
    segments = np.array([[1] * 7 + [2] * 6 + [0] * 3] * 2) if documents != "alone" else np.ones_like(ids)
    inputs, labels = objective.inputs_and_labels(ids, segments, np.arange(2, dtype=np.uint64))
    for name in ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop"):
        setattr(config, name, 0.0)
    model, watch = LossModel(untrained(config, "causal" if objective.is_causal else "masked")), Watch()
    if documents == "by their ends":
        model.documents, why = attend_within_documents(model, causal=objective.is_causal)
        assert model.documents is not None, why
    micro_batch = MicroBatch(inputs, labels, segments)
    batch = to_device(micro_batch, torch.device("cpu"), objective, by_ends=model.documents is not None)
    watch.known.add(id(batch.ends))  # the loop over documents that stands in for the kernel reads them
    with watch.on():
        loss_sum(model, batch).backward()
    assert not watch.asked, "\n".join(watch.asked)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_step_waits_for_the_gpu(recipe, tmp_path, monkeypatch, precision):
    """Torch raises where anything waits, the thread that makes the batches included."""
    between(
        monkeypatch, 3, 15, lambda run: torch.cuda.set_sync_debug_mode("error"),
        lambda: torch.cuda.set_sync_debug_mode("default"),
    )  # fmt: skip
    try:
        run_recipe(recipe, tmp_path / "run", [f"precision={precision}"], say=lambda line: None)
    finally:
        torch.cuda.set_sync_debug_mode("default")
