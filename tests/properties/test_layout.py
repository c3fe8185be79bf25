"""Phases, ramps and amounts against a loop that takes one step after the other."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from dist_epochs.arithmetic.layout import Stretch, lay_out
from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.arithmetic.ramp import Ramp

UNITS = st.sampled_from([Unit.STEP, Unit.SAMPLE, Unit.POSITION])


def stretch_of(unit, amount, length, batch):
    return Stretch(
        measure=str(unit), amount=Fraction(amount), sequence_length=length, batch=batch,
        per_step=int(unit is Unit.STEP), per_sample={Unit.STEP: 0, Unit.SAMPLE: 1, Unit.POSITION: length}[unit],
    )  # fmt: skip


def step_by_step(stretches, batch_at):
    """The batch of every step: an oracle without closed forms."""
    done = {Unit.STEP: 0, Unit.SAMPLE: 0, Unit.POSITION: 0}
    steps, excess, unit = [], 0, None
    for stretch in stretches:
        mine = Unit(stretch.measure)
        target = done[mine] + stretch.amount - (excess if mine is unit else 0)
        while done[mine] < target:
            batch = batch_at(done)
            steps.append((batch, stretch.sequence_length))
            done[Unit.STEP] += 1
            done[Unit.SAMPLE] += batch
            done[Unit.POSITION] += batch * stretch.sequence_length
        excess, unit = done[mine] - target, mine
    return steps, done


def unrolled(layout):
    return [(phase.global_batch, phase.sequence_length) for phase in layout.phases for _ in range(phase.steps)]


@st.composite
def megatron(draw):
    start, increment, count = draw(st.integers(1, 20)), draw(st.integers(1, 12)), draw(st.integers(1, 8))
    return start, increment, draw(st.integers(1, 600)), start + increment * count


@given(megatron(), st.integers(1, 3000), st.integers(1, 9))
def test_megatron_s_ramp_to_the_sample(numbers, samples, length):
    start, increment, over, goal = numbers
    ramp = Ramp.increments(start=start, increment=increment, over=Fraction(over), unit=Unit.SAMPLE, global_batch=goal)
    rises = (goal - start) // increment

    def batch_at(done):  # num_microbatches_calculator.py of Megatron-LM, with exact division
        consumed = done[Unit.SAMPLE]
        return goal if consumed > over else start + int(consumed / Fraction(over, rises)) * increment

    stretch = stretch_of(Unit.SAMPLE, samples, length, ramp)
    steps, done = step_by_step([stretch], batch_at)
    layout = lay_out([stretch])
    assert unrolled(layout) == steps
    assert sum(found.amount for found in layout.excesses) == done[Unit.SAMPLE] - samples


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 50)), max_size=4),
    UNITS,
    st.lists(st.tuples(UNITS, st.integers(50, 400), st.integers(1, 4)), min_size=1, max_size=3),
    st.integers(1, 50),
)
def test_stages_over_phases_of_any_unit(gaps, unit, amounts, first):
    levels, at = {Fraction(0): first}, 0
    for gap, batch in gaps:
        at += gap
        levels[Fraction(at)] = batch
    ramp = Ramp.stages(unit=unit, levels=levels)
    stretches = [
        stretch_of(kind, amount * 200 if kind is Unit.POSITION else amount, length, ramp)
        for kind, amount, length in amounts
    ]  # fmt: skip

    def batch_at(done):
        return [batch for start, batch in levels.items() if start <= done[unit]][-1]

    assert unrolled(lay_out(stretches)) == step_by_step(stretches, batch_at)[0]


@given(st.lists(st.integers(100, 5000), min_size=1, max_size=5), st.integers(1, 99), st.integers(1, 64), UNITS)
def test_phases_split_or_merged_give_equal_totals(parts, batch, length, unit):
    def totals(amounts):
        layout = lay_out([stretch_of(unit, a, length, batch) for a in amounts])
        return [
            sum(getattr(phase, name) for phase in layout.phases) for name in ("steps", "samples", "positions")
        ], layout.excesses and layout.excesses[-1].amount

    scaled = [
        part * (batch * length if unit is Unit.POSITION else 1) + (part if unit is Unit.POSITION else 0)
        for part in parts
    ]
    assert totals(scaled) == totals([sum(scaled)])


@given(st.integers(1, 10**6), st.integers(1, 5000), st.integers(2, 4096))
def test_planning_by_each_amount_returns_the_others(steps, batch, length):
    """Steps, samples and positions of one run, each given alone, plan the same run."""
    amounts = {Unit.STEP: steps, Unit.SAMPLE: steps * batch, Unit.POSITION: steps * batch * length}
    layouts = [
        lay_out([stretch_of(unit, amount, length, batch)], last_step=policy)
        for unit, amount in amounts.items()
        for policy in ("whole", "partial", "within")
    ]
    assert {layout.phases for layout in layouts} == {layouts[0].phases}
    assert layouts[0].phases[0].steps == steps
