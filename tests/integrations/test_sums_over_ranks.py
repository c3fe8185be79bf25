"""What a rank sends to the others."""

from types import SimpleNamespace

import torch

from dist_epochs.integrations.batches import BatchCounter
from dist_epochs.integrations.monitor import Monitor
from dist_epochs.integrations.observation import ObservedLoop
from dist_epochs.integrations.ranks import Topology
from dist_epochs.integrations.sums_over_ranks import Step, SumsOverRanks
from dist_epochs.runtime.peers import Sums


def sent_by(*, counts):
    """The message of a rank that has drawn two samples of three tokens and stepped."""
    sent = []
    peers = SimpleNamespace(rank=1, size=2, sum=lambda values: sent.append(list(values)) or Sums(lambda: values))
    batches = BatchCounter()
    batch = batches.count({"input_ids": torch.arange(1, 7).reshape(2, 3)})
    monitor = Monitor(SimpleNamespace(writes=False), ObservedLoop(), print)
    sums = SumsOverRanks(monitor, batches, peers, Topology(groups=1, group=0, counts=counts))
    sums._receive = lambda mark, sources, sums: (each for each in [sums])
    sums.add(batch)
    sums.add(Step((batch,), applied=True, scheduler=None, advanced=None, taken=0.0))
    sums.record()
    assert sums.are_recorded
    return sent


def test_a_rank_that_counts_for_its_group():
    ((*message, digest, fingerprint),) = sent_by(counts=True)
    assert message == [1, 1, 0, 0, 0, 0, 0, 6, 2, 6, 0, 0]
    assert digest == fingerprint != 0


def test_a_rank_that_sees_what_another_counts():
    assert sent_by(counts=False) == [[1, 1, *[0] * 12]]
