"""The steps of a datatrove pipeline; some tests run in datatrove itself, where it is installed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from dist_epochs.corpus import tokenize_part
from dist_epochs.corpus.datatrove import MergeShards, WriteShard
from dist_epochs.corpus.document import BadDocument
from dist_epochs.corpus.store import Store
from dist_epochs.corpus.tokenize import Settings
from dist_epochs.corpus.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.errors import InputError

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


@pytest.mark.datatrove
def test_a_pipeline_of_datatrove(memory_path):
    pytest.importorskip("datatrove")
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.filters import LambdaFilter
    from datatrove.pipeline.readers import JsonlReader

    texts = [[f"{file} the step of {at} epochs" for at in range(30)] for file in range(2)]
    (memory_path / "in").mkdir()
    for file, lines in enumerate(texts):
        (memory_path / f"in/{file}.jsonl").write_text("\n".join(json.dumps({"text": line}) for line in lines))
    writes = LocalPipelineExecutor(
        [
            JsonlReader(str(memory_path / "in")),
            LambdaFilter(_is_kept),
            WriteShard(shards=str(memory_path / "shards"), tokenizer=EMBEDDED, source="web", settings=HOW),
        ],
        tasks=TASKS, workers=2, logging_dir=str(memory_path / "logs"),
    )  # fmt: skip
    merges = MergeShards(shards=str(memory_path / "shards"), out=str(memory_path / "store"))
    LocalPipelineExecutor([merges], depends=writes, logging_dir=str(memory_path / "merge-logs")).run()
    store = Store(memory_path / "store")
    kept = [text for lines in texts for text in lines if "7" not in text]
    assert holds(store, kept)
    assert len(list((memory_path / "shards").iterdir())) == TASKS


def _is_kept(document):
    return "7" not in document.text
