"""FLOPs and FLOP/s: prefixes, what is a rate, and devices × peak × utilization × time."""

import pytest

from dist_epochs.audit.sentence.audited import audit_text_of


def facts(text):
    return {fact.role: float(fact.numeral.value) for fact in audit_text_of(text).reading.facts}


def verdict(text):
    audit = audit_text_of(text).audit
    return str(audit.verdict), audit.only_if


@pytest.mark.parametrize(
    ("said", "role", "value"),
    [
        ("needs 42 ZFLOPs", "flops", 4.2e22),
        ("needs 42 zettaFLOPs in all", "flops", 4.2e22),
        ("needs 42,000 exaFLOPs", "flops", 4.2e22),
        ("takes 4.2e22 FLOs", "flops", 4.2e22),
        ("takes 486 petaflop/s-days", "flops", 486 * 86400e15),
        ("takes 486 PF-days", "flops", 486 * 86400e15),
        ("runs at a peak of 312 TFLOPS", "peak_flops_per_second", 312e12),
        ("runs on GPUs of 989 TFLOP/s peak", "peak_flops_per_second", 989e12),
        ("reaches 147 TFLOP/s per GPU", "achieved_flops_per_second", 147e12),
        ("achieves 140 teraFLOP/s", "achieved_flops_per_second", 140e12),
        ("sustains 400 TFLOPs/s/GPU", "achieved_flops_per_second", 400e12),
        ("sustains 0.4 PFLOP/s per GPU", "achieved_flops_per_second", 400e12),
    ],
)
def test_flops_and_rates(said, role, value):
    assert facts(f"Training the 7B model on 1T tokens {said}.")[role] == pytest.approx(value)


@pytest.mark.parametrize(
    "said",
    [
        "on a cluster of 1.2 exaFLOP/s",
        "at 4.1 GFLOPs per image",
        "at 1,979 TFLOP/s with sparsity",
        "at 42 GFLOPs per token",
        "on GPUs with 312 TFLOP/s",
    ],
)
def test_other_flops_are_none_of_the_run(said):
    found = facts(f"We train the 7B model on 1T tokens {said}.")
    assert not {"flops", "peak_flops_per_second", "achieved_flops_per_second"} & found.keys()
    assert verdict(f"We train the 7B model on 1T tokens {said}.")[0] == "underdetermined"


@pytest.mark.parametrize("said", ["at a peak of 312 TFLOPS each", "at 312 TFLOPs", "which peak at 312 teraFLOP/s"])
def test_flops_of_a_second_are_no_budget(said):
    assert verdict(f"A 175B model was trained on 300B tokens with 1024 A100 GPUs {said}.")[0] == "underdetermined"


DEVICES = (
    "We trained on 512 H100 GPUs at 989 TFLOP/s peak and {}% MFU for 30 days, {} FLOPs.",
    "Training took 30 days on 512 GPUs with a peak of 989 TFLOPS each; at {}% utilization this is {} FLOPs.",
    "Training took 368,640 GPU hours at {}% MFU of the peak of 989 TFLOP/s, {} FLOPs.",
)


@pytest.mark.parametrize("text", DEVICES)
def test_devices_times_peak_times_utilization_times_hours(text):
    assert verdict(text.format(40, "5.25e23"))[0] == "consistent"
    assert verdict(text.format(50, "6.56e23"))[0] == "consistent"
    assert verdict(text.format(40, "525 zetta"))[0] == "consistent"
    assert verdict(text.format(40, "7.25e23"))[0] == "inconsistent"  # more than the devices can compute
    assert verdict(text.format(40, "5.25e22"))[0] == "inconsistent"
    assert verdict(text.format(40, "4.5e23"))[0] == "underdetermined"  # with pauses


def test_what_devices_reach_of_their_peak():
    text = "Our 70B model reaches 400 TFLOPs/GPU on H100s, whose peak is 989 TFLOP/s: {}% MFU."
    assert verdict(text.format(40))[0] == "consistent"
    assert verdict(text.format(60))[0] == "inconsistent"


def test_hours_of_a_model_and_its_tokens():
    text = "A 175B model on 300B tokens takes {} days on 1024 A100 GPUs that reach 140 TFLOP/s per GPU, in training."
    assert verdict(text.format(25))[0] == "consistent"
    assert verdict(text.format(34)) == (
        "consistent-only-if",
        "a token costs 8 FLOPs a parameter, as with recomputation",
    )
    assert verdict(text.format(29))[0] == "underdetermined"  # with attention, or pauses
    assert verdict(text.format(90))[0] == "inconsistent"
    assert verdict(text.format(5))[0] == "inconsistent"


def test_a_product_with_six():
    assert facts("Total FLOPs: 6ND = 6 × 7B × 2T = 8.4e22.") == {"parameters": 7e9, "tokens": 2e12, "flops": 8.4e22}
    assert verdict("Training takes 6 × 7B × 2T = 8.4e22 FLOPs.")[0] == "consistent"
    assert verdict("Training takes 6 × 7B × 2T = 8.4e21 FLOPs.")[0] == "inconsistent"


def test_active_parameters_without_their_noun():
    text = "The MoE has 46.7B parameters, {}, and was trained on 2T tokens with 1.5e23 FLOPs."
    for said in ("12.9B active per token", "12.9B of them activated"):
        assert verdict(text.format(said)) == ("consistent-only-if", "FLOPs count the active parameters alone")


def test_a_share_of_utilization_after_its_noun():
    assert facts("Training: 56% model flops utilization.") == {"mfu": 0.56}
