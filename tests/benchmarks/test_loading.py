"""Batches from a store: `python -m pytest -m benchmark -s tests/benchmarks/test_loading.py`.

Other tools' are in `tests.benchmarks.peers`.
"""

from __future__ import annotations

import os
import statistics
import time
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.schedule import Phase, Schedule
from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.streaming.planning import objective_of
from dist_epochs.corpus.streaming.stream import Corpus
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.recipe import ModelRecipe
from tests.benchmarks.peers import documents_of

LENGTH, PAIRS = 512, 15


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """About 2.5 million tokens."""
    folder = tmp_path_factory.mktemp("loading")
    (folder / "text.txt").write_text("\n".join(documents_of(EMBEDDED, copies=20)))
    settings = Settings(sequence_lengths=(LENGTH,))
    tokenize(find_sources((str(folder / "text.txt"),)), TextTokenizer(EMBEDDED), settings, out=folder / "store")
    return Store(folder / "store")


def windows(store, samples, first_step=0, objective="masked"):
    """The windows of one process, from a corpus of their own."""
    source = store.sources()[0].name
    corpus = Corpus(
        store,
        schedule=Schedule((Phase(steps=10**6, sequence_length=LENGTH, global_batch=samples),)),
        mixture=Mixture.of({source: Fraction(1)}),
        objective=objective_of(ModelRecipe(objective=objective, config="unused"), store),
        seed=0,
    )
    return corpus.windows([GlobalBatch(samples=samples, data_parallel_size=1, per_device=samples)], 0, first_step)


def bare(store, samples):
    """Samples of a memory map at random places, masked at random: no documents, no counts, no order that returns."""
    tokens, draw = store.sources()[0].shard_tokens(0), np.random.default_rng(0)
    special, mask = np.array(store.special_ids), store.tokenizer().role_id("mask_token")
    vocabulary = store.tokenizer().vocabulary_size
    while True:
        starts = draw.integers(0, len(tokens) - LENGTH, samples)
        ids = np.stack([tokens[start : start + LENGTH] for start in starts]).astype(np.int64)
        fate = draw.random(ids.shape, np.float32)
        chosen = (fate < 0.15) & ~np.isin(ids, special)
        labels = np.where(chosen, ids, -100)
        ids[chosen & (fate < 0.12)] = mask
        random = chosen & (fate >= 0.12) & (fate < 0.135)
        ids[random] = draw.integers(0, vocabulary, int(random.sum()))
        yield ids, labels


def seconds(batches, count):
    began = time.process_time()
    for _ in islice(batches, count):
        pass
    return time.process_time() - began


def ratios(above, below):
    found = sorted(a / b for a, b in zip(above, below, strict=True))
    return f"{statistics.median(found):.2f} [{found[0]:.2f}..{found[-1]:.2f}]"


@pytest.mark.benchmark
@pytest.mark.parametrize("samples", [8, 64, 256])
def test_positions_a_cpu_second(store, samples):
    ways = {
        "masked": windows(store, samples),
        "causal": windows(store, samples, objective="causal"),
        "a bare memory map, masked": bare(store, samples),
    }
    count = 4096 // samples
    for batches in ways.values():
        seconds(batches, 10)
    took = [{name: seconds(batches, count) for name, batches in ways.items()} for _ in range(PAIRS)]
    print(
        f"\nbatches of {samples} × {LENGTH}, {PAIRS} rounds, load {os.getloadavg()[0]:.1f}, M positions a CPU second:"
    )
    for name in ways:
        paces = sorted(count * samples * LENGTH / each[name] / 1e6 for each in took)
        print(f"  {name:<26}{statistics.median(paces):6.1f} [{paces[0]:.1f}..{paces[-1]:.1f}]")


@pytest.mark.benchmark
def test_the_first_batch_at_the_last_sample(store):
    """The first batch of a new corpus, at the first and at the last step of a pass, and after a million steps."""
    samples = 64
    last = store.facts().sources[0].samples[LENGTH] // samples - 1
    steps = (0, last, 10**6 - 1)
    took = [[seconds(windows(store, samples, step), 1) for step in steps] for _ in range(PAIRS + 1)][1:]
    first, *others = zip(*took, strict=True)
    milliseconds = 1000 * statistics.median(first)
    print(f"\nfirst batch, load {os.getloadavg()[0]:.1f}: {milliseconds:.1f} ms of CPU at the first step")
    for step, other in zip(steps[1:], others, strict=True):
        print(f"  at step {step:,} × {ratios(other, first)}")
