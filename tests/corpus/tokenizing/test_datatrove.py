"""The steps of a datatrove pipeline; some tests run in datatrove itself, where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dist_epochs.corpus.input.document import BadDocument
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.tokenizing import tokenize_part
from dist_epochs.corpus.tokenizing.datatrove import MergeShards, WriteShard
from dist_epochs.corpus.tokenizing.tokenize import Settings
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.errors import InputError
from tests.distributed.slurm import running_slurm, why_not

TASKS = 3
HOW = Settings(sequence_lengths=(8,))


def documents(task):
    """Of the last task none: datatrove has tasks without documents where there are fewer files than tasks."""
    return [SimpleNamespace(text=f"{task} the step of {at} epochs", id=f"{task}/{at}") for at in range(40 * (2 - task))]


def listing(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def step(memory_path, monkeypatch):
    monkeypatch.setattr(tokenize_part, "SHARD_TOKENS", 60)
    monkeypatch.setattr(tokenize_part, "BATCH_DOCUMENTS", 3)
    return WriteShard(shards=memory_path / "shards", tokenizer=EMBEDDED, source="web", settings=HOW)


def holds(store, texts):
    """Whether the ids of a store are those of texts."""
    source = store.sources()[0]
    ids = np.concatenate([source.shard_tokens(at) for at in range(len(source.entry["shards"]))])
    return ids.tolist() == TextTokenizer(EMBEDDED).encode(texts, special_tokens=True)[0].tolist()


def test_the_store_has_all_documents_in_the_order_of_tasks(step, memory_path):
    for task in (1, 2, 0):
        step(iter(documents(task)), task, TASKS)
    MergeShards(shards=step.shards, out=memory_path / "store")()
    store = Store(memory_path / "store")
    texts = [document.text for task in range(TASKS) for document in documents(task)]
    assert holds(store, texts)
    assert store.sources()[0].packed_lengths().keys() == {8}
    before = listing(memory_path / "store")
    step(iter(()), 0, TASKS)  # a complete task reads nothing
    MergeShards(shards=step.shards, out=memory_path / "store")(None, 0, 1)
    assert listing(memory_path / "store") == before


def test_a_task_that_was_stopped_goes_on(step):
    def stops():
        yield from documents(0)[:50]
        raise KeyboardInterrupt

    step(iter(documents(0)), 0, TASKS)
    whole = listing(step.shards / "00000")
    shutil.rmtree(step.shards)
    with pytest.raises(KeyboardInterrupt):
        step(stops(), 0, TASKS)
    assert list((step.shards / "00000.partial").rglob("*.tokens"))
    with pytest.raises(InputError, match="not those that were read before"):
        step(iter(documents(0)[1:]), 0, TASKS)
    step(iter(documents(0)), 0, TASKS)
    assert listing(step.shards / "00000") == whole


def test_what_is_missing_or_cannot_be_read_is_named(step, memory_path):
    step(iter(documents(0)), 0, TASKS)
    step(iter(documents(2)), 2, TASKS)
    with pytest.raises(InputError, match="shard 2/3 is missing"):
        MergeShards(shards=step.shards, out=memory_path / "store")()
    with pytest.raises(InputError, match="by one task"):
        MergeShards(shards=step.shards, out=memory_path / "store")(None, 0, 2)
    with pytest.raises(InputError, match="no shards"):
        MergeShards(shards=memory_path, out=memory_path / "store")()
    bad = [SimpleNamespace(text="half \ud800", id="a1")]
    with pytest.raises(BadDocument) as caught:
        step(iter(bad), 1, TASKS)
    assert str(caught.value.origin) == "task 1 of 3: document a1"
    replace(step, settings=replace(HOW, on_error="skip", held_out=Fraction(1, 2)), shards=memory_path / "b")(
        bad, 1, TASKS
    )


@pytest.fixture
def pipeline(memory_path):
    """Two files of texts, the steps that write shards of them, and the one that puts these together."""
    for module in ("datatrove", "orjson"):  # the reader below needs the second one, which datatrove alone leaves out
        pytest.importorskip(module, reason="needs datatrove and its readers (pip install -e '.[bulk]')")
    readers = pytest.importorskip("datatrove.pipeline.readers")
    texts = [[f"{file} the step of {at} epochs" for at in range(30)] for file in range(2)]
    (memory_path / "in").mkdir()
    for file, lines in enumerate(texts):
        (memory_path / f"in/{file}.jsonl").write_text("\n".join(json.dumps({"text": line}) for line in lines))
    writes = WriteShard(shards=str(memory_path / "shards"), tokenizer=EMBEDDED, source="web", settings=HOW)
    merges = MergeShards(shards=str(memory_path / "shards"), out=str(memory_path / "store"))
    return [text for lines in texts for text in lines], [readers.JsonlReader(str(memory_path / "in")), writes], [merges]


@pytest.mark.datatrove
def test_a_pipeline_of_datatrove(pipeline, memory_path):
    from datatrove.executor import LocalPipelineExecutor

    texts, (reader, writes), merges = pipeline
    before = LocalPipelineExecutor(
        [reader, _kept, writes], tasks=TASKS, workers=2, logging_dir=str(memory_path / "logs")
    )
    LocalPipelineExecutor(merges, depends=before, logging_dir=str(memory_path / "merge-logs")).run()
    assert holds(Store(memory_path / "store"), [text for text in texts if "7" not in text])
    assert len(list((memory_path / "shards").iterdir())) == TASKS


def _kept(data, rank, world_size):
    return (document for document in data if "7" not in document.text)


@pytest.mark.datatrove
@pytest.mark.slurm
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_pipeline_of_datatrove_under_slurm(pipeline, memory_path, monkeypatch):
    """Of a job for each task, two of which run at once, each on a node of its own, and a job that waits for all."""
    from datatrove.executor import SlurmPipelineExecutor

    texts, writes, merges = pipeline
    (memory_path / "slurm").mkdir()
    how = {"time": "00:05:00", "partition": "main", "qos": "", "mem_per_cpu_gb": 1}
    with running_slurm(memory_path / "slurm") as slurm:
        monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
        monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), slurm.environment["PATH"]]))
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
        before = SlurmPipelineExecutor(
            writes, tasks=TASKS, cpus_per_task=2, logging_dir=str(memory_path / "logs"), **how
        )
        after = SlurmPipelineExecutor(
            merges, tasks=1, depends=before, logging_dir=str(memory_path / "merge-logs"), **how
        )
        after.run()
        over = slurm.wait_until_over(after.job_id)
        logs = "".join(path.read_text() for path in memory_path.glob("*logs/slurm_logs/*"))
        assert over["JobState"] == "COMPLETED", logs
        nodes = [slurm.job(f"{before.job_id}_{task}")["NodeList"] for task in range(TASKS)]
        assert set(nodes) == {"n1", "n2"}
    assert holds(Store(memory_path / "store"), texts)
