"""Every rule fires where it should, stays silent where it should not, and has a page."""

from pathlib import Path

import pytest

from dist_epochs.errors import Origin
from dist_epochs.plan.planner import make_plan
from dist_epochs.plan.warnings import NOTES, WARNINGS
from dist_epochs.recipe import make_recipe
from dist_epochs.recipe.flags import apply_flags
from dist_epochs.rules import PAGES, rule_name
from dist_epochs.settings.document import Document


def plan(*sources, **flags):
    document = Document("flags")
    apply_flags(document, {name: str(text) if text is not True else True for name, text in flags.items()}, sources)
    return make_plan(make_recipe(document, Path("flags")))


def found(*sources, **flags):
    return {warning.rule: warning.message for warning in plan(*sources, **flags).warnings}


QUIET = {"corpus": "1M samples", "global_batch": 64, "per_device": 8, "devices": 8, "epochs": 1}
LOOP = {"corpus": "100 samples", "per_device": 4, "devices": 1, "epochs": 1}
PRICED = {
    "tokens": "2.2B",
    "global_batch": 64,
    "per_device": 8,
    "sequence_length": 512,
    "devices": "8xH100",
    "model": "bert-base",
}

CASES = {
    "words-as-tokens": ({"corpus": "3B words", "tokens_per_word": 1, "steps": 10, "batch": "256x512"}, "at 1.25"),
    "partial-window": ({**LOOP, "gradient_accumulation": 2, "last_window": "flush"},
        "flush makes 13 steps a pass, carry 12.5, drop 12"),
    "padded-duplicates": ({**LOOP, "devices": 3, "uneven": "pad"}, "8 duplicates (+8.0%)"),
    "dropped-data": ({**LOOP, "devices": 3, "uneven": "drop"}, "4 of 100 samples (4.00%)"),
    "uneven-ranks": ({**LOOP, "devices": 3, "uneven": "keep"}, "2 of 3 devices have none"),
    "global-batch-not-reached": ({**LOOP, "gradient_accumulation": 50, "last_window": "flush"}, "1 × 4 × 50 = 200"),
    "repeated-data": ({**QUIET, "epochs": 5}, "4.522 equivalent unique epochs"),
    "over-the-cap": ({**QUIET, "epochs": 3, "max_epochs": 2}, "the cap is 2"),
    "sparse-peak": ({**PRICED, "peak_tflops": 1979}, "twice the dense 989.4"),
    "optimistic-mfu": ({**PRICED, "mfu": "70%"}, "70%"),
    "memory-too-small": ({**PRICED, "model": "llama-7b"}, "alone do not fit"),
    "not-counted": ({"corpus": "1B tokens", "steps": 10, "batch": "256x512"}, "dist-epochs tokenize"),
    "devices-not-stated": ({**LOOP, "devices": None}, "the global batch is that of one device"),
    "per-device-not-stated": ({**QUIET, "per_device": None}, "8 samples at once"),
    "budget-rounded": ({"tokens": 100_000, "batch": "4x64"}, "391 whole steps take 96 positions more"),
    "budget-missed": ({"tokens": 300, "batch": "256x512"}, "one whole step takes 130,772 positions more"),
    "batch-of-samples": ({"tokens": "100B", "batch": "2M", "sequence_length": 4096},
        "8,192,000,000 positions a step. Tokens? '2,000,000 tokens' are 488.3 samples"),
    "checkpoints-too-rare": ({**PRICED, "restarts": 1, "checkpoint_every": 7200}, "a checkpoint every 7,200 hours"),
    "fp32-peak": ({**PRICED, "precision": "fp32"}, "TF32 peak of H100 SXM"),
    "corpus-not-stated": ({"tokens": 1000, "batch": "4x64"}, "--corpus is not given"),
    "ramp-off-the-micro-batch": ({"samples": 1000, "global_batch": 32, "per_device": 4, "devices": 2,
        "sequence_length": 8,
                                  "ramp": "16 4 100"}, "2 levels (20, 28) are no multiples of 2 × 4 = 8"),
    "with-replacement": ({**QUIET, "replacement": True}, "1 epochs of draws see 63.21%"),
    "guessed-mfu": (PRICED, "30% to 45%"),
    "assumed-precision": (PRICED, "the recipe states no precision, and bf16 is taken"),
    "six-per-parameter": ({**PRICED, "model": None, "parameters": "1B"}, "6e+09"),
    "rate-of-one-device": ({**PRICED, "tokens_per_second": "500k"}, "are 4.49 % of their dense peak. One device"),
    "tokens-per-parameter": ({**PRICED, "tokens": "300B"}, "2,739.4 tokens a parameter"),
    "eu-compute-threshold": ({**PRICED, "model": None, "parameters": "70B", "tokens": "15T"}, "6.3e+24 FLOP are more"),
}  # fmt: skip


def given(flags):
    return {name: value for name, value in flags.items() if value is not None}


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_fires_with_its_numbers(rule):
    flags, part = CASES[rule]
    assert part in found(**given(flags))[rule]


def test_nothing_is_said_where_nothing_is_to_be_known():
    assert found(**QUIET) == {}
    whole_loop = {**LOOP, "gradient_accumulation": 5, "last_window": "flush", "uneven": "pad"}
    assert found(**whole_loop) == {}
    assert set(found(**{**PRICED, "mfu": "40%", "precision": "bf16", "corpus": "2.2B tokens"})) == {
        "not-counted",
        "budget-rounded",
    }


def test_the_last_step_draws_what_is_left():
    message = found(**{**QUIET, "corpus": "100 samples", "epochs": 2})["budget-rounded"]
    assert message == "the last step draws what is left of the amount: 8 samples"
    assert plan(**{**QUIET, "corpus": "100 samples", "epochs": 2}).samples == 200


def test_phases_and_mixtures(write_recipe):
    assert "counting every step at 512 would give 3.08 times" in found_in_config("bert-base")["sequence-phases"]
    assert "from 0.9 of web to 7.5 of wiki" in found_in_config("mixture")["mixture-average"]


@pytest.mark.parametrize(("tokens", "says"), [("16.6B", None), ("16.7B", "10²³"), ("1.66T", "10²³"), ("1.67T", "10²⁵")])
def test_the_thresholds_of_the_european_union(tokens, says):
    flags = {**PRICED, "model": None, "parameters": "1T", "tokens": tokens}
    message = found(**given(flags)).get("eu-compute-threshold")
    assert (message or "").partition("more than ")[2][:4] == (says or "")


def test_a_model_that_is_modified_had_compute_before():
    document = Document("flags")
    apply_flags(document, {"tokens": "15T", "batch": "64x512", "devices": "8xH100"})
    model = {"parameters": "70B", "adapter": {"kind": "lora", "parameters": "1B"}}
    document.put(("model",), model, Origin("test"))
    made = {one.rule: one.message for one in make_plan(make_recipe(document, Path("flags"))).warnings}
    assert "beside those of the model that is modified" in made["eu-compute-threshold"]


def found_in_config(name):
    path = Path(__file__).parent.parent.parent.parent / "configs" / f"{name}.yaml"
    return {warning.rule: warning.message for warning in make_plan(make_recipe(Document.read(path), path)).warnings}


def test_every_rule_is_tested_and_has_a_page():
    elsewhere = {"sequence-phases", "mixture-average", "shares-of-the-budget"}
    on_stores = {"not-packed", "no-model", "warmup-beyond-the-run"}  # test_planner.py
    priced = {"not-priced", "temperature-rounded", "weights-beyond-one"}
    priced |= {"partly-trained-not-counted"}  # test_partly_trained.py
    texts = {rule_name(rule): PAGES[rule_name(rule)] for rule in (*WARNINGS, *NOTES)}
    assert set(texts) == {*CASES, *elsewhere, *on_stores, *priced}
    for name, text in texts.items():
        assert "What to do:" in text, name
        assert text.partition("\n")[0].endswith("."), name


def test_a_family_without_a_closed_form(tmp_path):
    document = Document("flags")
    apply_flags(document, {"tokens": "1B", "batch": "64x512", "devices": "8xH100"})
    document.put(("model",), {"objective": "causal", "config": {"model_type": "mamba"}}, Origin("test"))
    made = make_plan(make_recipe(document, Path("flags")))
    assert "--exact" in {warning.rule: warning.message for warning in made.warnings}["not-priced"]
    assert made.cost.flops is None


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        ({"model": None}, "a model (--model or --parameters)"),
        ({"devices": 8, "mfu": "40%"}, "the device (--devices 8xH100)"),
        ({"devices": None, "tokens_per_second": "1M", "price": 2}, "batch.devices"),
        ({"tokens": None, "samples": 640, "sequence_length": None}, "a sequence length"),
    ],
)
def test_what_a_price_still_needs(flags, part):
    assert part in found(**given(PRICED | flags))["not-priced"]


def test_samples_without_a_length_have_no_flops():
    made = plan(**given(PRICED | {"tokens": None, "samples": 640, "sequence_length": None}))
    assert (made.cost.parameters, made.cost.flops, made.cost.memory) == (109_514_298, None, None)


def test_shares_by_temperature_are_told():
    sources = ["en:81B tokens", "sw:1B tokens"]
    assert "en 0.9000, sw 0.1000" in found(*sources, temperature=2, tokens="1B", batch="64x512")["temperature-rounded"]
    assert "temperature-rounded" not in found(*sources, temperature=1, tokens="1B", batch="64x512")


def test_weights_that_look_like_shares_and_are_none():
    run = {"tokens": "1B", "batch": "64x512"}
    assert "add up to 1.2" in found("a:1B tokens:60%", "b:1B tokens:60%", **run)["weights-beyond-one"]
    for fine in (("a:1B tokens:60%", "b:1B tokens:40%"), ("a:1B tokens:3", "b:1B tokens:1")):
        assert "weights-beyond-one" not in found(*fine, **run)


def test_a_batch_whose_unit_is_stated_is_taken_at_its_word():
    large = {"tokens": "100B", "sequence_length": 4096}
    assert "batch-of-samples" not in found(**large, batch="2M samples")
    assert "batch-of-samples" not in found(**large, batch="2Mi tokens")
    assert "batch-of-samples" not in found(**large, batch="16384")


def test_shares_follow_the_unit_of_the_budget():
    path = Path(__file__).parent.parent.parent.parent / "configs/bert-base.yaml"
    document = Document.read(path)
    apply_flags(document, {"epochs": "40"})
    made = make_plan(make_recipe(document, path))
    message = {warning.rule: warning.message for warning in made.warnings}["shares-of-the-budget"]
    assert message.startswith("90% of the epochs are 97.297% of the steps")
    assert "shares-of-the-budget" not in found_in_config("bert-base")


def test_the_steps_that_hours_pay_for_are_a_range_where_the_speed_is():
    flags = {name: text for name, text in PRICED.items() if name != "tokens"} | {"hours": 10}
    assert "the budget may pay for" in found(**flags)["guessed-mfu"]
    assert "guessed-mfu" not in found(**flags, mfu="40%")


def test_a_phase_that_misses_its_amount_on_the_way_is_told():
    document = Document("flags")
    apply_flags(document, {"steps": "1", "batch": "64x8"})
    document.put(("budget",), None, Origin("test"))
    document.put(
        ("phases",), [{"samples": 10_000, "sequence_length": 8}, {"steps": 10, "sequence_length": 16}], Origin("test")
    )
    made = make_plan(make_recipe(document, Path("flags")))
    assert {w.rule: w.message for w in made.warnings}[
        "budget-rounded"
    ] == "157 whole steps take 48 samples more than asked for"
