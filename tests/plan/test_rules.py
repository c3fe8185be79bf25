"""Every rule fires where it should, stays silent where it should not, and has a page."""

from pathlib import Path

import pytest

from dist_epochs.plan.flags import apply_flags
from dist_epochs.plan.planner import make_plan
from dist_epochs.plan.recipe import make_recipe
from dist_epochs.plan.rules import NOTES, WARNINGS, page, rule_names
from dist_epochs.plan.yaml_reader import Document


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
    "partial-window": ({**LOOP, "gradient_accumulation": 2, "last_window": "flush"}, "flush makes 13 steps a pass, carry 12.5, drop 12"),
    "padded-duplicates": ({**LOOP, "devices": 3, "uneven": "pad"}, "8 duplicates (+8.0%)"),
    "dropped-data": ({**LOOP, "devices": 3, "uneven": "drop"}, "4 of 100 samples (4.00%)"),
    "uneven-ranks": ({**LOOP, "devices": 3, "uneven": "keep"}, "2 of 3 devices have none"),
    "global-batch-not-reached": ({**LOOP, "gradient_accumulation": 50, "last_window": "flush"}, "1 × 4 × 50 = 200"),
    "repeated-data": ({**QUIET, "epochs": 5}, "worth 4.522 fresh passes"),
    "over-the-cap": ({**QUIET, "epochs": 3, "max_epochs": 2}, "the cap is 2"),
    "sparse-peak": ({**PRICED, "peak_tflops": 1979}, "twice the dense 989.4"),
    "optimistic-mfu": ({**PRICED, "mfu": "70%"}, "70%"),
    "memory-too-small": ({**PRICED, "model": "llama-7b"}, "does not fit"),
    "not-counted": ({"corpus": "1B tokens", "steps": 10, "batch": "256x512"}, "dist-epochs tokenize"),
    "devices-not-stated": ({**LOOP, "devices": None}, "the global batch is that of one device"),
    "per-device-not-stated": ({**QUIET, "per_device": None}, "8 samples at once"),
    "budget-rounded": ({"tokens": 1000, "batch": "4x64"}, "4 whole steps take 24 positions more"),
    "with-replacement": ({**QUIET, "replacement": True}, "1 epochs of draws see 63.21%"),
    "guessed-mfu": (PRICED, "30% to 45%"),
    "six-per-parameter": ({**PRICED, "model": None, "parameters": "1B"}, "6e+09"),
    "tokens-per-parameter": ({**PRICED, "tokens": "300B"}, "2.74e+03 tokens a parameter"),
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
    assert set(found(**{**PRICED, "mfu": "40%", "corpus": "2.2B tokens"})) == {"not-counted", "budget-rounded"}


def test_the_last_step_draws_what_is_left():
    message = found(**{**QUIET, "corpus": "100 samples", "epochs": 2})["budget-rounded"]
    assert message == "the last step draws the 8 samples that are left of the amount"
    assert plan(**{**QUIET, "corpus": "100 samples", "epochs": 2}).samples == 200


def test_phases_and_mixtures(write_recipe):
    assert "counting every step at 512 would give 3.08 times" in found_in_config("bert-base")["sequence-phases"]
    assert "from 0.9 of web to 7.5 of wiki" in found_in_config("mixture")["mixture-average"]


def found_in_config(name):
    path = Path(__file__).parent.parent.parent / "configs" / f"{name}.yaml"
    return {warning.rule: warning.message for warning in make_plan(make_recipe(Document.read(path), path)).warnings}


def test_every_rule_is_tested_and_has_a_page():
    elsewhere = {"sequence-phases", "mixture-average"}
    on_stores = {"not-packed", "no-model", "warmup-beyond-the-run"}  # test_planner.py
    priced = {"not-priced", "temperature-rounded"}
    assert set(rule_names()) == {*CASES, *elsewhere, *on_stores, *priced}
    for name in rule_names():
        text = page(name)
        assert "What to do:" in text, name
        assert text.partition("\n")[0].endswith("."), name
    assert page("no-such-rule") is None
    assert len(rule_names()) == len(WARNINGS) + len(NOTES)


def test_a_family_without_a_closed_form(tmp_path):
    document = Document("flags")
    apply_flags(document, {"tokens": "1B", "batch": "64x512", "devices": "8xH100"})
    document.put(("model",), {"objective": "causal", "config": {"model_type": "mamba"}}, "test")
    made = make_plan(make_recipe(document, Path("flags")))
    assert "--exact" in {warning.rule: warning.message for warning in made.warnings}["not-priced"]
    assert made.cost.flops is None


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        ({"model": None}, "a model (--model or --parameters)"),
        ({"devices": 8, "mfu": "40%"}, "the device (--devices 8xH100)"),
        ({"devices": None, "tokens_per_second": "1M"}, "batch.devices"),
        ({"tokens": None, "samples": 640, "sequence_length": None}, "a sequence length"),
    ],
)
def test_what_a_price_still_needs(flags, part):
    assert part in found(**given(PRICED | flags))["not-priced"]


def test_samples_without_a_length_have_no_flops():
    made = plan(**given(PRICED | {"tokens": None, "samples": 640, "sequence_length": None}))
    assert (made.cost.parameters, made.cost.flops, made.cost.memory) == (109_514_298, None, None)


def test_shares_by_temperature_are_told():
    sources = ["en:81B", "sw:1B"]
    assert "en 0.9000, sw 0.1000" in found(*sources, temperature=2, tokens="1B", batch="64x512")["temperature-rounded"]
    assert "temperature-rounded" not in found(*sources, temperature=1, tokens="1B", batch="64x512")
