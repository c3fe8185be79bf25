"""What grows with a corpus, and what does not: stores of 10T tokens, thousands of ranks, indices beside tokens."""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.streaming.order import PointwiseOrder
from dist_epochs.corpus.tokenizing import tokenize_part
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.errors import InputError
from tests.corpus.corpora import megatron
from tests.corpus.huge import huge_store

OPENING = Path(__file__).parents[1] / "opening.py"


def test_ten_trillion_tokens():
    """Twice the time that is aimed at (1 s to the first batch, 5 ms for each): other tests run beside this one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        path = huge_store(Path(folder))
        done = subprocess.run([sys.executable, OPENING, path, "4096"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    took = json.loads(done.stdout)
    assert took["samples"] > 19e9
    assert took["start"] < 2
    assert took["locate"] < 0.01
    assert took["mebibytes"] < 190
    assert took["tokens"] == pytest.approx(1e13 / 3, rel=0.01)
    assert took["plan"] < 6


def test_a_store_may_have_more_shards_than_a_process_may_open_files(memory_path, monkeypatch):
    """They are packed, read and counted by a process that keeps a mapped file open."""
    monkeypatch.setattr(tokenize_part, "SHARD_TOKENS", 8)
    monkeypatch.setattr(tokenize_part, "BATCH_DOCUMENTS", 1)
    (memory_path / "web.txt").write_text("\n".join(f"{number} steps of an epoch" for number in range(250)))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))
    try:
        settings, out = Settings(sequence_lengths=(16,)), memory_path / "store"
        tokenize(find_sources((str(memory_path / "web.txt"),)), TextTokenizer(EMBEDDED), settings, out=out)
        (source,) = Store(out).sources()
        packing = source.packing(16)
        blocks = np.repeat(np.arange(len(packing.block_samples)), packing.block_samples)
        _, segments = packing.read(blocks, np.zeros_like(blocks), 0)
        assert int((segments > 0).sum()) == source.entry["tokens"]
        assert sum(len(packing.documents_of(block, np.zeros(1, np.int64))) for block in blocks.tolist()) == 250
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(source.entry["shards"]) == 250


def order_of(blocks, lanes):
    samples = np.random.default_rng(1).integers(3500, 3600, blocks)
    return PointwiseOrder(seed=3, source="web", sequence_length=512, block_samples=samples, lanes=lanes)


def test_thousands_of_ranks_draw_each_sample_once():
    samples, ranks = 5000, 4096
    order = order_of(5000, samples)
    batch = GlobalBatch(samples=samples, data_parallel_size=ranks, per_device=2, uneven=True)
    step = 77
    own = [np.concatenate([np.arange(part.start, part.stop) for part in batch.micro_batches(r)]) for r in range(ranks)]
    assert np.concatenate(own).tolist() == list(range(samples))
    whole = np.stack(order.locate(0, step * samples + np.arange(samples)))
    found = [np.stack(order.locate(0, step * samples + own[rank])) for rank in range(0, ranks, 64)]
    expected = [whole[:, own[rank]] for rank in range(0, ranks, 64)]
    assert all((a == b).all() for a, b in zip(found, expected, strict=True))
    assert len({tuple(place) for place in whole.T.tolist()}) == samples


@pytest.mark.parametrize(("blocks", "lanes", "ranks"), [(400, 16, 16), (400, 16, 4), (400, 16, 8)])
def test_how_often_a_block_is_opened_by_a_walk(blocks, lanes, ranks):
    samples = np.random.default_rng(1).integers(5, 9, blocks)
    order = PointwiseOrder(seed=3, source="web", sequence_length=512, block_samples=samples, lanes=lanes)
    found, _ = order.locate(0, np.arange(order.size))
    rank = np.arange(order.size) % lanes * ranks // lanes
    assert len({*zip(rank.tolist(), found.tolist(), strict=True)}) <= 1.05 * blocks


def test_how_often_a_block_is_opened_by_4096_ranks():
    """A lane reads its blocks one by one, so it opens those between its ends; 82,000 blocks are 150G tokens."""
    order = order_of(82_000, 4096)
    starts = np.append(np.sort(order.lane_starts()), order.size)
    first, last = (order.find(0, ends)[0] for ends in (starts[:-1], starts[1:] - 1))
    assert int((last - first + 1).sum()) <= 1.05 * order.blocks


def test_packing_takes_a_fiftieth_of_the_tokens(tmp_path):
    draw = np.random.default_rng(2)
    lengths = np.clip(draw.lognormal(5.72, 1.0, 4000), 2, 20_000).astype(int)
    assert 450 < lengths.mean() < 550
    documents = [[draw.integers(0, 2000, length)] for length in lengths]
    sources = find_sources([str(megatron(tmp_path / "corpus", documents))])
    tokenize(sources, TextTokenizer(EMBEDDED), Settings(sequence_lengths=(512, 2048, 8192)), out=tmp_path / "store")
    (source,) = Store(tmp_path / "store").sources()
    for length in (512, 2048, 8192):
        packed = sum(path.stat().st_size for path in source.packing_folder(length).iterdir())
        assert packed <= 0.02 * source.shard(0, "tokens").stat().st_size


def test_a_damaged_length_is_found_when_it_is_read(store, tmp_path):
    """Opening does not read lengths: a block's are compared with the index when they are first used."""
    copied = shutil.copytree(store.path, tmp_path / "store")
    (source,) = Store(copied).sources()
    path = source.shard(0, "lengths")
    data = bytearray(path.read_bytes())
    data[5] += 1
    path.write_bytes(data)
    (source,) = Store(copied).sources()
    source.packing(16)
    with pytest.raises(InputError, match="damaged"):
        source.block_lengths(0)
    assert source.block_lengths(1).sum() == source.block_tokens(1, 1)[0]
