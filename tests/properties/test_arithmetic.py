"""Arithmetic holds for any numbers."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.arithmetic.batch import GlobalBatch, nearest_batches
from dist_epochs.arithmetic.given import Given
from dist_epochs.arithmetic.identity import solve
from dist_epochs.arithmetic.quantity import Quantity, QuantityError, Unit, parse
from dist_epochs.arithmetic.schedule import Phase, Schedule

SIZES = st.integers(1, 10**9)
SMALL = st.integers(1, 200)


@given(steps=SIZES, batch=SIZES, length=SIZES, epochs=SIZES)
def test_solving_for_each_unknown_returns_the_others(steps, batch, length, epochs):
    corpus = Fraction(steps * batch * length, epochs)
    known = {
        "steps": Quantity.exact(steps, Unit.STEP), "global_batch": Quantity.exact(batch, Unit.SAMPLE),
        "sequence_length": Quantity.exact(length, Unit.POSITION), "corpus": Quantity.exact(corpus, Unit.TOKEN),
        "epochs": Quantity.exact(epochs, Unit.EPOCH),
    }  # fmt: skip
    assert solve(Given(**known)).agreement == "exact"
    for name, quantity in known.items():
        solution = solve(Given(**{other: value for other, value in known.items() if other != name}))
        assert (solution.unknown, solution.value.value) == (name, quantity.value)


@given(st.text(max_size=20))
def test_any_text_is_a_number_or_a_clear_error(text):
    try:
        quantity = parse(text)
    except QuantityError as error:
        assert str(error)
    else:
        assert 0 <= quantity.low <= quantity.value <= quantity.high


@given(st.integers(0, 10**15), st.sampled_from(["", "K", "M", "B", "T", "Ki", "Mi", "Gi"]))
def test_what_is_written_is_read(number, scale):
    factor = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}[scale]
    assert parse(f"{number}{scale}").value == number * factor
    assert parse(f"{number:,}").value == parse(f"{number:_}").value == number


@given(samples=SMALL, devices=st.integers(1, 9), per_device=st.integers(1, 9))
def test_every_sample_is_taken_once(samples, devices, per_device):
    batch = GlobalBatch(samples=samples, data_parallel_size=devices, per_device=per_device, uneven=True)
    slices = [batch.micro_batches(rank) for rank in range(devices)]
    assert [sample for rank in slices for micro in rank for sample in micro] == list(range(samples))
    assert {len(rank) for rank in slices} == {batch.gradient_accumulation}
    assert max(len(micro) for rank in slices for micro in rank) <= per_device
    sizes = [sum(map(len, rank)) for rank in slices]
    assert max(sizes) - min(sizes) <= 1


@given(samples=SMALL, devices=st.integers(1, 20), per_device=st.integers(1, 20))
def test_nearest_batches_are_multiples_on_either_side(samples, devices, per_device):
    near = nearest_batches(samples, devices, per_device)
    multiples = [size for size in range(1, samples + devices * per_device + 1) if size % (devices * per_device) == 0]
    below = [size for size in multiples if size <= samples]
    assert near == (*below[-1:], next(size for size in multiples if size > samples))


@given(st.lists(st.tuples(SMALL, st.sampled_from([16, 32]), SMALL), min_size=1, max_size=6))
def test_splitting_a_phase_changes_nothing(rows):
    phases = [Phase(steps=s, sequence_length=length, global_batch=b) for s, length, b in rows]
    halves = [
        Phase(steps=steps, sequence_length=phase.sequence_length, global_batch=phase.global_batch)
        for phase in phases
        for steps in (phase.steps // 2, phase.steps - phase.steps // 2)
        if steps
    ]
    whole, split = Schedule(phases), Schedule(halves)
    assert whole.steps == split.steps
    for step in range(0, whole.steps, 7):
        a, b = whole.span(step), split.span(step)
        assert (a.sequence_length, a.start, a.stop) == (b.sequence_length, b.start, b.stop)
