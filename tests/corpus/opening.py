"""Open a store, find batches in it and count a third of a pass: a program of its own, for its memory.

The store is that of `huge`, whose samples do not exist: counting takes them for alike.

    python tests/corpus/stores/opening.py STORE GLOBAL_BATCH
"""

from __future__ import annotations

import json
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from dist_epochs.arithmetic.counts import Draw, PassKey
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.schedule import Phase, Schedule
from dist_epochs.corpus.packing.packed import BlockPacking, SampleFacts
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.streaming.objective import Causal
from dist_epochs.corpus.streaming.stream import Corpus


def mebibytes() -> float:
    """The most memory that this program has had; not what the one that started it had."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main(path: Path, lanes: int) -> dict[str, float]:
    took = {"mebibytes_of_imports": mebibytes()}
    began = time.process_time()
    store = Store(path)
    name = store.sources()[0].name
    schedule = Schedule((Phase(steps=10**9, sequence_length=512, global_batch=lanes),))
    corpus = Corpus(store, schedule=schedule, mixture=Mixture.of({name: Fraction(1)}), objective=Causal(), seed=0)
    order = corpus._orders[name, 512]
    order.locate(0, np.arange(lanes))
    took["start"] = time.process_time() - began
    took["mebibytes"] = mebibytes()
    times = []
    for step in range(10, 60):
        began = time.process_time()
        order.locate(0, np.arange(step * lanes, (step + 1) * lanes))
        times.append(time.process_time() - began)
    took["locate"] = sorted(times)[len(times) // 2]
    took["samples"] = order.size
    BlockPacking.facts_of = lambda packing, blocks, rows: SampleFacts(*(np.full(len(rows), n) for n in (512, 2, 508)))
    began = time.process_time()
    counts = corpus.counter().count(Draw(PassKey(0, name, 512, 0), 0, order.size // 3))
    took["plan"] = time.process_time() - began
    took["tokens"] = counts.tokens
    took["mebibytes_of_plan"] = mebibytes()
    return took


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
