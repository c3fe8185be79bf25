"""Draws one pass of a store in masked batches of 512: `python -m tests.benchmarks.streamed STORE`."""

import sys
from fractions import Fraction
from pathlib import Path

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.schedule import Phase, Schedule
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.streaming.planning import objective_of
from dist_epochs.corpus.streaming.stream import Corpus
from dist_epochs.recipe import ModelRecipe

if __name__ == "__main__":
    store = Store(Path(sys.argv[1]))
    (source,) = store.sources()
    steps = source.packed_lengths()[512] // 256
    stream = Corpus(
        store,
        schedule=Schedule((Phase(steps=steps, sequence_length=512, global_batch=256),)),
        mixture=Mixture.of({source.name: Fraction(1)}),
        objective=objective_of(ModelRecipe(objective="masked", config="unused"), store),
        seed=0,
    )
    batch = [GlobalBatch(samples=256, data_parallel_size=1, per_device=32)]
    windows = sum(1 for _ in stream.windows(batch, 0, 0))
    print(f"{windows:,} batches of 256 samples")
