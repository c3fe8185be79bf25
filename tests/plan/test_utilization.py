"""A measured speed as a share of what the devices can compute."""

from fractions import Fraction
from pathlib import Path

import pytest

from dist_epochs.errors import InputError
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.plan.planner import make_plan
from dist_epochs.recipe import make_recipe
from dist_epochs.recipe.flags import apply_flags
from dist_epochs.render.plan import plan_text
from dist_epochs.settings.document import Document

RUN = {"steps": 1000, "per_device": 1, "sequence_length": 2048, "devices": "8xH100", "parameters": "6.7B"}


def plan(**flags):
    document = Document("flags")
    apply_flags(document, {name: str(text) for name, text in (RUN | flags).items() if text is not None})
    return make_plan(make_recipe(document, Path("flags")))


def rules(made):
    return {warning.rule for warning in made.warnings}


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        ({"tokens_per_second": "76800"}, "39 %"),
        ({"tokens_per_second": "9600"}, "4.88 %"),
        ({"tokens_per_second": "76800", "parameters": None, "model": "llama-7b"}, "42 %"),
        ({"tokens_per_second": "76800", "devices": "64xA100"}, "15 %"),
        ({"tokens_per_second": "76800", "devices": 8, "peak_tflops": 500}, "77 %"),
        ({"tokens_per_second": "7.5k", "devices": "8xV100", "precision": "fp16"}, "30 %"),
    ],
)
def test_it_is_a_line(flags, shown):
    made = plan(**flags)
    (line,) = (line for line in plan_text(made).splitlines() if line.startswith("  utilization"))
    assert line.split("=")[0].split()[1:] == shown.split()
    peak = made.cost.speed.peak * made.cost.speed.devices
    assert made.cost.utilization == made.cost.flops / made.cost.positions * made.cost.speed.positions_per_second / peak
    assert plan_json(made)["cost"]["utilization"] == pytest.approx(float(made.cost.utilization))


def test_nanogpt_on_one_device():
    """874,944,921,600 FLOPs a step of 100 micro-steps in 0.755 s on an A100: 37.14 % (nanoGPT's notebook)."""
    made = plan(model="gpt2", parameters=None, sequence_length=1024, devices="1xA100",
                tokens_per_second=str(Fraction(1024 * 100 * 1000, 755)))  # fmt: skip
    assert float(made.cost.utilization) == pytest.approx(0.3714, abs=2e-4)


@pytest.mark.parametrize(
    ("flags", "percent"),
    [
        ({"tokens_per_second": "768000"}, "390 %"),
        ({"tokens_per_second": "200k"}, "102 %"),
        ({"tokens_per_second": "200k", "parameters": None, "model": "llama-7b"}, "108 %"),
        ({"tokens_per_second": "1M", "parameters": None, "model": "gpt2", "sequence_length": 1024, "devices": "1xA100"},
         "274 %"),
        ({"tokens_per_second": "76800", "devices": 8, "peak_tflops": 300}, "129 %"),
    ],
)  # fmt: skip
def test_more_than_the_peak_is_refused(flags, percent):
    with pytest.raises(InputError) as caught:
        plan(**flags)
    assert f"are {percent} of their dense peak" in caught.value.asked
    assert f"= {percent}, and no device computes more" in caught.value.rule
    assert "hours and price would be" in caught.value.consequence
    assert "over all devices" in caught.value.fixes[0]


def test_attention_in_full_may_be_more_than_what_is_computed():
    """At 128 Ki positions most FLOPs are those of attention, of which causal models compute half, and packs less."""
    made = plan(
        tokens_per_second="36k", parameters=None, model="llama-7b", sequence_length="128Ki", steps=10, zero_stage=3
    )
    assert made.cost.utilization > 1
    assert "optimistic-mfu" in rules(made)


@pytest.mark.parametrize(
    ("flags", "fires"),
    [
        ({"tokens_per_second": "9600"}, True),
        ({"tokens_per_second": "9600", "devices": "16xH100", "per_device": 1}, True),
        ({"tokens_per_second": "2.9k", "devices": "8xA100-80GB"}, True),
        ({"tokens_per_second": "11k"}, False),  # 5.6 %
        ({"tokens_per_second": "1200", "devices": "1xH100"}, False),  # it is one device's
        ({"tokens_per_second": "70k", "devices": "64xH100"}, False),  # × 64 would be 285 %
        ({"tokens_per_second": "9600", "devices": 8}, False),  # the peak is not known
    ],
)
def test_one_device_s_rate_for_all(flags, fires):
    made = plan(**flags)
    assert ("rate-of-one-device" in rules(made)) is fires
    if fires:
        (message,) = (warning.message for warning in made.warnings if warning.rule == "rate-of-one-device")
        times = made.cost.speed.devices
        assert f"× {times} = {int(made.cost.speed.positions_per_second) * times:,}" in message
