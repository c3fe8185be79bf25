"""Phases with sources of their own, for any corpus, phases, mixtures, world, accumulation and cut."""

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import Phase as Stage
from hypothesis import given, settings
from hypothesis import strategies as st

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.counts import Counts, add_digests
from dist_epochs.arithmetic.curriculum import Curriculum
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.schedule import Phase, Schedule, Span
from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.stores import blocks
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.streaming.planning import exact_plan, objective_of
from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.plan.history import history_of
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.recipe import read_recipe
from tests.conftest import tiny_model, write_corpus

NAMES = ("code", "math", "web")
WEIGHTS = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 4), min_size=1)
LENGTHS = st.sampled_from([16, 32])


def phase(steps, length, batch):
    return Phase(steps=steps, sequence_length=length, global_batch=batch)


PHASES = st.lists(
    st.tuples(st.builds(phase, st.integers(1, 9), LENGTHS, st.integers(1, 12)), WEIGHTS), min_size=1, max_size=5
)


def mixed(weights):
    return Mixture.of({name: Fraction(weight) for name, weight in sorted(weights.items())})


@given(PHASES, st.data())
def test_every_source_goes_on_where_it_stopped(phases, data):
    schedule = Schedule([each for each, _ in phases])
    curriculum = Curriculum(schedule, tuple(mixed(weights) for _, weights in phases))
    cursors: dict[tuple[str, int], int] = {}
    for step in range(schedule.steps):
        span = schedule.span(step)
        mixture = curriculum.mixtures[span.phase]
        one_by_one = dict.fromkeys(mixture.names, 0)
        for offset in range(span.start, span.stop):
            source = mixture.pattern[offset % mixture.period]
            name = mixture.names[source]
            place = (name, span.sequence_length)
            one = curriculum.split(Span(span.phase, span.sequence_length, offset, offset + 1))
            cursor = cursors.get(place, 0)
            assert one[name] == (cursor, cursor + 1)
            cursors[place] = cursor + 1
            one_by_one[name] += 1
        assert {name: stop - start for name, (start, stop) in curriculum.split(span).items()} == one_by_one
    # a phase cut in two is the same run
    at = data.draw(st.integers(0, len(phases) - 1))
    (whole, weights), cut = phases[at], data.draw(st.integers(0, phases[at][0].steps))
    parts = [(phase(n, whole.sequence_length, whole.global_batch), weights) for n in (cut, whole.steps - cut) if n > 0]
    halves = [*phases[:at], *parts, *phases[at + 1 :]]
    again = Curriculum(Schedule([each for each, _ in halves]), tuple(mixed(weights) for _, weights in halves))
    for step in range(schedule.steps):
        assert again.split(again.schedule.span(step)) == curriculum.split(schedule.span(step))


@given(WEIGHTS, st.integers(0, 50), st.integers(1, 60), st.integers(1, 4))
def test_shares_of_a_phase_are_exact_in_every_period_wherever_it_begins(weights, before, steps, periods):
    """Any stretch of whole periods holds each source as often as its weight."""
    mixture, other = mixed(weights), mixed({"web": 1})
    schedule = Schedule([phase(before + 1, 16, 1), phase(steps * periods * mixture.period, 16, 1)])
    second = schedule.spans()[1]
    drawn = Curriculum(schedule, (other, mixture)).split(second)
    counts = {name: stop - start for name, (start, stop) in drawn.items()}
    assert counts == {
        name: steps * periods * weight for name, weight in zip(mixture.names, mixture.weights, strict=True)
    }


CORPORA = st.dictionaries(
    st.sampled_from(NAMES), st.tuples(st.integers(1, 60), st.integers(1, 40)), min_size=1, max_size=3
)
SHORT = st.tuples(st.integers(1, 6), LENGTHS, st.integers(1, 12))


@st.composite
def runs(draw):
    """A corpus and phases over it, some of them with sources of their own."""
    corpora = draw(CORPORA)
    own = st.dictionaries(st.sampled_from(sorted(corpora)), st.integers(1, 4), min_size=1)
    phases = draw(st.lists(st.tuples(SHORT, st.none() | own), min_size=1, max_size=4))
    weights = draw(st.fixed_dictionaries({name: st.integers(1, 4) for name in corpora}))
    return corpora, phases, weights


@pytest.fixture(scope="module")
def make_store(tmp_path_factory):
    tokenizer = TextTokenizer(EMBEDDED)

    def make(corpora):
        folder = tmp_path_factory.mktemp("store")
        files = [
            str(write_corpus(folder / f"{name}.txt", documents, seed=documents, longest=longest))
            for name, (documents, longest) in corpora.items()
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(blocks, "BLOCK_TOKENS", 200)
            tokenize(find_sources(files), tokenizer, Settings(sequence_lengths=(16, 32)), out=folder / "store")
        return Store(folder / "store")

    return make


def recipe_of(store, phases, weights):
    path = store.path.parent / "recipe.yaml"
    stated = [
        {"steps": steps, "sequence_length": length, "global_batch": batch, **({"sources": own} if own else {})}
        for (steps, length, batch), own in phases
    ]
    path.write_text(
        json.dumps(
            {
                "corpus": {"store": str(store.path), "weights": weights},
                "batch": {"per_device": 2, "uneven": "allow"},
                "phases": stated,
                "model": {"objective": "masked", "config": tiny_model("bert")},
            }
        )
    )
    return read_recipe(path)


def windows(corpus, plan, devices, per_device, first=0):
    """Every step of every rank of a world."""
    batches = [
        GlobalBatch(samples=p.global_batch, data_parallel_size=devices, per_device=per_device, uneven=True)
        for p in plan.phases
    ]
    return [list(corpus.windows(batches, rank, first)) for rank in range(devices)]


def batch_of(ranks, size):
    """The global batch of one step, put together from all ranks; rows without labels fill up and are left out."""
    rows = []
    for window in ranks:
        mine = sum(counts.samples for counts in window.counts.values())
        arrays = [np.stack([m.input_ids, m.labels, m.segments], axis=1) for m in window.micro_batches]
        filled = [array for array, m in zip(arrays, window.micro_batches, strict=True) if (m.labels >= 0).any()]
        rows += [np.concatenate(filled)] if mine else []
    found = np.concatenate(rows)
    assert len(found) == size
    return found


@settings(
    max_examples=12, deadline=None, phases=[Stage.explicit, Stage.reuse, Stage.generate]
)  # to shrink takes minutes
@given(runs(), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.data())
def test_the_plan_is_what_any_world_draws_and_resuming_is_not_stopping(
    make_store, run, devices, other_devices, per_device, data
):
    corpora, phases, weights = run
    store = make_store(corpora)
    recipe = recipe_of(store, phases, weights)
    objective = objective_of(recipe.model, store)
    corpus, plan = exact_plan(recipe, store, objective, None)
    alone, world = windows(corpus, plan, 1, 99), windows(corpus, plan, devices, per_device)

    drawn: dict[tuple, Counts] = {}
    for window in (window for rank in world for window in rank):
        for key, counts in window.counts.items():
            drawn[key] = drawn.get(key, Counts()) + counts
    assert drawn == plan.passes

    # every pass that is drawn whole, in however many phases, draws each sample once
    passes: dict[tuple, Counts] = {}
    for key, counts in drawn.items():
        place = (key.source, key.sequence_length, key.number)
        passes[place] = passes.get(place, Counts()) + counts
    sources = {source.name: source for source in store.sources()}
    for (name, length, number), counts in passes.items():
        packing = sources[name].packing(length)
        assert counts.samples == packing.samples or (name, length, number + 1) not in passes
        if counts.samples == packing.samples:
            sizes = packing.block_samples.astype(np.int64)
            every = np.repeat(np.arange(len(sizes)), sizes), np.concatenate([np.arange(size) for size in sizes])
            high, low = packing.digests(*every)
            assert counts.digest == add_digests(0, int(high.sum(dtype=np.uint64)) << 64 | int(low.sum(dtype=np.uint64)))

    # the union over ranks is the batch, and it draws the sources of its phase alone
    schedule = Schedule(plan.phases)
    for step, (one, *ranks) in enumerate(zip(*alone, *world, strict=True)):
        size = plan.phases[schedule.phase_of(step)].global_batch
        assert np.array_equal(batch_of([one], size), batch_of(ranks, size))
        own = phases[plan.stretches[schedule.phase_of(step)]][1]
        assert {key.source for key in one.counts} <= set(own or weights)

    # another world takes over at any step, with the plan as it is or with the same recipe accepted as a new one
    cut = data.draw(st.integers(0, plan.steps))
    history = history_of(json.loads(json.dumps(plan_json(plan))), cut)
    for resumed, planned in (exact_plan(recipe, store, objective, None, history=each) for each in (None, history)):
        rest = windows(resumed, planned, other_devices, per_device, cut)
        for step, ranks in enumerate(zip(*rest, strict=True), start=cut):
            size = plan.phases[schedule.phase_of(step)].global_batch
            assert np.array_equal(batch_of([alone[0][step]], size), batch_of(ranks, size))
        assert [(s.name, s.samples, s.tokens, s.epochs) for s in planned.sources] == [
            (s.name, s.samples, s.tokens, s.epochs) for s in plan.sources
        ]
