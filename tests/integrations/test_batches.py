"""Counts of a batch against plain Python over its numbers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.integrations import batches as module
from dist_epochs.integrations.batches import BatchCounter
from dist_epochs.runtime.host_copy import HostCopy


def padded(lengths, width, seed=0):
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 1000, (len(lengths), width), generator=draw)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    return {"input_ids": ids * mask, "attention_mask": mask.long()}


def counts(batch, counter=None):
    counter = counter or BatchCounter()
    counter.inspect(batch)
    found = counter.count(batch)
    samples, tokens, loss_tokens, first, digest = found.rest.read()
    return {
        "samples": samples,
        "positions": found.positions,
        "tokens": tokens,
        "loss": loss_tokens,
        "first": first,
        "digest": digest,
    }


@given(st.lists(st.integers(1, 12), min_size=1, max_size=9), st.integers(0, 5))
def test_tokens_and_loss_tokens(lengths, hidden):
    batch = padded(lengths, 12)
    batch["labels"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    batch["labels"][:, :hidden] = -100
    found = counts(batch)
    assert (found["samples"], found["positions"]) == (len(lengths), 12 * len(lengths))
    assert found["tokens"] == sum(lengths)
    assert found["loss"] == sum(max(0, length - hidden) for length in lengths)
    assert found["first"] == (0 if hidden else len(lengths))


@given(st.permutations(range(6)), st.integers(0, 7))
def test_a_digest_knows_samples_not_their_order_or_padding(order, more):
    batch = padded([3, 5, 8, 8, 1, 4], 8)
    moved = {
        name: torch.nn.functional.pad(values[list(order)], (0, more)) for name, values in batch.items()
    }  # fmt: skip
    assert counts(moved)["digest"] == counts(batch)["digest"]
    batch["input_ids"][2, 3] += 1
    assert counts(moved)["digest"] != counts(batch)["digest"]


def test_the_digest_of_parts_adds_up():
    batch = padded([4] * 6, 4)
    parts = [{name: values[at : at + 2] for name, values in batch.items()} for at in (0, 2, 4)]
    assert sum(counts(part)["digest"] for part in parts) % 2**64 == counts(batch)["digest"] % 2**64


def test_no_two_of_ten_thousand_samples_have_the_same_digest():
    ids = torch.cartesian_prod(torch.arange(100), torch.arange(100), torch.arange(100))
    one_by_one = BatchCounter()
    hashes = {one_by_one.count({"input_ids": row[None]}).rest.read()[-1] for row in ids[::97]}
    assert len(hashes) == len(ids[::97])


def test_on_the_host_and_on_a_device_the_same_numbers(monkeypatch):
    """Numpy and torch wrap alike."""
    batch = padded([3, 5, 8], 8)
    found = counts(batch)
    monkeypatch.setattr(module, "_array", lambda values: values)
    assert counts(batch) == found


def test_labels_that_are_the_inputs_are_shifted_by_the_model():
    counter = BatchCounter()
    batch = padded([3, 4], 4)
    counter.inspect(batch)
    assert counter.shifts is None
    assert counter.units == ("samples", "positions", "tokens")
    for labels, shifts in ((batch["input_ids"].clone(), True), (batch["input_ids"] + 1, False)):
        counter = BatchCounter()
        counter.inspect(batch | {"labels": labels})
        assert counter.shifts is shifts
        assert counter.units == ("samples", "positions", "tokens", "loss_tokens")


def test_other_batches():
    images = {"pixel_values": torch.rand(5, 3, 8, 8), "labels": torch.arange(5)}
    counter = BatchCounter()
    assert counts(images, counter)["samples"] == 5
    assert counter.units == ("samples",)
    assert counts(images)["digest"] != counts({"pixel_values": torch.rand(5, 3, 8, 8)})["digest"]
    assert counts(torch.rand(3, 7).half())["samples"] == 3
    inputs = torch.randint(9, (4, 6))
    counter = BatchCounter()
    pair = counts((inputs[:, :-1], inputs[:, 1:]), counter)
    assert (pair["positions"], pair["tokens"], pair["loss"]) == (20, 20, 20)
    assert counter.assumes_tokens
    assert not counter.shifts
    row = {"input_ids": torch.arange(9)[None], "position_ids": torch.tensor([[0, 1, 2, 0, 1, 0, 1, 2, 3]])}
    counter = BatchCounter()
    assert counts(row, counter)["samples"] == 3
    assert counter.counts_restarts
    block = padded([4, 4], 4) | {"attention_mask": torch.ones(2, 1, 4, 4)}
    assert counts(block)["tokens"] == 8


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_counting_on_a_device_does_not_wait_for_it():
    batch = {name: values.cuda() for name, values in padded([3, 5, 8], 8).items()}
    batch["labels"] = batch["input_ids"].clone()
    counter = BatchCounter()
    counter.inspect(batch)
    counter.count(batch).rest.read()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = counter.count(batch)
        copy = HostCopy(torch.arange(3, device="cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert found.rest.read() == counter.count({name: values.cpu() for name, values in batch.items()}).rest.read()
    assert copy.read() == [0, 1, 2]
