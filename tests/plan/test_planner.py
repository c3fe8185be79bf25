from fractions import Fraction

import pytest

from dist_epochs.arithmetic.batch import BatchError
from dist_epochs.corpus.streaming.planning import plan_on_store
from dist_epochs.errors import InputError
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.plan.planner import make_plan
from dist_epochs.recipe import read_recipe

KEYS = {
    "steps", "micro_steps", "samples", "positions", "tokens", "loss_tokens", "epochs", "coverage", "sources",
    "global_batch", "phases", "warnings",
}  # fmt: skip


def rules(plan):
    return {warning.rule: warning.message for warning in plan.warnings}


def read(write_recipe, store, *overrides, **sections):
    return read_recipe(write_recipe(store, **sections), overrides)


def test_integers_by_hand(write_recipe, store):
    plan = plan_on_store(read(write_recipe, store.path, "batch.devices=2"))
    assert (plan.steps, plan.micro_steps, plan.samples, plan.positions) == (9, 9 * 2, 108, 72 * 16 + 36 * 32)
    sizes = store.facts().sources[0].samples
    assert plan.epochs["samples"] == Fraction(72, sizes[16]) + Fraction(36, sizes[32])
    data = plan_json(plan)
    assert data.keys() >= KEYS
    assert data["tokens"] <= data["positions"]
    assert data["global_batch"].items() >= {
        "samples": 12, "positions": 192, "per_device": 3, "gradient_accumulation": 2, "data_parallel_size": 2,
            "devices": 2,
    }.items()  # fmt: skip


def test_whole_passes_are_the_whole_corpus(write_recipe, store):
    # An independent oracle: two passes at one length hold every token of the corpus twice.
    size = store.facts().sources[0].samples[16]
    recipe = read(
        write_recipe,
        store.path,
        batch={"global_batch": size, "per_device": 64, "uneven": "allow"},
        phases=[{"steps": 2, "sequence_length": 16}],
    )
    plan = plan_on_store(recipe)
    assert plan.totals.tokens == 2 * store.facts().tokens
    assert (plan.epochs["samples"], plan.epochs["tokens"], plan.coverage) == (2, 2, 1)


def test_devices_change_micro_steps_and_nothing_else(write_recipe, store):
    plans = [plan_on_store(read(write_recipe, store.path, f"batch.devices={n}")) for n in (1, 2, 3, 4)]
    assert [plan.micro_steps for plan in plans] == [9 * 4, 9 * 2, 9 * 2, 9 * 1]
    assert len({plan.totals for plan in plans}) == len({plan.fingerprint for plan in plans}) == 1


@pytest.mark.parametrize(
    "override",
    [
        "seed=4",
        "phases.0.steps=7",
        "phases.0.sequence_length=32",
        "batch.global_batch=24",
        "model.mask_probability=20%",
        "model.objective=causal",
    ],
)
def test_what_decides_the_samples_changes_the_fingerprint(write_recipe, store, override):
    plain = plan_on_store(read(write_recipe, store.path))
    assert plan_on_store(read(write_recipe, store.path, override)).fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    "override", ["batch.per_device=6", "batch.devices=4", "precision=bf16", "log_every=3", "optimizer.learning_rate=1"]
)
def test_what_does_not_leaves_it(write_recipe, store, override):
    plain = plan_on_store(read(write_recipe, store.path))
    assert plan_on_store(read(write_recipe, store.path, override)).fingerprint == plain.fingerprint


def test_a_batch_in_tokens(write_recipe, store):
    recipe = read(write_recipe, store.path, batch={"global_batch": "192 tokens", "per_device": 3})
    assert [phase.global_batch for phase in plan_on_store(recipe).phases] == [12, 6]
    with pytest.raises(BatchError, match=r"6\.25 samples of length 16") as caught:
        plan_on_store(read(write_recipe, store.path, batch={"global_batch": "100 tokens", "per_device": 3}))
    assert caught.value.fixes == ("'96 tokens' (6 samples)", "'112 tokens' (7 samples)")


def test_factors_that_contradict_the_batch(write_recipe, store):
    batch = {"global_batch": 64, "devices": 8, "per_device": 4, "gradient_accumulation": 4}
    with pytest.raises(BatchError, match=r"64 is stated, .* 8 devices × 4 samples × 4 micro-steps = 128"):
        plan_on_store(read(write_recipe, store.path, batch=batch))


def test_an_impossible_batch(write_recipe, store):
    with pytest.raises(BatchError) as caught:
        plan_on_store(read(write_recipe, store.path, batch={"global_batch": 64, "devices": 6, "per_device": 4}))
    assert caught.value.fixes[:2] == ("48 (accumulate 2)", "72 (accumulate 3)")


def test_before_counting_what_cannot_be_known_is_open(write_recipe):
    recipe = read(
        write_recipe,
        "unused",
        corpus={"words": "3.3B words", "tokens_per_word": 1},
        phases=[{"steps": "900k", "sequence_length": 128}, {"steps": "100k", "sequence_length": 512}],
        batch={"global_batch": 256, "per_device": 8},
        model=None,
    )
    plan = make_plan(recipe)
    # BERT's two lengths: arXiv:1810.04805 appendix A.2
    assert plan.positions == 42_598_400_000
    assert float(plan.epochs["positions"]) == pytest.approx(12.9086, abs=1e-4)
    assert (plan.totals, plan.epochs["tokens"]) == (None, None)
    assert (plan.is_estimate, plan.epochs["samples"]) == (True, plan.epochs["positions"])
    assert "not-counted" in rules(plan)


def test_a_length_beyond_the_model_s(write_recipe, store):
    with pytest.raises(InputError, match="sequence length 64 is beyond the model's 32 positions"):
        plan_on_store(read(write_recipe, store.path, "phases.0.sequence_length=64"))


def test_a_store_that_is_not_there_is_said(write_recipe, tmp_path):
    plan = plan_on_store(read(write_recipe, tmp_path / "nowhere"))
    assert f"there is no store at {tmp_path}/nowhere" in rules(plan)["not-counted"]


def test_what_is_not_stated_is_said(write_recipe, store):
    assert "devices-not-stated" in rules(plan_on_store(read(write_recipe, store.path)))
    plan = plan_on_store(read(write_recipe, store.path, "batch.devices=1", model=None))
    assert "no-model" in rules(plan)
    assert "devices-not-stated" not in rules(plan)
    late = plan_on_store(read(write_recipe, store.path, "batch.devices=1", "optimizer.warmup_steps=10"))
    assert "warmup-beyond-the-run" in rules(late)
    assert plan.totals is None


def test_a_length_that_is_not_packed(write_recipe, store):
    plan = plan_on_store(read(write_recipe, store.path, phases=[{"steps": 1, "sequence_length": 24}]))
    assert "--sequence-length 24" in rules(plan)["not-packed"]


def test_several_sources_need_weights(write_recipe, mixed_store):
    with pytest.raises(
        InputError, match=r"holds 2 sources and corpus\.weights does not say .* \{web: 0\.\d+, wiki: 0\.\d+\}"
    ):
        plan_on_store(read(write_recipe, mixed_store.path))
    with pytest.raises(InputError, match=r"corpus\.weights names 'book'"):
        plan_on_store(
            read(write_recipe, mixed_store.path, corpus={"store": str(mixed_store.path), "weights": {"book": 1}})
        )


def test_each_source_has_its_own_epochs(write_recipe, mixed_store):
    corpus = {"store": str(mixed_store.path), "weights": {"web": 3, "wiki": 1}}
    plan = plan_on_store(read(write_recipe, mixed_store.path, corpus=corpus))
    web, wiki = plan.sources
    assert (web.samples, wiki.samples) == (81, 27)
    sizes = {source.name: source.samples for source in mixed_store.facts().sources}
    assert wiki.epochs == Fraction(18, sizes["wiki"][16]) + Fraction(9, sizes["wiki"][32])
    assert web.tokens + wiki.tokens == plan.totals.tokens


def test_the_fingerprint_is_of_the_mixture_not_of_its_spelling(write_recipe, mixed_store):
    def plan(**weights):
        corpus = {"store": str(mixed_store.path), "weights": weights}
        return plan_on_store(read(write_recipe, mixed_store.path, corpus=corpus))

    plans = [plan(web=1, wiki=1), plan(wiki=1, web=1), plan(web="50%", wiki="50%"), plan(web=2, wiki=1)]
    assert len({p.fingerprint for p in plans[:3]}) == len({p.totals.digest for p in plans[:3]}) == 1
    assert plans[3].fingerprint != plans[0].fingerprint


def test_a_source_left_out_is_not_part_of_the_corpus(write_recipe, mixed_store):
    corpus = {"store": str(mixed_store.path), "weights": {"wiki": 1}}
    plan = plan_on_store(read(write_recipe, mixed_store.path, corpus=corpus))
    assert [source.name for source in plan.sources] == ["wiki"]
    assert plan.corpus_tokens.value == mixed_store.facts().only({"wiki"}).tokens


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"global_batch": 4096, "ramp": {"stages": {"0": 64, "100 steps": 128}}}, "a ramp ends with the global batch"),
        ({"global_batch": 128, "ramp": {"stages": {"0": 64, "100 steps": 128}, "start": 8}}, "or stages alone"),
        (
            {"global_batch": 32, "devices": 4, "ramp": "2 2 100"},
            "batch.ramp, at its level of 2: global batch 2 cannot be built",
        ),
    ],
)
def test_ramps_that_contradict(write_recipe, batch, message):
    with pytest.raises(InputError, match=message):
        make_plan(read(write_recipe, "unused", corpus={"tokens": "1B"}, batch=batch, model=None))


def test_a_model_without_a_formula_is_planned_by_its_parameters(write_recipe):
    sections = {"corpus": {"tokens": "1B"}, "batch": {"global_batch": 8}, "optimizer": None}
    model = {"config": {"model_type": "mixtral"}, "parameters": "13B"}
    assert make_plan(read(write_recipe, "unused", **sections, model=model)).cost.parameters == 13 * 10**9
    with pytest.raises(InputError, match="one of them"):
        make_plan(read(write_recipe, "unused", **sections, model={"config": "bert-base", "parameters": "13B"}))
