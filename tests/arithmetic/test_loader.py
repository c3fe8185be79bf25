"""The closed forms of a loader against a loop simulated device by device and micro-batch by micro-batch."""

from fractions import Fraction
from itertools import cycle, islice, product
from math import ceil, floor

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dist_epochs.arithmetic.loader import Loader, LoaderCounts
from dist_epochs.errors import InputError

UNEVEN = ("pad", "drop", "keep")
LAST_WINDOW = ("flush", "carry", "drop", "leak")


def one_pass(loader):
    """The rounds of a pass, each with the samples of every device; a device without any has an empty list."""
    samples, full = list(range(loader.samples)), loader.per_device * loader.data_parallel_size
    if loader.uneven == "pad" and loader.data_parallel_size > 1:
        while len(samples) % full:
            samples.append(samples[len(samples) % loader.samples])
    micro_batches = [samples[at : at + loader.per_device] for at in range(0, len(samples), loader.per_device)]
    if loader.uneven == "drop":
        micro_batches = [each for each in micro_batches if len(each) == loader.per_device]
        while len(micro_batches) % loader.data_parallel_size:
            micro_batches.pop()
    rounds = []
    for index, micro_batch in enumerate(micro_batches):
        device = index % loader.data_parallel_size
        if device == 0:
            rounds.append([[] for _ in range(loader.data_parallel_size)])
        rounds[-1][device] = micro_batch
    return rounds


def loop(loader):
    """The counts before anything, and after every micro-step, for ever."""
    rounds = one_pass(loader)
    in_pass = sum(len(micro_batch) for each in rounds for micro_batch in each)
    steps = micro_steps = trained = stepped = drawn = 0
    window = []
    for index, each in cycle(enumerate(rounds)):
        yield LoaderCounts(
            steps=steps, micro_steps=micro_steps, samples=trained, drawn=drawn, passes_drawn=Fraction(drawn, in_pass),
            unstepped_micro_steps=micro_steps - stepped,
        )  # fmt: skip
        window.append(each)
        micro_steps += max(bool(micro_batch) for micro_batch in each)
        drawn += sum(len(micro_batch) for micro_batch in each)
        pass_ends = index == len(rounds) - 1
        full = len(window) == loader.gradient_accumulation
        if loader.last_window == "leak":  # the counter starts again with each pass, the window does not
            full = (index + 1) % loader.gradient_accumulation == 0
        if full or (pass_ends and loader.last_window == "flush"):
            steps += 1
            stepped += len(window)
            trained += sum(len(micro_batch) for each in window for micro_batch in each)
            window = []
        if pass_ends and loader.last_window == "drop":
            window = []


def when(loader, happened):
    """The first counts for which something has happened."""
    return next(counts for counts in loop(loader) if happened(counts))


@st.composite
def loaders(draw, most=60):
    sizes = {
        "samples": draw(st.integers(1, most)), "per_device": draw(st.integers(1, 9)),
        "data_parallel_size": draw(st.integers(1, 6)),
        "gradient_accumulation": draw(st.sampled_from([1, 2, 3, 4, 7, 50])),
    }  # fmt: skip
    try:
        return Loader(**sizes, uneven=draw(st.sampled_from(UNEVEN)), last_window=draw(st.sampled_from(LAST_WINDOW)))
    except InputError:
        assume(False)


@settings(max_examples=400, deadline=None)
@given(loaders())
def test_a_pass(loader):
    rounds = one_pass(loader)
    drawn = [sample for each in rounds for micro_batch in each for sample in micro_batch]
    assert loader.drawn_per_pass == len(drawn)
    assert loader.duplicates_per_pass == len(drawn) - len(set(drawn))
    assert loader.dropped_per_pass == loader.samples - len(set(drawn))
    assert loader.micro_steps_per_pass == len(rounds) == sum(bool(each[0]) for each in rounds)
    many = loader.gradient_accumulation  # passes after which carried windows come out even
    last = next(islice(loop(loader), many * len(rounds), None))
    assert loader.steps_per_pass == Fraction(last.steps, many)


@settings(max_examples=400, deadline=None)
@given(loader=loaders(), steps=st.integers(1, 40))
def test_after_steps(loader, steps):
    assert loader.after_steps(steps) == when(loader, lambda counts: counts.steps == steps)


@settings(max_examples=400, deadline=None)
@given(loader=loaders(), passes=st.integers(1, 9))
def test_after_whole_passes(loader, passes):
    assert loader.after_passes(passes) == next(islice(loop(loader), passes * len(one_pass(loader)), None))
    assert loader.after_passes(passes).passes_drawn == passes


@settings(max_examples=400, deadline=None)
@given(loader=loaders(), passes=st.fractions(Fraction(1, 50), 5, max_denominator=50))
def test_after_a_fraction_of_passes(loader, passes):
    rounds = len(one_pass(loader))
    if loader.last_window == "flush":  # max_steps of the HF Trainer 5.23, trainer.py
        updates = rounds // loader.gradient_accumulation + int(rounds % loader.gradient_accumulation > 0)
        expected = when(loader, lambda counts: counts.steps == ceil(passes * updates))
    else:
        expected = next(islice(loop(loader), floor(passes * rounds), None))
    assert loader.after_passes(passes) == expected


@settings(max_examples=400, deadline=None)
@given(loader=loaders(), samples=st.integers(1, 200))
def test_steps_to_train(loader, samples):
    assert loader.steps_to_train(samples) == when(loader, lambda counts: counts.samples >= samples).steps


@settings(max_examples=200, deadline=None)
@given(loader=loaders(most=10**12), steps=st.integers(1, 10**12))
def test_large_numbers_agree_with_themselves(loader, steps):
    counts = loader.after_steps(steps)
    assert loader.steps_to_train(counts.samples) == steps
    assert loader.steps_to_train(counts.samples + 1) == steps + 1
    if loader.steps_per_pass.denominator == 1:
        assert loader.after_passes(steps).steps == steps * loader.steps_per_pass


@pytest.mark.parametrize(
    ("last_window", "samples", "epochs", "drawn", "passes", "unstepped"),
    [
        ("carry", 2400, 16.22, 2400, 16.22, 0),
        ("flush", 2280, 15.41, 2280, 15.41, 0),
        ("drop", 2400, 16.22, 2464, 16.65, 32),
        ("leak", 2464, 16.65, 2464, 16.65, 0),
    ],
)
def test_200_steps_of_148_samples(last_window, samples, epochs, drawn, passes, unstepped):
    counts = Loader(samples=148, per_device=2, gradient_accumulation=6, last_window=last_window).after_steps(200)
    assert (counts.samples, counts.drawn, counts.unstepped_micro_steps) == (samples, drawn, unstepped)
    assert round(float(counts.epochs(148)), 2) == epochs
    assert round(float(counts.passes_drawn), 2) == passes


@pytest.mark.parametrize(
    ("last_window", "steps", "samples", "unstepped"),
    # carry: 1,024 of 1,028 micro-steps, of which one of the first pass has 3 samples instead of 8; leak: 514 + 512
    [("flush", 130, 8214, 0), ("carry", 128, 1024 * 8 - 5, 4), ("drop", 128, 8192, 4), ("leak", 128, 8203, 2)],
)
def test_stack_overflow_4107_samples(last_window, steps, samples, unstepped):
    counts = Loader(samples=4107, per_device=8, gradient_accumulation=8, last_window=last_window).after_passes(2)
    assert (counts.steps, counts.samples, counts.unstepped_micro_steps) == (steps, samples, unstepped)
    assert (counts.micro_steps, counts.drawn, counts.passes_drawn) == (1028, 8214, 2)


@pytest.mark.parametrize(("devices", "steps", "drawn", "epochs"), [(2, 30, 1000, 10.989), (4, 20, 1200, 13.187)])
def test_transformers_36297(devices, steps, drawn, epochs):
    loader = Loader(samples=91, per_device=10, data_parallel_size=devices, gradient_accumulation=2)
    counts = loader.after_passes(10)
    assert (counts.steps, counts.samples, counts.drawn, counts.passes_drawn) == (steps, drawn, drawn, 10)
    assert round(float(counts.epochs(91)), 3) == epochs


@pytest.mark.parametrize(("steps", "micro_steps", "epochs"), [(1, 4, 0.4), (2, 8, 0.8), (3, 14, 1.4), (30, 148, 14.8)])
def test_windows_that_leak_into_the_next_pass(steps, micro_steps, epochs):
    # the HF Trainer 5.23 on a stream of 100, 10 at a time, accumulation 4: windows of 4, 4, 6, 4, 6, …
    counts = Loader(samples=100, per_device=10, gradient_accumulation=4, last_window="leak").after_steps(steps)
    assert (counts.micro_steps, float(counts.epochs(100)), counts.unstepped_micro_steps) == (micro_steps, epochs, 0)


def test_transformers_33455():
    counts = Loader(samples=9, per_device=2, gradient_accumulation=2).after_passes(3)
    assert (counts.steps, counts.micro_steps, counts.samples) == (9, 15, 27)


@pytest.mark.parametrize(("last_window", "steps", "samples"), [("flush", 9, 260), ("drop", 8, 256)])
def test_transformers_35298(last_window, steps, samples):
    counts = Loader(samples=260, per_device=16, gradient_accumulation=2, last_window=last_window).after_passes(1)
    assert (counts.steps, counts.samples) == (steps, samples)


@pytest.mark.parametrize(
    ("samples", "per_device", "devices", "drawn"),
    [
        (1000, 32, 6, 1152), (101, 8, 4, 128), (24, 1, 5, 25), (100, 16, 8, 128),  # accelerate #2316 and the like
        (3, 4, 2, 8), (3, 16, 8, 128), (1, 1, 1, 1), (1, 4, 3, 12), (5, 8, 1, 5),  # less than one round
    ],
)  # fmt: skip
def test_padding(samples, per_device, devices, drawn):
    loader = Loader(samples=samples, per_device=per_device, data_parallel_size=devices)
    assert (loader.drawn_per_pass, loader.duplicates_per_pass, loader.dropped_per_pass) == (drawn, drawn - samples, 0)


@pytest.mark.parametrize(("per_device", "devices"), [(4096, 1), (512, 8)])
def test_a_batch_that_drops_18_percent(per_device, devices):
    loader = Loader(samples=10_000, per_device=per_device, data_parallel_size=devices, uneven="drop")
    assert (loader.drawn_per_pass, loader.dropped_per_pass, loader.steps_per_pass) == (8192, 1808, 2)


def test_a_window_longer_than_many_passes():
    loader = Loader(samples=10, per_device=4, gradient_accumulation=1000, last_window="carry")
    counts = loader.after_steps(3)
    assert (counts.micro_steps, counts.samples, loader.steps_per_pass) == (3000, 10_000, Fraction(3, 1000))
    assert loader.after_passes(7).steps == 0
    assert loader.after_passes(7).unstepped_micro_steps == 21


@pytest.mark.parametrize(("uneven", "last_window"), list(product(UNEVEN, LAST_WINDOW)))
def test_a_million_passes_are_instant(uneven, last_window):
    loader = Loader(
        samples=10**9 + 7,
        per_device=3,
        data_parallel_size=5,
        gradient_accumulation=11,
        uneven=uneven,
        last_window=last_window,
    )
    assert loader.after_passes(10**6).drawn == 10**6 * loader.drawn_per_pass


@pytest.mark.parametrize("field", ["samples", "per_device", "data_parallel_size", "gradient_accumulation"])
def test_sizes_are_positive(field):
    sizes = {"samples": 8, "per_device": 2, "data_parallel_size": 2, "gradient_accumulation": 2, field: 0}
    with pytest.raises(InputError, match=f"{field.replace('_', ' ')} must be at least 1, not 0"):
        Loader(**sizes)


def test_arguments_are_positive():
    loader = Loader(samples=8, per_device=2)
    for call, name in [(loader.after_steps, "steps"), (loader.steps_to_train, "samples to train")]:
        with pytest.raises(InputError, match=f"{name} must be at least 1, not 0"):
            call(0)
    with pytest.raises(InputError, match="passes must be above 0, not -1/2"):
        loader.after_passes(Fraction(-1, 2))
    with pytest.raises(InputError, match="corpus must be at least 1"):
        loader.after_steps(1).epochs(0)


def test_policies_are_named():
    with pytest.raises(InputError, match="uneven must be pad, drop or keep, not 'allow'"):
        Loader(samples=8, per_device=2, uneven="allow")
    with pytest.raises(InputError, match="last_window must be flush, carry, drop or leak, not 'step'"):
        Loader(samples=8, per_device=2, last_window="step")


def test_a_pass_without_a_full_round():
    with pytest.raises(InputError) as caught:
        Loader(samples=15, per_device=4, data_parallel_size=4, uneven="drop")
    error = caught.value
    assert error.asked == "`uneven: drop` of 15 samples on 4 devices with 4 samples each"
    assert error.rule == "a full round takes 16, so every pass is dropped whole"
    assert error.consequence == "no step is ever made"
    assert error.fixes == ("at most 15 samples a round", "`uneven: pad` or `keep`")


def test_a_pass_without_a_full_window():
    with pytest.raises(InputError) as caught:
        Loader(samples=15, per_device=4, gradient_accumulation=5, last_window="drop")
    error = caught.value
    assert error.asked == "`last_window: drop` with a gradient accumulation of 5"
    assert error.rule == (
        "a pass of 15 samples is 4 micro-steps of 4, shorter than one window, so every window is dropped"
    )
    assert error.fixes == ("a gradient accumulation of 4 or less", "`last_window: flush` or `carry`")
