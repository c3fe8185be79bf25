from fractions import Fraction

from dist_epochs.arithmetic.counts import Counts, Draw, PassKey, add_digests
from dist_epochs.arithmetic.curriculum import Curriculum
from dist_epochs.arithmetic.mixture import Mixture
from dist_epochs.arithmetic.schedule import Phase, Schedule, Span

PHASE = Phase(steps=5, sequence_length=128, global_batch=5)


def test_halves_of_a_digest_wrap_apart():
    assert add_digests(2**64 - 1, 2) == 1
    assert add_digests((2**64 - 1) << 64, 1 << 64) == 0
    assert Counts(1, 2, 3, 4) + Counts(5, 6, 7, 8) == Counts(6, 8, 10, 12)


def test_a_span_is_cut_at_the_ends_of_passes():
    mix = Mixture.of({"a": Fraction(1)})
    assert list(Curriculum.of(Schedule((PHASE,)), mix).draws(Span(0, 128, 5, 25), {"a": 10})) == [
        Draw(PassKey(0, "a", 128, 0), 5, 10),
        Draw(PassKey(0, "a", 128, 1), 0, 10),
        Draw(PassKey(0, "a", 128, 2), 0, 5),
    ]
