"""What each framework makes of a setting, against recorded runs and against its loop written out."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dist_epochs.errors import InputError
from dist_epochs.frameworks.registry import FRAMEWORKS, find
from dist_epochs.frameworks.setting import Setting


def setting(samples, per_device, accumulation=1, *, devices=1, epochs=None, steps=None, **more):
    return Setting(
        samples=samples, per_device=per_device, data_parallel_size=devices, devices=devices,
        gradient_accumulation=accumulation, epochs=None if epochs is None else Fraction(epochs), steps=steps, **more,
    )  # fmt: skip


def run(name, *sizes, **more):
    return find(name).version.run(setting(*sizes, **more))


# the real Trainers on a CPU, one process: steps, state.epoch, micro-steps, samples trained
RECORDED = {
    "transformers==4.44": [
        ((9, 2, 2), {"epochs": 3}, (6, 2.4, 12, 22)),  # transformers issue 33455
        ((260, 16, 2), {"epochs": 1}, (8, 16 / 17, 16, 256)),  # issue 35298: 0.9411
        ((4107, 8, 8), {"epochs": 2}, (128, 1.9922178988326849, 1024, 8187)),  # StackOverflow: "why 128?"
        ((148, 2, 6), {"steps": 200}, (200, 16.216216216216218, 1200, 2400)),
        ((13, 2, 4), {"epochs": 3}, (3, 1.7142857142857144, 12, 23)),
        ((9, 2, 8), {"steps": 7}, (7, 4.8, 24, 44)),  # windows of 5, 3, 2, 5, 1, 4, 4
        ((5, 2, 4), {"steps": 7}, (7, 5.0, 15, 25)),
        ((16, 1, 3), {"epochs": "2.5"}, (13, 2.4375, 39, 39)),
    ],
    "transformers==4.48": [
        ((9, 2, 2), {"epochs": 3}, (6, 2.0, 10, 18)),
        ((260, 16, 2), {"epochs": 1}, (8, 16 / 17, 16, 256)),
        ((4107, 8, 8), {"epochs": 2}, (128, 1.9805447470817121, 1018, 8139)),
        ((148, 2, 6), {"steps": 200}, (200, 15.405405405405405, 1140, 2280)),
        ((13, 2, 4), {"epochs": 3}, (3, 2.571428571428571, 14, 28)),  # windows of 4, 5, 5: it asks for 13 % 4 = 1
        ((13, 2, 4), {"steps": 10}, (10, 9.571428571428571, 49, 98)),
        ((16, 1, 3), {"epochs": "2.5"}, (13, 2.1875, 35, 35)),
    ],
    "transformers==5": [
        ((9, 2, 2), {"epochs": 3}, (9, 3.0, 15, 27)),
        ((4107, 8, 8), {"epochs": 2}, (130, 2.0, 1028, 8214)),
        ((148, 2, 6), {"steps": 200}, (200, 15.405405405405405, 1140, 2280)),
        ((5, 2, 4), {"steps": 7}, (7, 7.0, 21, 35)),
    ],
    "transformers-streaming": [
        ((100, 10), {"steps": 30}, (30, 7 / 3, 30, 300)),  # issue 41913: 3 passes reported as 2.3333
        ((100, 10), {"steps": 30, "devices": 2}, (30, 31 / 6, 30, 600)),
        ((100, 10), {"steps": 30, "devices": 4}, (30, 9.1, 30, 1000)),
        ((100, 10, 4), {"steps": 30}, (30, 14.066666666666666, 148, 1480)),
        ((50, 4, 4), {"steps": 8, "devices": 1}, (8, 2.25, 34, 132)),
        ((50, 4, 4), {"steps": 8, "devices": 2}, (8, 7.125, 53, 382)),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "sizes", "more", "recorded"),
    [(name, *case) for name, cases in RECORDED.items() for case in cases],
)
def test_recorded_runs(name, sizes, more, recorded):
    found = run(name, *sizes, **more)
    steps, epoch, micro_steps, samples = recorded
    assert (found.reported.steps, found.truth.steps) == (steps, steps)
    assert float(found.reported.epoch) == pytest.approx(epoch, abs=1e-9)
    assert (found.truth.micro_steps, found.truth.samples) == (micro_steps, samples)


@pytest.mark.parametrize(("name", "epoch"), [("transformers==4.48", 6.8), ("transformers==4.44", 8.0)])
def test_two_ranks_that_stop_early(name, epoch):
    # transformers issue 36297: 10 epochs of 91 samples, 10 a device, accumulation 2
    found = run(name, 91, 10, 2, devices=2, epochs=10)
    assert (found.reported.steps, float(found.reported.epoch), found.reported.num_epochs) == (20, epoch, 10)
    assert run("hf", 91, 10, 2, devices=2, epochs=10).truth.steps == 30
    assert run("hf", 91, 10, 2, devices=2, epochs=10).truth.epochs == Fraction(1000, 91)  # 10.989


# what the two old loops do with micro-batches, written out; the closed forms must not need it
def trainer_4(samples, per_device, window, *, epochs, max_steps, floors):
    per_pass, planned = -(-samples // per_device), max(-(-samples // per_device) // window, 1)
    steps = total = drawn = trained = 0
    for number in range(epochs):
        asked = per_pass if not floors else min(per_pass, per_pass // window * window + (samples % window or window))
        for at in range(1, asked + 1):
            total, drawn = total + 1, drawn + (per_device if at < per_pass else samples - (per_pass - 1) * per_device)
            ends_pass = at == per_pass and (floors or per_pass <= window)
            if (at if floors else total) % window == 0 or ends_pass:
                steps, trained = steps + 1, drawn
                if steps == max_steps:
                    return steps, number + Fraction(at, per_pass), total, trained, planned
    return steps, None, total, trained, planned


@settings(max_examples=300, deadline=None)
@given(
    samples=st.integers(1, 50), per_device=st.integers(1, 6), window=st.integers(1, 9), epochs=st.integers(1, 12),
    name=st.sampled_from(["4.44", "4.48"]),
)  # fmt: skip
def test_the_old_trainers_written_out(samples, per_device, window, epochs, name):
    planned = max(-(-samples // per_device) // window, 1)
    expected = trainer_4(samples, per_device, window, epochs=epochs, max_steps=planned * epochs, floors=name == "4.48")
    try:
        found = run(f"transformers=={name}", samples, per_device, window, epochs=epochs)
    except InputError as error:
        assert error.asked.endswith("makes no step")
        assert expected[0] == 0
        return
    truth = found.truth
    assert (truth.steps, found.reported.epoch, truth.micro_steps, truth.samples) == expected[:4]


@pytest.mark.parametrize(("devices", "ends"), [(1, 100), (4, 25), (5, 20)])
def test_a_prepared_scheduler_is_over_early(devices, ends):
    # accelerate issue 2926: a schedule for 100 steps reaches zero at step 25 on 4 processes, 20 on 5
    assert run("accelerate", 1000, 1, devices=devices, steps=100).reported.schedule_ends == ends


@pytest.mark.parametrize(
    ("sizes", "more", "drawn", "epochs"),
    [
        ((24, 1), {"devices": 5}, 25, Fraction(25, 24)),  # accelerate issue 2316: item 0 twice
        ((101, 8), {"devices": 4}, 128, Fraction(128, 101)),  # 1.2673
    ],
)
def test_an_epoch_that_is_more_than_one(sizes, more, drawn, epochs):
    for name in ("accelerate", "hf"):
        found = run(name, *sizes, epochs=1, **more)
        assert (found.reported.epoch, found.truth.drawn, found.truth.epochs) == (1, drawn, epochs)
        assert found.truth.duplicates == drawn - sizes[0]


def test_three_epochs_that_are_less():
    found = run("hf", 100, 8, epochs=3, uneven="drop")
    assert (found.reported.epoch, found.truth.epochs) == (3, Fraction(288, 100))


def test_the_same_epochs_on_twice_the_ranks_are_half_the_steps():
    # transformers issue 22580: max_steps falls from 40 to 20 where a run goes on on 2 ranks; 10 steps on one of them
    # and 10 on two are 40 + 80 samples = 1.5 epochs of 80, reported as 2.0
    steps = [run("hf", 80, 4, devices=devices, epochs=2).reported.steps for devices in (1, 2)]
    assert steps == [40, 20]
    drawn = run("hf", 80, 4, devices=1, steps=10).truth.samples + run("hf", 80, 4, devices=2, steps=10).truth.samples
    assert Fraction(drawn, 80) == Fraction(3, 2)


def test_lightning_flushes():
    assert (
        run("lightning", 10, 1, 4, epochs=3).truth.steps == 9
    )  # measured on 2.6.6, as the 500 of Lightning issue 5636
    assert run("lightning", 1000, 1, 2, epochs=1).truth.steps == 500


def test_the_sampler_pads_less_than_accelerate():
    assert run("ddp", 1003, 8, devices=4, epochs=1).truth.drawn == 1004
    assert run("accelerate", 1003, 8, devices=4, epochs=1).truth.drawn == 1024


def test_a_plain_loop_leaks_unless_it_is_said_to_do_otherwise():
    steps = {how: run("ddp", 100, 10, 4, epochs=10, last_window=how).truth.steps for how in ("flush", "carry", "drop")}
    assert steps == {"flush": 30, "carry": 25, "drop": 20}
    leaks = run("ddp", 100, 10, 4, epochs=10)
    assert (leaks.truth.steps, leaks.truth.samples, leaks.counts.unstepped_micro_steps) == (20, 980, 2)


def test_keras_counts_iterations_on():
    found = run("keras", 103, 5, 4, devices=2, epochs=3)  # 11 batches a pass, the last of 3 samples
    assert (found.reported.steps, found.truth.micro_steps, found.counts.unstepped_micro_steps) == (8, 33, 1)


def test_tensorflow_1_rounds_down():
    # google-research/bert, run_classifier.py: int(len(examples) / train_batch_size * num_train_epochs)
    found = run("tf1", 3668, 32, epochs=3)  # MRPC
    assert (found.reported.steps, found.reported.epoch, found.truth.epochs) == (343, None, Fraction(343 * 32, 3668))


@pytest.mark.parametrize("tokens", [10_001, 10_000, 9_999, 123_457])
@pytest.mark.parametrize("steps", [1, 10, 125, 126, 1000])
def test_megatron_s_index(tokens, steps):
    found = run("megatron", tokens // 10, 8, steps=steps, tokens=tokens, sequence_length=10)
    rounds = 1
    while (rounds * tokens - 1) // 10 < steps * 8:  # _num_epochs of gpt_dataset.py
        rounds += 1
    assert found.reported.epoch == rounds


def test_gpt_neox_train_epochs():
    # update_iterations: len(loader) × train_epochs // accumulation, full micro-batches only
    found = run("neox", 91, 10, 2, devices=2, epochs=10)
    assert (found.reported.steps, found.reported.epoch, found.truth.drawn) == (20, 10, 800)


def test_floats_make_another_number():
    assert run("hf", 50, 1, epochs=Fraction(11, 10)).reported.steps == 56  # 1.1 × 50 = 55.00000000000001
    assert run("hf", 50, 1, epochs=2).reported.steps == 100


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("HF", "transformers==5"), ("hf-trainer==4.44.2", "transformers==4.44"),
        ("transformers==5.x", "transformers==5"),
        ("tf1", "tensorflow1"), ("ddp", "distributed-sampler"), ("hf_streaming", "transformers-streaming"),
        ("accelerate==1.2.1", "accelerate"), ("neox", "gpt-neox"),
    ],
)  # fmt: skip
def test_names(name, title):
    assert find(name).title == title


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("transformers==4.46", "not known, and versions differ, so nothing is guessed"),
        ("transformers==4.4", "transformers==4.44 (measured on 4.44.2)"),
        ("transformers-streaming==4.48", "transformers-streaming==5 (measured on 5.23.0)"),
        ("megatron==3", "known without versions"),
        ("transfomers", "Try transformers, or"),
        ("", "one of accelerate,"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(InputError) as caught:
        find(name)
    assert message in str(caught.value)


def test_no_spelling_means_two_frameworks():
    spellings = [spelling for each in FRAMEWORKS for spelling in (each.name, *each.aliases)]
    assert len(spellings) == len(set(spellings))


@pytest.mark.parametrize(
    ("name", "sizes", "more", "message"),
    [
        ("accelerate", (10, 2), {"epochs": "1/3"}, "whole passes"),
        ("keras", (3, 2, 4), {"epochs": "2.5"}, "--epochs 2.5 like keras"),
        ("keras", (3, 2, 4), {"epochs": 1}, "makes no step: 2 micro-steps in all are less"),
        ("tf1", (3, 2, 4), {"epochs": 1}, "and round to 0 steps"),
        ("hf-streaming", (25, 10, 4), {"steps": 3}, "with full windows of a pass only. It would never end"),
        ("hf-streaming", (7, 3, 4), {"steps": 3}, "Try a gradient accumulation of 3 or less."),
        ("hf-streaming", (1, 4), {"steps": 3, "devices": 4}, "empty micro-batch, which may give NaN or fail"),
        ("hf==4.48", (5, 2, 4), {"epochs": 3}, "it asks for 5 % 4 = 1. The run ends at step 0"),
        ("hf", (7, 4), {"epochs": 3, "devices": 2, "uneven": "drop"}, "every pass is dropped whole"),
    ],
)
def test_what_they_cannot_run(name, sizes, more, message):
    with pytest.raises(InputError) as caught:
        run(name, *sizes, **more)
    assert message in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([(each, version) for each in FRAMEWORKS for version in each.versions]),
    st.integers(1, 10**15), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 10**15),
)  # fmt: skip
def test_large_runs_are_consistent(chosen, samples, per_device, devices, accumulation, steps):
    _, version = chosen
    told = setting(samples, per_device, accumulation, devices=devices, steps=steps)
    try:
        found = version.run(told)
    except InputError:
        assume(False)
    truth = found.truth
    assert truth.steps == found.reported.steps == steps
    assert truth.epochs == Fraction(truth.samples, samples)
    assert truth.samples <= truth.drawn <= truth.micro_steps * per_device * devices
    assert truth.duplicates <= truth.drawn
    for rule in version.causes:
        assert rule(replace(found)) is None or isinstance(rule(found), str)
