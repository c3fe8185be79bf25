"""The batches of an evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from dist_epochs.corpus.streaming.hashing import hash_each, key
from dist_epochs.corpus.streaming.held_out import HeldOutBatches
from dist_epochs.corpus.streaming.objective import IGNORED
from dist_epochs.corpus.streaming.planning import objective_of
from dist_epochs.recipe import ModelRecipe


@pytest.mark.parametrize("devices", [1, 3, 4])
def test_held_out_samples_are_each_seen_once_in_order(store, devices):
    """Two sources, one of several blocks, against a walk through their blocks and rows."""
    objective = objective_of(ModelRecipe(objective="masked", config="unused"), store)
    packings = [store.sources(held_out=held_out)[0].packing(32) for held_out in (True, False)]
    walked = [
        packing.read(np.array([block]), np.array([row]), 0)
        for packing in packings
        for block, samples in enumerate(packing.block_samples.tolist())
        for row in range(samples)
    ]
    ids, segments = (np.concatenate(arrays) for arrays in zip(*walked, strict=True))
    inputs, labels = objective.inputs_and_labels(ids, segments, hash_each(key("evaluation"), np.arange(len(ids))))
    world = [
        HeldOutBatches(packings, objective, devices=devices, rank=rank, per_device=9, pad=0) for rank in range(devices)
    ]
    for _ in range(2):
        batches = [list(of_rank) for of_rank in world]
        assert len({len(of_rank) for of_rank in batches}) == 1
        real = [batch for of_rank in batches for batch in of_rank if (batch.labels != IGNORED).any()]
        for name, expected in (("input_ids", inputs), ("labels", labels), ("segments", segments)):
            assert (np.concatenate([getattr(batch, name) for batch in real]) == expected).all()


def test_a_rank_without_held_out_samples_gets_real_ones_without_labels(store):
    objective = objective_of(ModelRecipe(objective="masked", config="unused"), store)
    packing = store.sources(held_out=True)[0].packing(32)
    devices = packing.samples + 1
    (batch,) = HeldOutBatches([packing], objective, devices=devices, rank=devices - 1, per_device=1, pad=0)
    assert batch.input_ids.shape == (1, 32)
    assert (batch.segments > 0).any()
    assert (batch.labels == IGNORED).all()
