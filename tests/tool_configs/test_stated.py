"""Several files as one, and the batch solved for what is missing."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.value import KeyOrigin, Stated
from dist_epochs.tool_configs.complete import complete, data_parallel_size
from dist_epochs.tool_configs.stated import LaunchSettings, merge

SMALL = st.integers(1, 64)
SHARING = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
TRIPLE = ("global_batch", "per_device", "gradient_accumulation")


def settings(**values):
    return LaunchSettings(**{name: Stated(value, KeyOrigin("x.json", 1, key=name)) for name, value in values.items()})


def launch(size, each, accumulation, sharing):
    tensor, pipeline, context = sharing
    return {
        "devices": size * tensor * pipeline * context, "tensor_parallel": tensor, "pipeline_parallel": pipeline,
        "context_parallel": context, "per_device": each, "gradient_accumulation": accumulation,
        "global_batch": size * each * accumulation,
    }  # fmt: skip


def values(found):
    return {name: stated.value for name, stated in found.stated().items()}


@given(size=SMALL, each=SMALL, accumulation=SMALL, sharing=SHARING)
def test_any_one_left_open_comes_back(size, each, accumulation, sharing):
    whole = launch(size, each, accumulation, sharing)
    assert values(complete(settings(**whole))) == whole
    for name in (*TRIPLE, "devices"):
        rest = {other: value for other, value in whole.items() if other != name}
        assert values(complete(settings(**rest))) == whole


@given(size=SMALL, each=SMALL, sharing=SHARING)
def test_the_batch_or_the_micro_batch_alone_goes_with_one_micro_step(size, each, sharing):
    whole = launch(size, each, 1, sharing)
    for given_one in ("global_batch", "per_device"):
        rest = {name: value for name, value in whole.items() if name not in TRIPLE or name == given_one}
        found = complete(settings(**rest))
        assert values(found) == whole
        assert any("1, as the tools take it" in note for note in found.notes)


@given(size=SMALL, each=SMALL, accumulation=SMALL, sharing=SHARING, known=st.sets(st.sampled_from(TRIPLE)))
def test_what_does_not_follow_stays_open(size, each, accumulation, sharing, known):
    assume(known <= {"gradient_accumulation"})
    whole = launch(size, each, accumulation, sharing)
    rest = {name: value for name, value in whole.items() if name not in TRIPLE or name in known}
    assert values(complete(settings(**rest))) == rest
    without_devices = {name: value for name, value in whole.items() if name not in ("devices", "global_batch")}
    assert values(complete(settings(**without_devices))) == without_devices


def deepspeed_rule(world, train=None, micro=None, steps=None):
    """DeepSpeed's own: whole divisions that round down, then a comparison. None where it stops."""
    if train is not None and micro is not None and steps is None:
        steps = train // micro // world
    elif train is not None and steps is not None and micro is None:
        micro = train // world // steps
    elif micro is not None and train is None:
        steps = 1 if steps is None else steps
        train = micro * steps * world
    elif train is not None and micro is None:
        steps, micro = 1, train // world
    elif train is None:
        return None
    return (train, micro, steps) if min(train, micro, steps) > 0 and train == micro * steps * world else None


@given(
    world=SMALL, train=st.none() | st.integers(1, 3000), micro=st.none() | SMALL, steps=st.none() | SMALL,
    agreeing=st.booleans(),
)  # fmt: skip
def test_it_is_deepspeeds_rule(world, train, micro, steps, agreeing):
    if agreeing and train and micro and steps:
        train = micro * steps * world
    given_values = {"devices": world, "global_batch": train, "per_device": micro, "gradient_accumulation": steps}
    stated = settings(**{name: value for name, value in given_values.items() if value is not None})
    expected = deepspeed_rule(world, train, micro, steps)
    try:
        found = values(complete(stated))
    except InputError:
        assert expected is None
    else:
        assert expected == (tuple(found.get(name) for name in TRIPLE) if train or micro else None)


@given(size=SMALL, each=SMALL, accumulation=SMALL, sharing=SHARING, wrong=st.integers(1, 10**6))
def test_every_contradiction_is_found_and_each_fix_mends_it(size, each, accumulation, sharing, wrong):
    whole = launch(size, each, accumulation, sharing)
    assume(wrong != whole["global_batch"])
    stated = settings(**whole | {"global_batch": wrong})
    with pytest.raises(InputError) as caught:
        complete(stated)
    message = str(caught.value)
    assert f"{wrong} (x.json:1 global_batch) ≠ {each} samples each" in message
    assert message.count("x.json:1") >= 4
    assert len(caught.value.fixes) >= 1
    for fix in caught.value.fixes:
        changes = {name: int(value) for name, value in (part.split() for part in fix.split(" with "))}
        mended = replace(stated, **{name: Stated(value, Origin("fixed")) for name, value in changes.items()})
        assert values(complete(mended)) == values(mended)


@given(first=SMALL, second=SMALL, name=st.sampled_from([*TRIPLE, "devices", "zero_stage", "steps", "seed"]))
def test_two_files_must_agree(first, second, name):
    one = LaunchSettings(**{name: Stated(first, KeyOrigin("a.json", 1, key="key"))})
    other = LaunchSettings(**{name: Stated(second, KeyOrigin("b.yaml", 2, key="key"))})
    if first == second:
        assert values(merge([one, other])) == {name: first}
        return
    with pytest.raises(InputError) as caught:
        merge([one, other])
    assert str(caught.value).startswith(f"{name} is {first} in a.json:1 key, and {second} in b.yaml:2 key: ")


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        # bigcode-project/starcoder#41, started without a launcher
        (
            {"global_batch": 256, "per_device": 4, "gradient_accumulation": 8, "devices": 1},
            "the batch does not add up: 256 (x.json:1 global_batch) ≠ 4 samples each (x.json:1 per_device) × 8 "
            "micro-steps (x.json:1 gradient_accumulation) × 1 device (x.json:1 devices) = 32. One run cannot have all "
            "of them (DeepSpeed stops at its start). Try global_batch 32, or gradient_accumulation 64, or per_device "
            "32, or devices 8.",
        ),
        # OpenRLHF/OpenRLHF#346: 2 × 18 × 7 = 252
        (
            {"global_batch": 256, "per_device": 2, "gradient_accumulation": 18, "devices": 7},
            "the batch does not add up: 256 (x.json:1 global_batch) ≠ 2 samples each (x.json:1 per_device) × 18 "
            "micro-steps (x.json:1 gradient_accumulation) × 7 devices (x.json:1 devices) = 252. One run cannot have "
            "all of them (DeepSpeed stops at its start). Try global_batch 252, or global_batch 266 with "
            "gradient_accumulation 19.",
        ),
        (
            {"global_batch": 256, "per_device": 2, "devices": 7},
            "x.json:1 global_batch, x.json:1 per_device, x.json:1 devices: global batch 256 cannot be built on 7 "
            "devices with 2 samples each: 7 × 2 × k = 14, 28, 42, … Try 252 (accumulate 18), or 266 (accumulate 19).",
        ),
        (
            {"global_batch": 256, "gradient_accumulation": 3, "devices": 8},
            "x.json:1 global_batch, x.json:1 gradient_accumulation, x.json:1 devices: global batch 256 cannot be split "
            "over 8 devices in 3 micro-steps: 8 × 3 × k = 24, 48, 72, … Try 240 (10 each), or 264 (11 each).",
        ),
        (
            {"global_batch": 100, "devices": 8},
            "x.json:1 global_batch, the default of DeepSpeed, Accelerate and the Trainer, x.json:1 devices: global "
            "batch 100 cannot be built on 8 devices: 8 × k = 8, 16, 24, … Try 96 (12 each), or 104 (13 each).",
        ),
        (
            {"global_batch": 256, "per_device": 2, "gradient_accumulation": 18},
            "no number of devices makes a batch of 256 (x.json:1 global_batch) of 2 samples each (x.json:1 "
            "per_device) in 18 micro-steps (x.json:1 gradient_accumulation): it is no multiple of 36. Try 252 (7 "
            "devices), or 288 (8 devices).",
        ),
        (
            {"devices": 6, "tensor_parallel": 4},
            "6 devices (x.json:1 devices) do not divide by 4 (x.json:1 tensor_parallel) = 4: so many see the same "
            "samples: the data-parallel size would be 6/4. Try 4 devices, or 8 devices, or other sizes.",
        ),
    ],
)
def test_classic_threads(stated, message):
    with pytest.raises(InputError) as caught:
        complete(settings(**stated))
    assert str(caught.value) == message


def test_a_batch_that_counts_every_device_is_recognised():
    with pytest.raises(InputError) as caught:
        complete(settings(**launch(2, 4, 3, (4, 1, 1)) | {"global_batch": 96}))
    assert "= 24. It counts the 4 devices that see the same samples as if each saw its own." in str(caught.value)


def test_data_parallel_size_needs_devices():
    assert data_parallel_size(settings(tensor_parallel=2)) is None


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_mixed_precision_wins_over_none_and_says_so(order):
    files = [settings(precision="fp32"), settings(precision="bf16")]
    merged = merge([files[at] for at in order])
    assert merged.precision.value == "bf16"
    assert len(merged.notes) == 1


def test_two_mixed_precisions_contradict():
    with pytest.raises(InputError, match=r"precision is fp16 .* and bf16"):
        merge([settings(precision="fp32"), settings(precision="fp16"), settings(precision="bf16")])


def test_steps_win_over_epochs_and_say_so():
    merged = merge([settings(epochs=Fraction(3)), settings(steps=100)])
    assert (merged.steps.value, merged.epochs, merged.ignored) == (100, None, (KeyOrigin("x.json", 1, key="epochs"),))
    assert merged.notes == ("x.json:1 steps: 100 steps override the epochs of x.json:1 epochs",)


@given(st.permutations(range(3)))
def test_the_order_of_the_files_does_not_matter(order):
    files = [settings(devices=8), settings(per_device=4, precision="fp32"), settings(per_device=4, precision="bf16")]
    assert values(merge([files[at] for at in order])) == {"devices": 8, "per_device": 4, "precision": "bf16"}
