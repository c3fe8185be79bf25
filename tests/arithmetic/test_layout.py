from fractions import Fraction

import pytest

from dist_epochs.arithmetic.layout import Excess, Stretch, lay_out
from dist_epochs.arithmetic.quantity import Unit
from dist_epochs.arithmetic.ramp import Ramp
from dist_epochs.errors import InputError


def stretch(unit, amount, batch=64, length=8):
    """The three plain measures; a step of 64 samples of length 8 unless said."""
    per_sample = {Unit.STEP: 0, Unit.SAMPLE: 1, Unit.POSITION: length}[unit]
    return Stretch(
        measure=f"{unit}s", amount=Fraction(amount), sequence_length=length, batch=batch,
        per_step=int(unit is Unit.STEP), per_sample=per_sample,
    )  # fmt: skip


def excess(layout):
    """What the end of the run takes beyond its amount."""
    return sum((found.amount for found in layout.excesses), Fraction(0))


def shape(layout):
    return [(phase.steps, phase.global_batch) for phase in layout.phases]


def test_steps_are_steps():
    layout = lay_out([stretch(Unit.STEP, 900), stretch(Unit.STEP, 100, length=32)])
    assert (shape(layout), layout.stretches, excess(layout)) == ([(900, 64), (100, 64)], (0, 1), 0)


def test_the_last_step_is_whole_partial_or_within():
    amount = stretch(Unit.SAMPLE, 1000)
    whole, partial, within = (lay_out([amount], last_step=policy) for policy in ("whole", "partial", "within"))
    assert (shape(whole), excess(whole)) == ([(16, 64)], 24)
    assert (shape(partial), excess(partial), partial.is_partial(1), partial.is_partial(0)) == (
        [(15, 64), (1, 40)],
        0,
        True,
        False,
    )
    assert (shape(within), excess(within)) == ([(15, 64)], -40)


def test_amounts_that_divide_are_left_alone():
    for policy in ("whole", "partial", "within"):
        layout = lay_out([stretch(Unit.POSITION, 64 * 8 * 5)], last_step=policy)
        assert (shape(layout), excess(layout), layout.partial) == ([(5, 64)], 0, False)


def test_one_partial_step_is_the_whole_run():
    layout = lay_out([stretch(Unit.SAMPLE, 40)], last_step="partial")
    assert (shape(layout), layout.stretches) == ([(1, 40)], (0,))


def test_a_budget_below_one_step_pays_for_none():
    with pytest.raises(InputError, match="does not pay for a single step"):
        lay_out([stretch(Unit.SAMPLE, 40)], last_step="within")


def test_half_samples_are_drawn_whole():
    layout = lay_out([stretch(Unit.SAMPLE, Fraction(303, 2))], last_step="partial")
    assert (shape(layout), excess(layout)) == ([(2, 64), (1, 24)], Fraction(1, 2))


def test_what_a_phase_draws_beyond_is_taken_off_the_next():
    one = lay_out([stretch(Unit.SAMPLE, 1000)])
    two = lay_out([stretch(Unit.SAMPLE, 300), stretch(Unit.SAMPLE, 700)])
    assert (shape(two), excess(two)) == ([(5, 64), (11, 64)], excess(one))
    other_unit = lay_out([stretch(Unit.SAMPLE, 300), stretch(Unit.POSITION, 700 * 8)])
    assert shape(other_unit) == [(5, 64), (11, 64)]


def test_epochs_of_two_lengths_end_where_they_should():
    # 0.28 epochs of 1,976 samples at 64, then 0.12 of 988 at 128: the overshoot is taken off as epochs, not as samples
    parts = [
        Stretch(measure="epochs", amount=Fraction(28, 100), sequence_length=64, batch=16, per_sample=Fraction(1, 1976)),
        Stretch(measure="epochs", amount=Fraction(12, 100), sequence_length=128, batch=16, per_sample=Fraction(1, 988)),
    ]
    layout = lay_out(parts, last_step="partial")
    first, *rest = layout.phases
    epochs = Fraction(first.samples, 1976) + Fraction(sum(phase.samples for phase in rest), 988)
    assert 0 <= epochs - Fraction(4, 10) == excess(layout) < Fraction(1, 988)


def test_a_phase_without_a_step_is_refused():
    with pytest.raises(InputError, match=r"phase 2 gets no step: its 10 samples are already taken"):
        lay_out([stretch(Unit.SAMPLE, 300), stretch(Unit.SAMPLE, 10)])


def test_what_a_phase_takes_beyond_is_kept_where_the_measure_changes():
    layout = lay_out([stretch(Unit.SAMPLE, 100), stretch(Unit.STEP, 10)])
    assert layout.excesses == (Excess("samples", Fraction(28), 0, Fraction(100)),)


def test_steps_beyond_any_run_are_refused():
    with pytest.raises(InputError, match="more than any run takes"):
        lay_out([stretch(Unit.STEP, 10**16)])


def test_palm_s_batch():
    # Chowdhery et al. 2022, arXiv:2204.02311, section 5: 512 to step 50k, 1024 to 115k, 2048 to 255k; length 2,048
    ramp = Ramp.stages(unit=Unit.STEP, levels={Fraction(0): 512, Fraction(50_000): 1024, Fraction(115_000): 2048})
    layout = lay_out([stretch(Unit.STEP, 255_000, ramp, 2048)])
    assert shape(layout) == [(50_000, 512), (65_000, 1024), (140_000, 2048)]
    tokens = sum(phase.positions for phase in layout.phases)
    assert tokens == pytest.approx(780e9, rel=0.01)  # "780 billion tokens"


def test_a_ramp_goes_on_over_phases():
    ramp = Ramp.stages(unit=Unit.STEP, levels={Fraction(0): 2, Fraction(15): 4})
    layout = lay_out([stretch(Unit.STEP, 10, ramp), stretch(Unit.STEP, 10, ramp, 16)])
    assert (shape(layout), layout.stretches) == ([(10, 2), (5, 2), (5, 4)], (0, 1, 1))


def test_a_last_phase_that_the_budget_does_not_reach_is_refused():
    with pytest.raises(InputError, match="phase 2 gets no step: one takes more than its 3 positions"):
        lay_out([stretch(Unit.POSITION, 64 * 8 * 5), stretch(Unit.POSITION, 3, length=512)], last_step="within")
