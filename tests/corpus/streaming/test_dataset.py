"""A store for torch loaders: what a sample holds, whose order it is, and every sample once over ranks and workers."""

from __future__ import annotations

import copy
import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import dist_epochs
from dist_epochs.arithmetic.batch import BatchError, GlobalBatch
from dist_epochs.corpus.streaming import token_stream
from dist_epochs.corpus.streaming.dataset import COLUMNS, TokenDataset
from dist_epochs.corpus.streaming.objective import IGNORED
from dist_epochs.corpus.streaming.planning import exact_plan, objective_of
from dist_epochs.corpus.streaming.token_stream import TokenStream
from dist_epochs.errors import InputError
from dist_epochs.recipe import read_recipe


def recipe_of(store, objective="causal", phases=((11, 16, 12),), uneven=None):
    """A recipe of phases of (steps, sequence length, global batch)."""
    named = ("steps", "sequence_length", "global_batch")
    batch = {"per_device": 4, "global_batch": phases[0][2], **({"uneven": uneven} if uneven else {})}
    return written(
        store.path.parent,
        seed=3,
        corpus={"store": str(store.path), "weights": {source.name: 1 for source in store.sources()}},
        batch=batch,
        phases=[dict(zip(named, phase, strict=True)) for phase in phases],
        model={"objective": objective, "config": {"model_type": "gpt2"}},
    )


def written(folder, **sections):
    """A recipe from its file."""
    path = folder / "recipe.yaml"
    path.write_text(json.dumps({"name": "test"} | sections))
    return read_recipe(path)


@pytest.fixture(scope="module")
def planned(mixed_store):
    """The order of a plan of two sources and two phases of one length, whose batches differ."""
    return TokenDataset.from_recipe(recipe_of(mixed_store, phases=((7, 16, 12), (4, 16, 6)), uneven="allow"))


def numbers(batches):
    return [tuple(row.tolist()) for batch in batches for row in batch["input_ids"]]


def test_the_names_are_at_the_root():
    assert (dist_epochs.TokenDataset, dist_epochs.TokenStream) == (TokenDataset, TokenStream)


def test_the_order_of_a_store_is_every_sample_once(mixed_store):
    dataset = TokenDataset(mixed_store.path, 16)
    expected = []
    for source in mixed_store.sources():
        packing = source.packing(16)
        for block, rows in enumerate(packing.block_samples.tolist()):
            ids, segments = packing.read(np.full(rows, block), np.arange(rows), mixed_store.tokenizer().pad_id)
            expected += list(zip(ids.tolist(), segments.tolist(), strict=True))
    assert len(dataset) == dataset.samples_per_pass == len(expected)
    shuffled = np.random.default_rng(0).permutation(len(dataset))
    for number, sample in zip(shuffled, dataset.__getitems__(shuffled.tolist()), strict=True):
        assert sample["input_ids"].tolist() == expected[number][0]
        assert sample["attention_mask"].tolist() == [int(segment > 0) for segment in expected[number][1]]
    assert torch.equal(dataset[-1]["input_ids"], dataset[len(dataset) - 1]["input_ids"])
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_columns_of_a_sample(store):
    dataset = TokenDataset(store.path, 32, columns=COLUMNS)
    several = next(sample for sample in dataset if sample["segment_ids"].max() > 2 and not sample["segment_ids"][-1])
    assert {(name, column.dtype, column.shape) for name, column in several.items()} == {
        (name, torch.int64, (32,)) for name in COLUMNS
    }
    ids, segments = several["input_ids"].tolist(), several["segment_ids"].tolist()
    places, labels, before = [], [], 0
    for at, segment in enumerate(segments):
        before = before if at and segment == segments[at - 1] else at
        places.append(at - before)
        labels.append(ids[at] if segment and at > before else IGNORED)
    assert several["position_ids"].tolist() == places
    assert several["labels"].tolist() == labels
    assert list(TokenDataset(store.path, 32)[0]) == ["input_ids", "attention_mask", "labels"]
    with pytest.raises(InputError) as refused:
        TokenDataset(store.path, 32, columns=("input_id",))
    assert "input_ids" in refused.value.asked


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_the_order_of_a_plan_is_what_the_trainer_draws(mixed_store, objective):
    """Number d is draw d: ids, masks and labels of every step of three phases at two lengths."""
    recipe = recipe_of(mixed_store, objective, phases=((9, 16, 12), (4, 32, 6), (3, 16, 8)))
    dataset = TokenDataset.from_recipe(recipe)
    corpus, plan = exact_plan(recipe, mixed_store, objective_of(recipe.model, mixed_store), None)
    assert (dataset.order, len(dataset), dataset.plan.totals) == (plan.fingerprint, plan.samples, plan.totals)
    at = loss_tokens = 0
    for step in range(plan.steps):
        size = corpus.schedule.phases[corpus.schedule.phase_of(step)].global_batch
        (drawn,) = corpus.window(step, GlobalBatch(samples=size, data_parallel_size=1, per_device=99), 0).micro_batches
        batch = dataset.batch(range(at, at + size))
        labels = batch["labels"].numpy()
        loss_tokens += int((labels != IGNORED).sum())
        if objective == "causal":
            assert (labels[:, 0] == IGNORED).all()
            labels = np.pad(labels[:, 1:], ((0, 0), (0, 1)), constant_values=IGNORED)
        assert (batch["input_ids"].numpy() == drawn.input_ids).all()
        assert (labels == drawn.labels).all()
        at += size
    assert (at, loss_tokens) == (plan.samples, plan.totals.loss_tokens)
    with pytest.raises(InputError) as refused:
        dataset.batch(range(9 * 12 - 1, 9 * 12 + 1))
    assert "lengths 16 and 32" in refused.value.asked


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"corpus": {"tokens": "1M"}}, "corpus.store"),
        ({"model": None}, "model.objective"),
        ({"batch": {"per_device": 4, "devices": 1, "replacement": True}}, "another trainer's loop"),
    ],
)
def test_recipes_without_an_exact_order_are_refused(store, tmp_path, change, part):
    data = {
        "corpus": {"store": str(store.path)},
        "batch": {"global_batch": 8, "per_device": 4},
        "phases": [{"steps": 2, "sequence_length": 16}],
        "model": {"objective": "causal", "config": {"model_type": "gpt2"}},
    } | change
    with pytest.raises(InputError) as refused:
        TokenDataset.from_recipe(
            written(tmp_path, **{name: value for name, value in data.items() if value is not None})
        )
    assert part in refused.value.asked
    assert refused.value.fixes


def test_a_pickled_dataset_names_its_store_and_holds_no_tokens(planned, mixed_store):
    for dataset in (planned, TokenDataset(mixed_store.path, 16)):
        pickled = pickle.dumps(dataset)
        assert len(pickled) < 10_000
        again = pickle.loads(pickled)
        assert (again.order, len(again)) == (dataset.order, len(dataset))
        assert torch.equal(again[70]["labels"], dataset[70]["labels"])


# --- the stream: loaders are imitated, whose workers take turns and make batches ahead ---


class Loader:
    """What torch's loader does with its workers: batch k is that of worker k mod W; each makes some ahead."""

    def __init__(self, dataset, per_device, rank, ranks, workers, state=None, worker_states=None, ahead=2):
        base = TokenStream(dataset, per_device, rank=rank, ranks=ranks)
        if state is not None:
            base.load_state_dict(state)
        self.workers, self.turn, self.ahead = [], 0, ahead
        for number in range(workers):
            stream = copy.copy(base)
            with in_worker(number, workers):
                if worker_states:
                    stream.load_state_dict(worker_states[number])
                self.workers.append([stream, iter(stream), [], stream.state_dict()])

    def take(self):
        number = self.turn
        stream, batches, made, _ = self.workers[number]
        with in_worker(number, len(self.workers)):
            while len(made) <= self.ahead:
                batch = next(batches, None)
                made.append((batch, stream.state_dict()))
        batch, state = made.pop(0)
        if batch is not None:
            self.workers[number][3] = state
            self.turn = (number + 1) % len(self.workers)
        return batch

    def state_dict(self):
        """The workers' places after the batches that were given out, nested as torchdata nests them."""
        return {"_snapshot": {"_worker_snapshots": {f"w{n}": {"dataset": w[3]} for n, w in enumerate(self.workers)}}}


class in_worker:
    """Within it this process is worker `number` of some."""

    def __init__(self, number, workers):
        self.info = SimpleNamespace(id=number, num_workers=workers)

    def __enter__(self):
        self.before, token_stream.get_worker_info = token_stream.get_worker_info, lambda: self.info

    def __exit__(self, *error):
        token_stream.get_worker_info = self.before


def draw(loaders, most=None):
    """Batches of all ranks in lockstep: a list of rows for each micro-step."""
    steps = []
    while most is None or len(steps) < most:
        batches = [loader.take() for loader in loaders]
        if batches[0] is None:
            assert batches == [None] * len(loaders)  # ranks end together
            break
        steps.append([row for batch in batches for row in rows_that_count(batch)])
    return steps


def rows_that_count(batch):
    counted = (batch["labels"] != IGNORED).any(1) | (batch["attention_mask"].sum(1) < 2)  # one token predicts nothing
    return numbers([{"input_ids": batch["input_ids"][counted]}])


@pytest.fixture(scope="module")
def expected(planned):
    return numbers([planned.batch(range(len(planned)))])


worlds = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 5))


@hypothesis_settings(max_examples=8, deadline=None)
@example(first=(2, 3, 2), second=(3, 2, 3), cut=7, again=4)
@given(first=worlds, second=worlds, cut=st.integers(0, 30), again=st.integers(0, 9))
def test_ranks_workers_and_batches_may_change_at_any_micro_step(planned, expected, first, second, cut, again):
    """The samples of a run on one world, cut, resumed on it, cut, and resumed on another, are those of the plan."""

    def loaders(world, **options):
        ranks, workers, per_device = world
        return [Loader(planned, per_device, rank, ranks, workers, **options) for rank in range(ranks)]

    here = loaders(first)
    drawn = draw(here, cut)
    assert len({str(sorted(w["dataset"]["draws"] for w in places(loader))) for loader in here}) == 1
    own = [worker["dataset"] for worker in places(here[0])]
    turn = here[0].turn
    here = loaders(first, worker_states=own)  # as a StatefulDataLoader resumes: each worker where it stood
    for loader in here:
        loader.turn = turn
    drawn += draw(here, again)
    here = loaders(second, state=here[0].state_dict())
    drawn += draw(here)
    assert [row for step in drawn for row in step] == expected


def places(loader):
    return loader.state_dict()["_snapshot"]["_worker_snapshots"].values()


@hypothesis_settings(max_examples=8, deadline=None)
@given(world=worlds, step=st.integers(0, 11))
def test_the_place_after_a_step_of_the_plan(planned, expected, world, step):
    ranks, workers, per_device = world
    state = TokenStream(planned, 1, rank=0, ranks=1).state_after(step)
    assert state["draws"] == min(step, 7) * 12 + max(step - 7, 0) * 6
    loaders = [Loader(planned, per_device, rank, ranks, workers, state=state) for rank in range(ranks)]
    assert [row for step in draw(loaders) for row in step] == expected[state["draws"] :]


def test_each_micro_step_is_within_a_step_and_shared_evenly(planned):
    """12 samples on 2 ranks of 4 each: 8 and 4, then the same again."""
    streams = [iter(TokenStream(planned, 4, rank=rank, ranks=2)) for rank in range(2)]
    sizes = [tuple(len(batch["input_ids"]) for batch in batches) for batches in zip(*streams, strict=True)]
    assert sizes == [(4, 4), (2, 2)] * 7 + [(3, 3)] * 4


def test_ranks_that_do_not_divide_the_batch(store):
    dataset = TokenDataset.from_recipe(recipe_of(store))
    with pytest.raises(BatchError):
        iter(TokenStream(dataset, 4, rank=0, ranks=5))
    sizes = [len(next(iter(TokenStream(dataset, 4, rank=rank, ranks=3)))["input_ids"]) for rank in range(3)]
    assert sizes == [4, 4, 4]


def test_a_rank_of_the_launcher(planned, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    stream, stated = TokenStream(planned, 3), TokenStream(planned, 3, rank=1, ranks=2)
    assert numbers([next(iter(stream))]) == numbers([next(iter(stated))])
    for rank, ranks in ((0, None), (2, 2)):
        with pytest.raises(InputError):
            TokenStream(planned, 3, rank=rank, ranks=ranks)


@pytest.mark.parametrize(("context", "workers"), [("fork", 2), ("spawn", 1)])
def test_workers_of_torch(planned, expected, context, workers):
    """What the loop's own process knows of the workers' place is nothing, and it says so."""
    stream = TokenStream(planned, 6, rank=0, ranks=1)
    loader = DataLoader(stream, batch_size=None, num_workers=workers, multiprocessing_context=context)
    assert numbers(loader) == expected
    if context == "fork":
        assert numbers(DataLoader(planned, batch_size=6, num_workers=2, multiprocessing_context=context)) == expected
    with pytest.raises(InputError) as refused:
        stream.state_dict()
    assert "state_after(steps)" in refused.value.fixes[0]
    alone = TokenStream(planned, 6, rank=0, ranks=1)
    batches = iter(DataLoader(alone, batch_size=None))
    taken = [next(batches) for _ in range(3)]
    assert alone.state_dict()["draws"] == 18
    again = TokenStream(planned, 2, rank=0, ranks=1)
    again.load_state_dict(alone.state_dict())
    assert numbers(taken) + numbers(again) == expected


def test_other_states_are_refused(planned, store):
    stream = TokenStream(planned, 4, rank=0, ranks=1)
    other = TokenStream(TokenDataset(store.path, 16), 4, rank=0, ranks=1)
    for state, part in ((other.state_dict(), "another plan or store"), ({"epoch": 3}, "without a place")):
        with pytest.raises(InputError) as refused:
            stream.load_state_dict(state)
        assert part in refused.value.asked
    with in_worker(0, 2), pytest.raises(InputError) as refused:
        stream.load_state_dict(TokenStream(planned, 4, rank=0, ranks=2).state_dict())
    assert "8 samples a micro-step" in refused.value.asked
    with pytest.raises(InputError):
        stream.state_after(12)


def test_a_loader_that_would_split_or_join_batches_again(planned):
    data_loader = pytest.importorskip("accelerate.data_loader")
    stream = TokenStream(planned, 4, rank=0, ranks=2)
    shard = data_loader.IterableDatasetShard(stream, batch_size=1, num_processes=2)
    for again in (shard, DataLoader(shard, batch_size=None)):
        with pytest.raises(InputError) as refused:
            next(iter(again))
        assert "IterableDatasetShard" in refused.value.asked
    with pytest.raises(InputError) as refused:
        next(iter(DataLoader(stream, batch_size=4)))
    assert "batch_size=None" in refused.value.fixes[0]
    whole = TokenStream(planned, 4, rank=0, ranks=1)
    assert len(list(data_loader.IterableDatasetShard(whole, batch_size=1, num_processes=2))) > 0
