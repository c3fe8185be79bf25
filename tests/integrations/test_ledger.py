"""Batches that pass through a ledger are those of the loader, however they are drawn."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from dist_epochs import Ledger
from dist_epochs.ledger.reconcile import read_run

ROWS, BATCH = 12, 4


def loader(**options):
    return DataLoader(TensorDataset(torch.arange(float(ROWS))[:, None]), batch_size=BATCH, **options)


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path)
    yield made
    made.close()


def train(ledger, batches):
    """One `for` over the batches: the rows that a model was given."""
    given = []
    for (rows,) in batches:
        given += rows.flatten().tolist()
        ledger.step()
    return given


def booked(ledger, tmp_path):
    ledger.close()
    return read_run(tmp_path).to_json()


@pytest.mark.parametrize("wrapped_once", [True, False])
def test_every_for_is_a_pass(ledger, tmp_path, wrapped_once):
    plain = loader()
    watched = ledger.watch(plain)
    for _ in range(3):
        assert train(ledger, watched if wrapped_once else ledger.watch(plain)) == list(range(ROWS))
    recorded = booked(ledger, tmp_path)
    assert (recorded["steps"]["applied"], recorded["samples"], recorded["epochs"]["samples"]) == (9, 3 * ROWS, 3)
    assert [warning["rule"] for warning in recorded["warnings"]] == []


def test_a_pass_that_was_left_is_not_gone_on_with(ledger):
    watched = ledger.watch(loader())
    for (rows,) in watched:
        assert rows.flatten().tolist() == [0, 1, 2, 3]
        ledger.step()
        break
    assert train(ledger, watched) == list(range(ROWS))


def test_next_draws_from_one_pass(ledger, tmp_path):
    watched = ledger.watch(loader())
    given = []
    for _ in range(3):
        given += next(watched)[0].flatten().tolist()
        ledger.step()
    assert given == list(range(ROWS))
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(watched)
    assert train(ledger, watched) == list(range(ROWS)), "a pass that has ended is not continued"
    assert booked(ledger, tmp_path)["samples"] == 2 * ROWS


def test_for_goes_on_where_next_began(ledger, tmp_path):
    watched = ledger.watch(loader())
    given = next(watched)[0].flatten().tolist()
    ledger.step()
    assert given + train(ledger, watched) == list(range(ROWS))
    assert train(ledger, watched) == list(range(ROWS))
    assert booked(ledger, tmp_path)["samples"] == 2 * ROWS


def test_an_iterator_goes_on_where_it_was_left(ledger):
    """Without the ledger two loops over one iterator share its batches."""
    watched = ledger.watch(iter(loader()))
    first = next(watched)[0].flatten().tolist()
    ledger.step()
    for (rows,) in watched:
        first += rows.flatten().tolist()
        ledger.step()
        break
    assert first + train(ledger, watched) == list(range(ROWS))
    assert train(ledger, watched) == []


def test_the_loader_can_be_reached_through_it(ledger):
    """A trainer that is handed the wrapped loader shuffles anew in each epoch, as it would without the ledger."""
    data = TensorDataset(torch.arange(float(ROWS))[:, None])
    plain = DataLoader(data, batch_size=BATCH, sampler=DistributedSampler(data, num_replicas=1, rank=0))
    watched = ledger.watch(plain)
    drawn = []
    for epoch in range(2):
        watched.sampler.set_epoch(epoch)
        drawn.append(train(ledger, watched))
    expected = []
    for epoch in range(2):
        plain.sampler.set_epoch(epoch)
        expected.append([row for (rows,) in plain for row in rows.flatten().tolist()])
    assert drawn == expected
    assert drawn[0] != drawn[1]
    assert watched.dataset is data
    assert len(watched) == len(plain) == 3
    with pytest.raises(AttributeError, match="no_such_thing"):
        watched.no_such_thing  # noqa: B018
    assert copy.copy(watched).dataset is data


@pytest.mark.parametrize("workers", [0, 2])
def test_random_numbers_are_drawn_when_they_are_without_it(ledger, workers):
    """`iter` of a loader draws a seed; what the loop draws before its first batch comes after that."""
    orders = []
    for watch in (ledger.watch, lambda batches: batches):
        torch.manual_seed(3)
        batches = iter(watch(loader(shuffle=True, num_workers=workers)))
        drawn = torch.rand(1).item()
        orders.append((drawn, [rows.flatten().tolist() for (rows,) in batches]))
    assert orders[0] == orders[1]
