"""One recipe on 1, 2, 3 and 4 processes: the same run."""

import json

import pytest
from tokenizers import Tokenizer

from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from tests.conftest import tiny_model

WORLDS = (1, 2, 3, 4)


def check_time(run, world):
    """Every second of rank 0 once, from the start of the program to the end of the run, on every device."""
    line, segment, end = run.result.time_line, run.of("segment")[0], run.of("end")[-1]
    assert line.wall_us / 1e6 == pytest.approx(end["time"] - segment["started"], abs=0.001)
    assert (line.back_us, line.causes["unattributed"], line.causes["idle"]) == (0, 0, 0)
    assert line.causes["compute"] > 0 < line.causes["start-up"]
    assert run.result.spending.device_hours.recorded == pytest.approx(world * line.wall_us / 3.6e9)


def check_same(runs, relative=1e-5):
    for world, run in runs.items():
        check_time(run, world)
        assert run.result.agrees, run.result.differences
        assert run.of("end")[-1]["status"] == "finished"
    first = runs[1]
    for run in runs.values():
        same = [[line["drawn"] for line in r.of("applied")] for r in (first, run)]
        assert same[0] == same[1]  # the same samples, tokens, loss tokens and digest in each step
        assert run.losses == pytest.approx(first.losses, rel=relative)
        assert json.loads((run.folder / "plan.json").read_text())["fingerprint"] == first.result.plan["fingerprint"]


def test_masked_on_every_world(store, write_recipe, train_worlds):
    phases = [{"steps": 80, "sequence_length": 16}, {"steps": 20, "sequence_length": 32}]
    batch = {"global_batch": 12, "per_device": 3}
    runs = train_worlds(
        write_recipe(store.path, phases=phases, batch=batch, evaluation={"every": 40}, log_every=5), WORLDS
    )
    check_same(runs)
    micro_steps = [runs[world].result.totals.applied.micro_steps for world in WORLDS]
    assert micro_steps == [100 * 4, 100 * 2, 100 * 2, 100 * 1]
    assert runs[1].losses[-1] < runs[1].losses[0] - 1
    evaluations = [
        [m["values"]["evaluation/loss"] for m in run.of("metrics") if "evaluation/loss" in m["values"]]
        for run in runs.values()
    ]
    assert all(values == pytest.approx(evaluations[0], rel=1e-5) for values in evaluations)
    assert len(evaluations[0]) == 3
    assert all(run.result.time_line.causes["evaluation"] > 0 for run in runs.values())


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_causal_with_slices_that_differ(store, write_recipe, train_worlds, kind):
    model = {"objective": "causal", "config": tiny_model(kind)}
    batch = {"global_batch": 7, "per_device": 2, "uneven": "allow"}
    check_same(train_worlds(write_recipe(store.path, model=model, batch=batch), WORLDS))


def test_a_rank_without_samples_joins_in(store, write_recipe, train_worlds):
    batch = {"global_batch": 3, "per_device": 1, "uneven": "allow"}
    check_same(train_worlds(write_recipe(store.path, batch=batch), (1, 4)))


def test_a_mixture_on_two_worlds(mixed_store, write_recipe, train_worlds):
    corpus = {"store": str(mixed_store.path), "weights": {"web": "2/3", "wiki": "1/3"}}
    runs = train_worlds(write_recipe(mixed_store.path, corpus=corpus), (1, 3))
    check_same(runs)
    assert [source["samples"] for source in runs[3].result.to_json()["sources"]] == [72, 36]


def test_the_trained_tokens_are_the_tokens_of_the_text(text_file, tmp_path, write_recipe, train_worlds):
    """Two whole passes: an independent tokenizer over the lines of the file gives the ledger's total."""
    from dist_epochs.corpus.input.sources import find_sources
    from dist_epochs.corpus.tokenizing.tokenize import Settings, tokenize

    counts = tokenize(
        find_sources((str(text_file),)), TextTokenizer(EMBEDDED), Settings(sequence_lengths=(32,)),
        out=tmp_path / "plain",
    )  # fmt: skip
    samples = counts["samples"]["32"]
    phases = [{"steps": 2, "sequence_length": 32}]
    batch = {"global_batch": samples, "per_device": 256, "uneven": "allow"}
    run = train_worlds(write_recipe(tmp_path / "plain", phases=phases, batch=batch), (2,))[2]
    independent = Tokenizer.from_file(str(TextTokenizer(EMBEDDED).path))
    tokens = sum(len(independent.encode(line).ids) for line in text_file.read_text().splitlines() if line.strip())
    assert run.result.totals.applied.counts.tokens == 2 * tokens
    assert run.result.to_json()["epochs"] == {"samples": 2, "positions": pytest.approx(2, rel=0.1), "tokens": 2}
