"""A total beside its parts: of which, in a phase, for a model, of all phases; each number against its own."""

import pytest

from dist_epochs.audit.sentence.audited import audit_text_of


def roles(text):
    return [(fact.role, float(fact.numeral.value)) for fact in audit_text_of(text).reading.facts]


def verdict(text):
    return str(audit_text_of(text).audit.verdict)


PHASES = (
    "The model was trained for 1T tokens, of which 100B in the second phase over {} steps of 4M tokens.",
    "The model was trained for 1T tokens, of which the last 100B tokens are drawn in {} steps of 4M tokens.",
    "The model was trained on 1T tokens: 900B in stage 1 and 100B in stage 2, with {} steps of 4M tokens in stage 2.",
    "We trained for 1T tokens. Of these, 100B tokens belong to the second stage, which has {} steps of 4M tokens.",
)


@pytest.mark.parametrize("text", PHASES)
def test_the_tokens_of_one_phase_against_its_own_steps(text):
    assert verdict(text.format("25k")) == "consistent"
    assert verdict(text.format("50k")) == "inconsistent"
    assert ("tokens", 100e9) in roles(text.format("25k"))


@pytest.mark.parametrize(
    "said",
    [
        ", of which 100B in the second phase. Training took 250k steps of 4M tokens.",
        ", of which 100B in the last stage, and takes 250k steps of 4M tokens.",
        ", of which the last 100B are annealed. A batch has 4M tokens, and there are 250k steps.",
    ],
)
def test_steps_of_the_whole_after_a_part(said):
    assert verdict(f"The model was trained for 1T tokens{said}") in ("consistent", "underdetermined")


def test_warm_up_epochs_are_no_epochs_of_a_phase():
    text = "Training has 100 epochs, of which 10 are warm-up epochs; with batch size 4096 over 1.28M images, {} steps."
    assert verdict(text.format("31,250")) == "consistent"
    assert verdict(text.format("62,500")) == "inconsistent"


@pytest.mark.parametrize(
    "parts",
    [
        "1.46M GPU hours for 8B, 7.0M for 70B and {} for 405B",
        "1.46M GPU hours for the 8B, 7.0M for the 70B and {} for the 405B",
    ],
)
def test_device_hours_of_several_models(parts):
    text = f"Training took 39.3M GPU hours in all: {parts}."
    assert [role for role, _ in roles(text.format("30.84M"))] == ["device_hours"] * 4
    assert verdict(text.format("30.84M")) == "consistent"
    assert verdict(text.format("20.84M")) != "consistent"


def test_a_bare_total_in_brackets():
    text = "Training cost 1.7M GPU-hours for 70B and 0.18M GPU-hours for 7B ({} in all)."
    assert verdict(text.format("1.9M")) == "consistent"
    assert verdict(text.format("2.9M")) != "consistent"


def test_device_hours_of_two_phases():
    text = "The model was trained on 6144 TPU v4 chips for 1200 hours and on 3072 chips for 336 hours, {} chip hours."
    assert verdict(text.format("8,404,992")) == "consistent"
    assert verdict(text.format("1,032,192")) == "consistent"  # those of the second phase
    assert verdict(text.format("9,404,992")) != "consistent"


def test_steps_of_two_phases_of_epochs():
    text = "Stage 1 has 600 epochs of 500 steps and stage 2 has 100 epochs of 500 steps: {} steps."
    assert verdict(text.format("350k")) == "consistent"
    assert verdict(text.format("450k")) != "consistent"
    both = "We pretrain for 800 epochs, then fine-tune for 100 epochs on 1.28M images with batch size 1024, {} steps."
    assert verdict(both.format("125k")) == "consistent"
    assert verdict(both.format("1.125M")) == "consistent"


@pytest.mark.parametrize("data", ["the 627B tokens", "627B tokens", "our 627B tokens"])
def test_what_is_drawn_of_the_data(data):
    text = f"We train for less than 1 epoch: 300B of {data}, with {{}} steps of 2M tokens."
    assert roles(text.format("150k"))[1:3] == [("tokens", 300e9), ("corpus", 627e9)]
    assert verdict(text.format("150k")) == "consistent"
    assert verdict(text.format("314k")) == "inconsistent"


def test_tokens_of_each_checkpoint_are_none_of_the_run():
    text = "We trained for 143k steps with batches of 2M tokens; checkpoints of every 1000 steps have 2.1B tokens each."
    assert verdict(text) == "underdetermined"


def test_a_time_in_two_units_is_one_time():
    text = "Training took about 690 hours ({} days) on 8 GPUs, 5,520 GPU hours."
    assert verdict(text.format(29)) in ("consistent", "consistent-with-rounding")
    days = "Training took 9d 18h on 8 GPUs, {} GPU hours."
    assert ("hours", 234) in roles(days.format("1,872"))
    assert verdict(days.format("1,872")) == "consistent"
    assert verdict(days.format("144")) == "inconsistent"
    assert ("hours", 234) in roles("Training took 9 days and 18 hours on 8 GPUs.")
