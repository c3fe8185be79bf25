"""One difference is planted between two runs at a time: its cause is ranked first."""

import json
import shutil
from pathlib import Path

import pytest

from dist_epochs.audit.compare.comparison import compare_runs
from dist_epochs.audit.compare.logs import logged_run
from dist_epochs.audit.compare.own import is_own_run, own_run
from dist_epochs.audit.detect.folder import read_finished_run
from dist_epochs.corpus.stores.store import ORDER_1, PACKING_1, Store
from dist_epochs.corpus.tokenizing.build import pack
from tests.audit.compare.planted import (
    loop_of,
    make_store,
    other_tokenizer,
    run_of,
    say_otherwise,
    shuffled,
    trainer_state,
)
from tests.conftest import tiny_model, write_corpus

RECIPE = {
    "name": "test",
    "seed": 3,
    "batch": {"global_batch": 12, "per_device": 3},
    "phases": [{"steps": 6, "sequence_length": 16}, {"steps": 3, "sequence_length": 32}],
    "model": {"objective": "masked", "config": tiny_model("bert")},
    "optimizer": {"learning_rate": 1e-3, "warmup_steps": 2},
    "precision": "fp32",
}
MASKED, OPTIMIZER = RECIPE["model"], RECIPE["optimizer"]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """Stores of one text, and of what is planted in it."""
    folder = tmp_path_factory.mktemp("corpora")
    text = write_corpus(folder / "web.txt", 300, seed=1, longest=30)
    wiki = write_corpus(folder / "wiki.txt", 80, seed=2, longest=30)
    lines = text.read_text().splitlines()
    changed = {
        "other": write_corpus(_folder(folder / "other") / "web.txt", 300, seed=7, longest=30),
        "one word": _written(folder / "word" / "web.txt", ["batch", *lines[1:]]),
        "one more": _written(folder / "more" / "web.txt", [*lines, "step"]),
    }
    stores = {name: make_store(folder / f"{path.parent.name}-store", path) for name, path in changed.items()}
    packed = make_store(folder / "store", text)
    pack(Store(packed), (16, 32), "bfd_split")
    return stores | {
        "text": packed,
        "mixed": make_store(folder / "mixed", text, wiki),
        "pieces": make_store(folder / "pieces", text, tokenizer=other_tokenizer(folder / "tokenizer")),
        "bare": make_store(folder / "bare", text, special_tokens=False),
    }


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _written(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir()
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def base(corpora, tmp_path_factory):
    """A run of the recipe as it stands."""
    return make_in(tmp_path_factory.mktemp("base"), corpora)("a")


@pytest.fixture
def make(corpora, base, tmp_path):
    """Make a run of the recipe with sections of it replaced."""
    make_one = make_in(tmp_path, corpora)
    return lambda name, **changes: make_one(name, **changes) if changes else base


def make_in(folder, corpora):
    """Makes runs in a folder."""

    def made(name, store="text", *, run=None, **sections):
        recipe = {**RECIPE, "corpus": {"store": str(corpora[store])}, **sections}
        if weights := recipe.pop("weights", None):
            recipe["corpus"] |= weights
        path = folder / f"{name}.yaml"
        path.write_text(json.dumps(recipe))
        return run_of(path, folder / name, **(run or {}))

    return made


def swapped(windows):
    return [windows[1], windows[0], *windows[2:]]


def drawn_twice(windows):
    return [*windows[:3], windows[2], *windows[4:]]


def other_packing(windows):
    return [windows[-1] if at == 0 else window for at, window in enumerate(windows)]


def rule(name, value):
    def edit(plan):
        plan["rules"][name] = value
        plan["fingerprint"] = f"another {plan['fingerprint']}"

    return {"edit": edit}


def of_an_earlier_format(plan):
    """Of the same text, whose digest is another one in each format."""
    plan["rules"] |= {"packing": PACKING_1, "order": ORDER_1}
    plan["fingerprint"] = plan["corpus"]["fingerprint"] = f"another {plan['fingerprint']}"


LONG = [{"steps": 16, "sequence_length": 16}]
MIXED = {"store": "mixed", "weights": {"weights": {"web": "1/2", "wiki": "1/2"}}}
DERIVED = {"batch": {"devices": 4, "per_device": 3, "gradient_accumulation": 1}}

RUNS = {
    # cause, the first step that differs, what differs there, the first run, the second
    "another seed": ("seed", 1, "samples", {}, {"seed": 4}),
    "another text": ("corpus", 1, None, {}, {"store": "other"}),
    "one word of the text": ("corpus", 1, "loss tokens", {}, {"store": "one word"}),
    "one document more": ("corpus", None, None, {}, {"store": "one more"}),
    "another tokenizer": ("tokenizer", 1, None, {}, {"store": "pieces"}),
    "no special tokens": ("tokenizer", 1, None, {}, {"store": "bare"}),
    "longer samples at first": ("packing", 1, "sequence length", {},
        {"phases": [{"steps": 6, "sequence_length": 32}, {"steps": 3, "sequence_length": 32}]}),
    "longer samples a step later": ("packing", 7, "sequence length", {},
        {"phases": [{"steps": 7, "sequence_length": 16}, {"steps": 2, "sequence_length": 32}]}),
    "another rule of packing": ("packing", 1, None, {},
        {"run": rule("packing", "next-fit, 1") | {"reorder": other_packing}}),
    "a store of an earlier format": ("packing", 1, None, {},
        {"run": {"edit": of_an_earlier_format, "reorder": other_packing}}),
    "another strategy": ("packing", 1, None, {}, {"weights": {"packing": "bfd_split"}}),
    "other weights": ("mixture", 1, None, MIXED, {**MIXED, "weights": {"weights": {"web": "3/4", "wiki": "1/4"}}}),
    "one source less": ("mixture", 1, None, MIXED, {**MIXED, "weights": {"weights": {"web": "1"}}}),
    "another temperature": ("mixture", 1, None, {**MIXED, "weights": {"temperature": 1}},
        {**MIXED, "weights": {"temperature": 4}}),
    "other sources in the second phase": ("mixture", 7, None, MIXED,
        {**MIXED, "phases": [RECIPE["phases"][0], {**RECIPE["phases"][1], "sources": {"wiki": 1}}]}),
    "more masks": ("masks", 1, "loss tokens", {}, {"model": {**MASKED, "mask_probability": "40%"}}),
    "no masks": ("masks", 1, "loss tokens", {}, {"model": {**MASKED, "objective": "causal"}}),
    "another rule of masks": ("masks", None, None, {}, {"run": rule("masks", "at random, 1")}),
    "half of the batch": ("global batch", 1, "batch", {}, {"batch": {"global_batch": 6, "per_device": 3}}),
    "a larger batch later": ("global batch", 7, "batch", {},
        {"phases": [RECIPE["phases"][0], {"steps": 3, "sequence_length": 32, "global_batch": 24}]}),
    "fewer devices that make the batch": ("world", 1, "batch", {**DERIVED, "run": {"devices": 4}},
        {"batch": {**DERIVED["batch"], "devices": 2},
         "run": {"devices": 2, "facts": {"world_size": 2, "data_parallel_size": 2}}}),
    "two processes": ("world", None, None, {},
        {"run": {"devices": 2, "facts": {"world_size": 2, "data_parallel_size": 2}}}),
    "two processes later": ("world", None, None, {},
        {"run": {"segments": [(5, {"world_size": 2, "data_parallel_size": 2})]}}),
    "sharded": ("world", None, None, {}, {"hardware": {"zero_stage": 3}}),
    "another rule of order": ("order", 1, "samples", {}, {"run": rule("order", "as read, 1") | {"reorder": swapped}}),
    "two steps swapped": ("order", 1, "samples", {}, {"run": {"reorder": swapped}}),
    "two steps swapped in whole passes": ("order", 1, "samples", {"phases": LONG},
        {"phases": LONG, "run": {"reorder": swapped}}),
    "a batch drawn twice": ("duplicates", 4, None, {"phases": LONG, "batch": {"global_batch": 24, "per_device": 3}},
        {"phases": LONG, "batch": {"global_batch": 24, "per_device": 3}, "run": {"reorder": drawn_twice}}),
    "a batch drawn twice in a part of a pass": ("duplicates", 4, None, {}, {"run": {"reorder": drawn_twice}}),
    "a skipped step": ("skipped", 4, "skipped", {}, {"run": {"skipped": (4,)}}),
    "another skipped step": ("skipped", 4, "skipped", {"run": {"skipped": (5,)}}, {"run": {"skipped": (4,)}}),
    "a higher rate": ("learning rate", None, None, {}, {"optimizer": {**OPTIMIZER, "learning_rate": 2e-3}}),
    "a longer warm-up": ("learning rate", None, None, {}, {"optimizer": {**OPTIMIZER, "warmup_steps": 3}}),
    "another decay": ("learning rate", None, None, {}, {"optimizer": {**OPTIMIZER, "decay": "cosine"}}),
    "a longer run": ("learning rate", None, None, {},
        {"phases": [RECIPE["phases"][0], {"steps": 5, "sequence_length": 32}]}),
    "bf16": ("precision", None, None, {}, {"precision": "bf16"}),
    "fp16 that skips": ("precision", 2, "skipped", {}, {"precision": "fp16", "run": {"skipped": (2,)}}),
    "another launch": ("precision", None, None, {}, {"run": {"facts": {"precision": "bf16"}}}),
    "another torch": ("versions", None, None, {},
        {"run": {"facts": {"versions": {"python": "3.11.7", "torch": "2.14"}}}}),
}  # fmt: skip


def evidence(path):
    return own_run(path) if is_own_run(path) else logged_run(read_finished_run(path))


def compared(a, b):
    return compare_runs(evidence(a), evidence(b))


def first_cause(found):
    return found.causes[0].cause if found.causes else None


@pytest.mark.parametrize("planted", RUNS)
def test_of_our_runs(planted, make):
    cause, step, what, a, b = RUNS[planted]
    found = compared(make("a", **a), make("b", **b))
    assert first_cause(found) == cause
    assert not found.others
    first = found.first_difference
    assert (first and first.step) == step
    if what is not None:
        assert first.what == what
    told = cause not in ("corpus", "tokenizer", "masks") or found.samples.differing
    assert found.same_data is ((first is None or first.what == "skipped") if told else None)


LOOPS = {
    "shuffled otherwise": ("order", {"batches": (32, 8)}, {"batches": (32, 8, 5)}),
    "another seed": ("seed", {"batches": (32, 8), "says": {"seed": 1}}, {"batches": (32, 8, 5), "says": {"seed": 2}}),
    "another seed of the weights": ("seed", {"batches": (32, 8), "says": {"seed": 1}},
        {"batches": (32, 8), "says": {"seed": 2}}),
    "other data under another seed": ("corpus", {"batches": (32, 8), "says": {"seed": 1}},
        {"batches": (32, 8), "first": 1, "says": {"seed": 2}}),
    "a higher rate": ("learning rate", {"batches": (32, 8), "says": {"learning_rate": 1e-3}},
        {"batches": (32, 8), "says": {"learning_rate": 2e-3}}),
    "padded": ("duplicates", {"batches": (30, 8)}, {"batches": (30, 8), "pads": 2}),
    "more data": ("corpus", {"batches": (32, 8)}, {"batches": (40, 8)}),
    "other data of the same size": ("corpus", {"batches": (32, 8)}, {"batches": (32, 8), "first": 1}),
    "larger batches": ("global batch", {"batches": (32, 8)}, {"batches": (32, 16)}),
    "a skipped step": ("skipped", {"batches": (32, 8)}, {"batches": (32, 8), "skipped": (3,)}),
    "more processes": ("world", {"batches": (32, 8), "says": {"world_size": 1, "per_device": 8}},
        {"batches": (32, 16), "says": {"world_size": 2, "data_parallel_size": 2, "per_device": 8}}),
    "bf16": ("precision", {"batches": (32, 8), "says": {"precision": "no"}},
        {"batches": (32, 8), "says": {"precision": "bf16"}}),
    "another torch": ("versions", {"batches": (32, 8), "says": {"versions": {"torch": "2.13"}}},
        {"batches": (32, 8), "says": {"versions": {"torch": "2.14"}}}),
}  # fmt: skip


@pytest.mark.parametrize("planted", LOOPS)
def test_of_user_loops(planted, tmp_path):
    cause, *runs = LOOPS[planted]
    paths = []
    for name, run in zip("ab", runs, strict=True):
        samples, *more = run["batches"]
        batches = shuffled(samples, *more, pads=run.get("pads", 0), first=run.get("first", 0))
        made = loop_of(tmp_path / name, batches, samples=samples, skipped=run.get("skipped", ()))
        paths.append(say_otherwise(made, **run.get("says", {})))
    assert first_cause(compared(*paths)) == cause


STATES = {
    "a higher rate": ("learning rate", {}, {"rate": 1e-3}),
    "a longer run": ("learning rate", {}, {"steps": 70}),
    "larger batches": ("global batch", {}, {"batch": 16, "corpus": 960}),
    "more data": ("global batch", {}, {"corpus": 600}),
}


@pytest.mark.parametrize("planted", STATES)
def test_of_trainer_states(planted, tmp_path):
    cause, a, b = STATES[planted]
    found = compared(trainer_state(tmp_path / "a", **a), trainer_state(tmp_path / "b", **b))
    assert first_cause(found) == cause
    assert "order" in found.not_compared


def test_thirty_differences_are_planted():
    assert len(RUNS) + len(LOOPS) + len(STATES) >= 30


def test_what_the_run_is_priced_on_is_no_cause(make):
    found = compared(make("a"), make("b", hardware={"device": "H100", "price": 2.5}))
    assert (found.causes, found.others, found.same_data) == ((), (), True)


def test_the_same_run(make, tmp_path):
    run = make("a")
    found = compared(run, shutil.copytree(run, tmp_path / "b"))
    assert (found.first_difference, found.causes, found.same_data, found.logs.loss) == (None, (), True, None)
