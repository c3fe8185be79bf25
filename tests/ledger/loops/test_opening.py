"""The beginning and the end of a plain loop's ledger, in one process."""

import json
import subprocess
import sys
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch

from dist_epochs import Ledger
from dist_epochs.errors import InputError
from dist_epochs.ledger.loops.counter import LoopCounter, Topology
from dist_epochs.ledger.loops.observed import Observed
from dist_epochs.ledger.loops.observer import Observer
from dist_epochs.ledger.loops.opening import topology_of
from dist_epochs.ledger.reconcile import read_run
from dist_epochs.runtime.batches import BatchCounter
from dist_epochs.runtime.peers import Sums


def text(samples=2, length=3):
    ids = torch.arange(1, samples * length + 1).reshape(samples, length)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def train(ledger, batches):
    for _ in ledger.watch(batches):
        ledger.step()


def test_a_store_tells_documents_and_tokens(tmp_path, store):
    facts = store.facts()
    for place in (store.path, store.path / "manifest.json"):
        run = tmp_path / place.name
        ledger = Ledger(run, store=place)
        train(ledger, [text()] * 5)
        ledger.close()
        books = read_run(run).to_json()
        assert books["data"] == {"samples": facts.documents, "tokens": facts.tokens, "known": "store"}
        assert books["epochs_exact"]["samples"] == str(Fraction(10, facts.documents))
        assert books["epochs_exact"]["tokens"] == str(Fraction(30, facts.tokens))
    with pytest.raises(InputError, match=r"manifest\.json: Is a directory"):
        Ledger(tmp_path / "x", store=tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(InputError, match="no manifest of a store"):
        Ledger(tmp_path / "y", store=tmp_path)


def test_what_batches_do_not_tell_is_null(tmp_path):
    ledger = Ledger(tmp_path, samples=4)
    train(ledger, [{"pixel_values": torch.rand(2, 3, 4, 4)}] * 2)
    ledger.close()
    books = read_run(tmp_path).to_json()
    assert [books[unit] for unit in ("samples", "positions", "tokens", "loss_tokens", "micro_steps")] == [
        4,
        None,
        None,
        None,
        2,
    ]
    assert books["epochs"] == {"samples": 1, "positions": None, "tokens": None}
    assert books["sources"] == [{"name": "data", "samples": 4, "tokens": None, "epochs": 1}]


def test_two_programs_do_not_write_to_one_ledger(tmp_path):
    first = Ledger(tmp_path)
    with pytest.raises(InputError, match="another program is running this run"):
        Ledger(tmp_path)
    first.close()
    Ledger(tmp_path).close()


def test_ranks_that_do_not_know_each_other_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="WORLD_SIZE is 2 and this process knows of no other rank"):
        Ledger(tmp_path)


@pytest.mark.parametrize(
    ("named", "message"), [({"samples": 0}, "samples must be at least 1"), ({"from_step": -1}, "from_step must be")]
)
def test_sizes_below_one_are_refused(tmp_path, named, message):
    with pytest.raises(InputError, match=message):
        Ledger(tmp_path, **named)


def test_going_on(tmp_path):
    with pytest.raises(InputError, match="no ledger there, and from_step is 3"):
        Ledger(tmp_path, from_step=3)
    ledger = Ledger(tmp_path, samples=10)
    train(ledger, [text()] * 6)
    ledger.close("stopped", "time is up")
    again = Ledger(tmp_path, from_step=4)
    train(again, [text()] * 3)
    again.close()
    books = read_run(tmp_path).to_json()
    assert books["steps"] == {"applied": 7, "skipped": 0, "replayed": 2, "unfinished": 0}
    assert (books["samples"], books["epochs"]["samples"], books["data"]["known"]) == (14, 1.4, "stated")
    assert [segment["reason"] for segment in books["segments"]] == ["time is up", None]


def test_a_step_without_a_batch_is_an_error(tmp_path):
    ledger = Ledger(tmp_path)
    for _ in ledger.watch([text()]):
        ledger.step()
        with pytest.raises(RuntimeError, match="a step without a batch"):
            ledger.step()
    ledger.close("failed")


def test_ranks_that_see_the_same_data_count_once():
    """Two tensor-parallel ranks of each of two groups."""
    topologies = [
        topology_of(SimpleNamespace(rank=rank, size=4), SimpleNamespace(tp_size=2, cp_size=1)) for rank in range(4)
    ]
    assert topologies == [Topology(groups=2, group=rank // 2, counts=rank % 2 == 0) for rank in range(4)]
    with pytest.raises(InputError, match="sequence parallelism of 2"):
        topology_of(SimpleNamespace(rank=0, size=2), SimpleNamespace(tp_size=1, cp_size=1, sp_size=2))


def test_the_message_of_a_rank_that_does_not_count():
    sent = []
    peers = SimpleNamespace(rank=1, size=2, sum=lambda values: sent.append(list(values)) or Sums(lambda: values))
    books = SimpleNamespace(begin=print, writes=False)
    batches = BatchCounter()
    batches.look(text())
    counter = LoopCounter(
        Observer(books, Observed(), print), batches, peers, Topology(groups=1, group=0, counts=False), 0
    )
    counter._receive = lambda *received: None
    counter.add(text())
    counter.step(applied=True)
    assert sent == [[1, 1, *[0] * 8]]


@pytest.mark.parametrize(
    ("ends", "status"), [("", "finished"), ("raise KeyboardInterrupt", "stopped"), ("1 / 0", "failed")]
)
def test_the_end_is_written_by_itself(tmp_path, ends, status):
    program = f"""
import torch
from dist_epochs import Ledger
ledger = Ledger({str(tmp_path)!r})
for step, batch in enumerate(ledger.watch([{{"input_ids": torch.ones(2, 3, dtype=torch.long)}}] * 3)):
    if step == 2:
        {ends or "pass"}
    ledger.step()
"""
    subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=60)
    books = read_run(tmp_path).to_json()
    assert (books["status"], books["steps"]["applied"]) == (status, 2 if ends else 3)
    assert json.dumps(books)
