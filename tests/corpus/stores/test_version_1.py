"""Stores of format version 1 keep their order, masks and counts: runs on them go on."""

import hashlib
import json
import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from dist_epochs.arithmetic.batch import GlobalBatch
from dist_epochs.arithmetic.counts import Counts, Draw, PassKey
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.schedule import Phase, Schedule
from dist_epochs.corpus.stores.store import Store
from dist_epochs.corpus.stores.verify import verify_store
from dist_epochs.corpus.streaming.planning import objective_of, plan_on_store
from dist_epochs.corpus.streaming.stream import Corpus
from dist_epochs.corpus.tokenizing.build import pack
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.errors import InputError
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.recipe import ModelRecipe, read_recipe

MADE = Path(__file__).parents[1] / "stores/version-1"
"""A store in blocks of 20 documents, as the last program of format version 1 wrote it, without its tokenizer."""

SCHEDULE = Schedule(
    (Phase(steps=40, sequence_length=16, global_batch=12), Phase(steps=15, sequence_length=32, global_batch=6))
)
DRAWN = {
    "masked": "bd70fcb90a1afe691a345215813ec6471406c71401ff4b458ba80976117f72fa",
    "causal": "275ca2f723ac5d09cf439ade0292bf1f7faf11cfb10e20439be29d5c19e60a5c",
}
"""SHA-256 over all arrays of a run, as the program drew them that wrote the store."""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The store with its tokenizer."""
    path = shutil.copytree(MADE, tmp_path_factory.mktemp("earlier") / "store")
    TextTokenizer(EMBEDDED).save(path / "tokenizer")
    return path


def corpus_of(path, kind):
    store = Store(path)
    objective = objective_of(ModelRecipe(objective=kind, config="unused"), store)
    return Corpus(store, schedule=SCHEDULE, mixture=Mixture.of({"web": Fraction(1)}), objective=objective, seed=5)


def digest_of_a_run(corpus):
    batches = [GlobalBatch(samples=p.global_batch, data_parallel_size=1, per_device=6) for p in SCHEDULE.phases]
    digest = hashlib.sha256()
    for window in corpus.windows(batches, 0):
        for micro in window.micro_batches:
            for array in (micro.input_ids, micro.labels, micro.segments):
                digest.update(array.astype("<i8").tobytes())
        digest.update(repr(sorted(window.counts.items())).encode())
    return digest.hexdigest()


@pytest.mark.parametrize("kind", DRAWN)
def test_the_same_samples_are_drawn(path, kind):
    assert digest_of_a_run(corpus_of(path, kind)) == DRAWN[kind]


def test_plans_on_it_keep_their_fingerprint(path):
    recipe = {"seed": 5, "corpus": {"store": str(path)}, "batch": {"global_batch": 12}}
    file = path.parent / "recipe.yaml"
    file.write_text(json.dumps(recipe | {"phases": [{"steps": 40, "sequence_length": 16}]}))
    plan = plan_json(plan_on_store(read_recipe(file)))
    assert plan["fingerprint"] == "756bb54bc464f81ad23229e52cf804f1f9b53828f3004c617a82bddd3789e3fe"
    assert plan["rules"]["packing"] == "best-fit-decreasing in blocks, 1"
    assert plan["rules"]["order"] == "blocks and rows by hash, over lanes, 1"


def test_newer_stores_have_rules_of_their_own(path, store):
    earlier, newer = Store(path).facts(), store.facts()
    assert earlier.packing != newer.packing
    assert earlier.order != newer.order


COUNTED = [
    ((16, 0, 0, 77), (77, 1196, 143, 10533823797720295340375823778934401369), 114),
    ((16, 1, 5, 150), (145, 2232, 267, 105436634292742720094106629656449250352), 209),
    ((32, 0, 11, 90), (79, 2350, 298, 229527037427405276158164048623091926490), 216),
]


@pytest.mark.parametrize(("stretch", "counts", "documents"), COUNTED, ids=str)
def test_the_same_is_counted(path, stretch, counts, documents):
    length, number, start, stop = stretch
    counter = corpus_of(path, "masked").counter()
    draw = Draw(PassKey(0, "web", length, number), start, stop)
    assert counter.count(draw) == Counts(*counts)
    assert counter.documents_seen("web", [draw]) == documents


def test_documents_of_two_lengths(path):
    draws = [Draw(PassKey(0, "web", 16, 0), 0, 77), Draw(PassKey(1, "web", 32, 1), 3, 40)]
    assert corpus_of(path, "masked").counter().documents_seen("web", draws) == 179


def test_it_is_packed_further_as_before(path, tmp_path):
    copied = shutil.copytree(path, tmp_path / "copied")
    pack(Store(copied), (24,))
    folder = copied / "sources/web/packed-24"
    data = b"".join((folder / name).read_bytes() for name in ("blocks", "samples", "pieces"))
    assert hashlib.sha256(data).hexdigest() == "048ce5edd63d68fa07ea1c4c37c627971508f77c36b98f26b3965aa37bcd167e"
    assert Store(copied).sources()[0].packed_lengths().keys() == {16, 24, 32}
    verify_store(Store(copied))


def test_damage_is_found(path, tmp_path):
    copied = shutil.copytree(path, tmp_path / "copied")
    for name in ("00000.tokens", "00001.lengths", "packed-16/samples", "packed-16/pieces", "packed-16/blocks"):
        file = copied / "sources/web" / name
        whole = file.read_bytes()
        for at in range(0, len(whole), max(1, len(whole) // 3)):
            damaged = bytearray(whole)
            damaged[at] ^= 0x11
            file.write_bytes(damaged)
            with pytest.raises(InputError, match="damaged"):
                verify_store(Store(copied))
        file.write_bytes(whole[:-1])
        with pytest.raises(InputError, match="damaged"):
            verify_store(Store(copied))
        file.write_bytes(whole)
    verify_store(Store(copied))


def test_stores_made_before_packings_had_digests_open(path, tmp_path):
    copied = shutil.copytree(path, tmp_path / "copied")
    for file in (*copied.glob("sources/*/packed-*/packing.json"), copied / "manifest.json"):
        data = json.loads(file.read_text())
        data.pop("sha256" if "sha256" in data else "digest")
        file.write_text(json.dumps(data))
    store = Store(copied)
    for source in (*store.sources(), *store.sources(held_out=True)):
        for length in source.packed_lengths():
            source.packing(length)
    verify_store(store)
