"""Batches against the plan and against the text, on any world."""

from dataclasses import astuple
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.counts import Counts, Draw, PassKey
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.schedule import Phase, Schedule
from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.streaming.objective import IGNORED, Causal
from dist_epochs.corpus.streaming.planning import exact_plan, objective_of
from dist_epochs.corpus.streaming.stream import Corpus, largest_micro_batches
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.recipe import ModelRecipe, read_recipe

SCHEDULE = Schedule(
    (
        Phase(steps=150, sequence_length=16, global_batch=12),
        Phase(steps=40, sequence_length=32, global_batch=6),
        Phase(steps=30, sequence_length=16, global_batch=8),
    )
)


def objective(store, kind="masked"):
    return objective_of(ModelRecipe(objective=kind, config="unused"), store)


def corpus_of(store, kind="masked", weights=None, seed=3):
    mixture = Mixture.of(weights or {store.sources()[0].name: Fraction(1)})
    return Corpus(store, schedule=SCHEDULE, mixture=mixture, objective=objective(store, kind), seed=seed)


def windows(corpus, devices, rank, per_device=3):
    batches = [
        GlobalBatch(samples=p.global_batch, data_parallel_size=devices, per_device=per_device, uneven=True)
        for p in SCHEDULE.phases
    ]
    return list(corpus.windows(batches, rank))


def joined(world, name):
    """The arrays of every step, over ranks and micro-steps, in the order of the global batch."""
    return [
        np.concatenate(
            [getattr(m, name) for window in ranks for m in window.micro_batches if (m.labels != IGNORED).any()]
        )
        for ranks in zip(*world, strict=True)
    ]


@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_the_plan_equals_what_is_drawn_on_any_world(store, write_recipe, kind):
    phases = [
        {"steps": p.steps, "sequence_length": p.sequence_length, "global_batch": p.global_batch}
        for p in SCHEDULE.phases
    ]
    recipe = read_recipe(write_recipe(store.path, phases=phases), [f"model.objective={kind}", "batch.uneven=allow"])
    corpus, plan = exact_plan(recipe, store, objective(store, kind), None)
    for devices in (1, 2, 3, 5):
        drawn: dict[PassKey, Counts] = {}
        for rank in range(devices):
            for window in windows(corpus, devices, rank):
                for key, counts in window.counts.items():
                    drawn[key] = drawn.get(key, Counts()) + counts
        assert drawn == plan.passes
        assert {type(number) for counts in drawn.values() for number in astuple(counts)} == {int}


@pytest.mark.parametrize("devices", [2, 3, 4])
def test_the_order_does_not_know_the_world(store, devices):
    corpus = corpus_of(store)
    alone = [windows(corpus, 1, 0)]
    world = [windows(corpus, devices, rank, per_device=2) for rank in range(devices)]
    for name in ("input_ids", "labels", "segments"):
        assert all((a == b).all() for a, b in zip(joined(alone, name), joined(world, name), strict=True))


def test_starting_later_gives_the_same_windows(store):
    corpus = corpus_of(store)
    batches = [GlobalBatch(samples=p.global_batch, data_parallel_size=1, per_device=9) for p in SCHEDULE.phases]
    whole = list(corpus.windows(batches, 0))
    late = list(corpus_of(store).windows(batches, 0, first_step=155))
    assert [w.step for w in late] == list(range(155, 220))
    for a, b in zip(whole[155:], late, strict=True):
        assert (a.micro_batches[0].input_ids == b.micro_batches[0].input_ids).all()
        assert a.counts == b.counts


def test_one_pass_is_the_corpus(store):
    """Every document of the text, token by token, put together again from the samples of one pass."""
    source = store.sources()[0]
    packing = source.packing(16)
    size = packing.samples
    schedule = Schedule((Phase(steps=1, sequence_length=16, global_batch=size),))
    corpus = Corpus(
        store, schedule=schedule, mixture=Mixture.of({source.name: Fraction(1)}), objective=Causal(), seed=1
    )
    window = corpus.window(0, GlobalBatch(samples=size, data_parallel_size=1, per_device=size), 0)
    ids, segments = window.micro_batches[0].input_ids, window.micro_batches[0].segments
    pieces = sorted(
        tuple(row[line == s]) for row, line in zip(ids, segments, strict=True) for s in range(1, line.max() + 1)
    )
    tokens = [source.tokens(block) for block in range(len(source.blocks))]
    starts = np.concatenate([[0], np.cumsum(source.lengths)])
    flat = np.concatenate(tokens)
    documents = [flat[a:b] for a, b in pairwise(starts)]
    assert pieces == sorted(tuple(d[at : at + 16]) for d in documents for at in range(0, len(d), 16))


def test_masks_change_from_pass_to_pass(store):
    size = store.facts().sources[0].samples[32]
    schedule = Schedule((Phase(steps=2, sequence_length=32, global_batch=size),))
    corpus = Corpus(
        store, schedule=schedule, mixture=Mixture.of({"web": Fraction(1)}), objective=objective(store), seed=1
    )
    batch = GlobalBatch(samples=size, data_parallel_size=1, per_device=size)
    first, second = (corpus.window(step, batch, 0).micro_batches[0] for step in (0, 1))
    originals = [np.where(m.labels != IGNORED, m.labels, m.input_ids) for m in (first, second)]
    order = [np.lexsort(o.T) for o in originals]
    same_rows = [o[i] for o, i in zip(originals, order, strict=True)]
    assert (same_rows[0] == same_rows[1]).all()
    assert (first.labels[order[0]] != second.labels[order[1]]).mean() > 0.1


def test_masks_are_new_in_each_pass_even_of_a_corpus_of_one_sample(tmp_path):
    (tmp_path / "one.txt").write_text("the statement is executed when the expression is true and not otherwise\n")
    tokenize(
        find_sources((str(tmp_path / "one.txt"),)),
        TextTokenizer(EMBEDDED),
        Settings(sequence_lengths=(32,)),
        out=tmp_path / "store",
    )
    store = Store(tmp_path / "store")
    schedule = Schedule((Phase(steps=8, sequence_length=32, global_batch=1),))
    corpus = Corpus(
        store, schedule=schedule, mixture=Mixture.of({"one": Fraction(1)}), objective=objective(store), seed=1
    )
    batch = GlobalBatch(samples=1, data_parallel_size=1, per_device=1)
    masked = {tuple(corpus.window(step, batch, 0).micro_batches[0].labels[0].tolist()) for step in range(8)}
    assert len(masked) > 3


def test_a_mixture_draws_its_shares(mixed_store):
    corpus = corpus_of(mixed_store, weights={"web": Fraction(3), "wiki": Fraction(1)})
    by_source: dict[str, int] = {}
    for window in windows(corpus, 1, 0):
        for key, counts in window.counts.items():
            by_source[key.source] = by_source.get(key.source, 0) + counts.samples
    assert by_source == {"web": 3 * 570, "wiki": 570}


def test_counting_a_stretch_is_walking_it(mixed_store):
    """The closed form against every sample of the stretch, for stretches of any kind."""
    corpus = corpus_of(mixed_store, weights={"web": Fraction(1), "wiki": Fraction(1)})
    counter, order = corpus.counter(), corpus._orders["web", 16]
    packing = corpus._packings["web", 16]
    draw = np.random.default_rng(0)
    for number in (0, 1):
        for _ in range(20):
            start, stop = sorted(draw.integers(0, order.size + 1, 2).tolist())
            counts = counter.count(Draw(PassKey(0, "web", 16, number), start, stop))
            blocks, rows = order.locate(number, np.arange(start, stop))
            _, segments = packing.read(blocks, rows, 0) if stop > start else (None, np.zeros(0))
            assert (counts.samples, counts.tokens) == (stop - start, (segments > 0).sum())
    whole = [counter.count(Draw(PassKey(0, "web", 16, number), 0, order.size)) for number in (0, 1)]
    assert whole[0] == whole[1]
    parts = [counter.count(Draw(PassKey(0, "web", 16, 1), a, b)) for a, b in ((0, 700), (700, 701), (701, order.size))]
    assert sum(parts, Counts()) == whole[0]


def test_documents_seen_against_a_walk(store):
    corpus = corpus_of(store)
    drawn = [Draw(PassKey(0, "web", 16, 0), 0, 300), Draw(PassKey(1, "web", 32, 0), 10, 60)]
    seen = set()
    for draw in drawn:
        length = draw.key.sequence_length
        packing, order = corpus._packings["web", length], corpus._orders["web", length]
        blocks, rows = order.locate(0, np.arange(draw.start, draw.stop))
        documents = np.cumsum(packing.source.lengths)
        count, starts, _ = packing.pieces_of(blocks, rows)
        first = packing.source.blocks["first_token"][np.repeat(blocks, count)]  # the store has one shard
        seen |= set(np.searchsorted(documents, first + starts, side="right").tolist())
    assert corpus.counter().documents_seen("web", drawn) == len(seen)


def test_a_rank_without_samples_gets_a_real_row_without_labels(store):
    schedule = Schedule((Phase(steps=1, sequence_length=16, global_batch=3),))
    corpus = Corpus(
        store, schedule=schedule, mixture=Mixture.of({"web": Fraction(1)}), objective=objective(store), seed=1
    )
    batch = GlobalBatch(samples=3, data_parallel_size=4, per_device=1, uneven=True)
    ranks = [corpus.window(0, batch, rank) for rank in range(4)]
    assert {len(window.micro_batches) for window in ranks} == {1}
    assert len({tuple(window.counts) for window in ranks}) == 1
    filler = ranks[3].micro_batches[0]
    assert (filler.segments > 0).any()
    assert (filler.labels == IGNORED).all()
    assert sum((c for window in ranks for c in window.counts.values()), Counts()).samples == 3


@pytest.mark.parametrize("devices", [1, 2, 3])
def test_micro_batches_of_a_ramp_in_one_shape_for_each_length(store, write_recipe, devices):
    """The batch grows by accumulation; what is smaller than a full micro-batch is filled, and nothing else changes."""
    batch = {"per_device": 3, "global_batch": 14, "uneven": "allow",
             "ramp": {"start": 2, "increment": 3, "over": "6 steps"}}  # fmt: skip
    recipe = read_recipe(write_recipe(store.path, batch=batch))
    corpus, plan = exact_plan(recipe, store, objective(store), devices)
    assert [phase.global_batch for phase in plan.phases] == [2, 5, 8, 11, 14]
    accumulation = [batch.gradient_accumulation for batch in plan.batches]
    assert accumulation == sorted(accumulation)
    samples = largest_micro_batches(plan.phases, plan.batches)
    assert samples == {16: 3, 32: 3}
    shapes, plain = set(), set()
    for rank in range(devices):
        for window in corpus.windows(plan.batches, rank):
            filled = window.filled(samples)
            assert (filled.step, filled.counts) == (window.step, window.counts)
            for before, now in zip(window.micro_batches, filled.micro_batches, strict=True):
                size = len(before.labels)
                plain.add(before.labels.shape)
                shapes |= {array.shape for array in (now.input_ids, now.labels, now.segments)}
                for name in ("input_ids", "labels", "segments"):
                    assert (getattr(now, name)[:size] == getattr(before, name)).all()
                assert (now.labels[size:] == IGNORED).all()
                assert (now.input_ids[size:] == before.input_ids[0]).all()
    assert shapes == {(3, 16), (3, 32)}
    assert len(plain) > len(shapes)
