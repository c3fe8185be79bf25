"""How long a run waits for the shards of a store at an address, fetched ahead and not.

pytest -m benchmark -s tests/benchmarks/test_remote.py
"""

import time
from fractions import Fraction

import pytest

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.schedule import Phase, Schedule
from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.remote import ahead
from dist_epochs.corpus.remote.store import open_remote
from dist_epochs.corpus.stores import blocks
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.streaming.objective import Causal
from dist_epochs.corpus.streaming.stream import Corpus
from dist_epochs.corpus.tokenizing import tokenize_part
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.recipe.corpus import CacheRecipe
from dist_epochs.settings.address import Address
from tests.conftest import write_corpus
from tests.corpus.remote.server import serving

STEPS, STEP_SECONDS, ANSWER_SECONDS = 900, 0.01, 0.1


@pytest.mark.benchmark
@pytest.mark.timeout(300)
def test_waiting_for_shards(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(tokenize_part, "SHARD_TOKENS", 10_000)
    monkeypatch.setattr(tokenize_part, "BATCH_DOCUMENTS", 300)
    monkeypatch.setattr(blocks, "BLOCK_TOKENS", 3000)
    sources = find_sources((str(write_corpus(tmp_path / "web.txt", 60_000, 3)),))
    tokenize(sources, TextTokenizer(EMBEDDED), Settings(sequence_lengths=(64,)), out=tmp_path / "store")
    local = Store(tmp_path / "store")
    size = sum(shard["tokens"] for shard in local.sources()[0].entry["shards"]) * 2
    print(f"\n{len(local.sources()[0].entry['shards'])} shards of {size / 1e6:.1f} MB in all")
    print(f"{'on this machine':<46} waits {waited(local):5.1f} s")
    with serving(local.path) as server:
        fault = server.fault

        def late(name):
            time.sleep(ANSWER_SECONDS if name.endswith((".tokens", ".lengths")) else 0)
            return fault(name)

        server.fault = late
        for share in (Fraction(2), Fraction(2, 5)):
            for connections in (ahead.CONNECTIONS, 0):
                monkeypatch.setattr(ahead, "CONNECTIONS", connections)
                cache = CacheRecipe(
                    folder=str(tmp_path / f"cache-{float(share)}-{connections}"), limit=f"{int(size * share)}B"
                )
                store = open_remote(Address(server.address), (64,), cache)
                how = f"a cache of {float(share):.0%}, {'fetched ahead' if connections else 'fetched when read'}"
                print(f"{how:<46} waits {waited(store):5.1f} s")
            monkeypatch.undo()
            monkeypatch.setenv("no_proxy", "*")


def waited(store):
    """Seconds for the batches of a run, beside its steps."""
    corpus = Corpus(
        store,
        schedule=Schedule((Phase(steps=STEPS, sequence_length=64, global_batch=8),)),
        mixture=Mixture.of({store.sources()[0].name: Fraction(1)}),
        objective=Causal(),
        seed=1,
    )
    began, idle = time.perf_counter(), 0.0
    for _ in corpus.windows([GlobalBatch(samples=8, data_parallel_size=1, per_device=8)], 0):
        before = time.perf_counter()
        time.sleep(STEP_SECONDS)
        idle += time.perf_counter() - before
    return time.perf_counter() - began - idle
